//! The port for the audit log.

use std::fmt::Debug;
use std::pin::Pin;

use bellwire_model::{AuditDeed, AuditEntry, Timestamp};

use super::{Extent, PortError};

/// Which deeds are wanted: the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// By this name only.
    pub who: Option<String>,
    /// This action only, or, if it ends with `*`, those that begin so.
    pub action: Option<String>,
    /// To this target only.
    pub target: Option<String>,
    /// Received then or later.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
    /// The most rows of one page, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// A part of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The latest first.
    pub entries: Vec<AuditEntry>,
    /// Handed back as `after` it gives the next part.
    pub next: Option<String>,
    /// Whether it has all there are, or the last that are in memory, because the database is away.
    pub extent: Extent,
}

/// The audit log does not take a deed, for the service stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service stops")]
pub struct AuditEnded;

/// The answer of this port, which may have to wait.
pub type AuditFuture<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Keeps what people and programs do to the service.
pub trait AuditLog: Send + Sync + Debug {
    /// Takes a deed; done when it is on disk.
    fn append(&self, deed: AuditDeed) -> AuditFuture<'_, (), AuditEnded>;
    /// Deeds, latest first.
    fn page(&self, query: AuditQuery) -> AuditFuture<'_, AuditPage, PortError>;
}

/// No audit log: nothing is kept.
impl AuditLog for () {
    fn append(&self, _: AuditDeed) -> AuditFuture<'_, (), AuditEnded> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn page(&self, _: AuditQuery) -> AuditFuture<'_, AuditPage, PortError> {
        let page = AuditPage { entries: Vec::new(), next: None, extent: Extent::Whole };
        Box::pin(std::future::ready(Ok(page)))
    }
}
