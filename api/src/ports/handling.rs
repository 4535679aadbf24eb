//! The port for what operators do with alerts, and for silences.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use bellwire_model::{ActionOutcome, Alert, Deed, Prior, Silence, SilenceId};

use super::PortError;

/// Something that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRequest {
    /// Who asks.
    pub author: Arc<str>,
    /// His name for the request: the same again is done once.
    pub key: Option<String>,
    /// The request as it came: the same key with another is a mistake.
    pub said: Vec<u8>,
    /// What for. A silence with the id 0 is given one.
    pub deed: Deed,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionAnswer {
    /// Of each alert, or of the silence.
    pub outcome: ActionOutcome,
    /// The alerts that were named, as they stand now, where they are open or were.
    pub alerts: Vec<Alert>,
    /// What it replaced, where it named one thing and was not done before.
    pub prior: Option<Prior>,
}

/// A silence, and whether it mutes at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceInfo {
    /// As it stands.
    pub silence: Arc<Silence>,
    /// Whether it is its time.
    pub mutes: bool,
}

/// Why it is not known what came of an action.
#[derive(Debug, thiserror::Error)]
pub enum HandlingError {
    /// The key was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// There was no room in the log in time, or the service stops; it may yet be done.
    #[error("the log has no room")]
    Later,
    /// It could not be asked.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// What [`AlertHandling::act`] answers with.
pub type ActionFuture<'a> =
    Pin<Box<dyn Future<Output = Result<ActionAnswer, HandlingError>> + Send + 'a>>;

/// Does what operators ask for.
pub trait AlertHandling: Send + Sync + Debug {
    /// Does something; done when it is on disk and the live feed has it.
    ///
    /// # Cancel safety
    /// What was begun goes on.
    fn act(&self, request: ActionRequest) -> ActionFuture<'_>;
    /// The silences that are remembered: those that are not over, and those that ended lately; by id.
    fn silences(&self) -> Vec<SilenceInfo>;
    /// One of them.
    fn silence(&self, id: SilenceId) -> Option<SilenceInfo>;
}

/// Nothing is done, and there are no silences.
impl AlertHandling for () {
    fn act(&self, _: ActionRequest) -> ActionFuture<'_> {
        Box::pin(std::future::ready(Err(HandlingError::Later)))
    }

    fn silences(&self) -> Vec<SilenceInfo> {
        Vec::new()
    }

    fn silence(&self, _: SilenceId) -> Option<SilenceInfo> {
        None
    }
}
