//! The API's port for what operators do with alerts and silences.
//!
//! An action is answered when *judge* has done it: the log decides who was first. It is on disk then, and the
//! live feed has what came of it.

use std::sync::Arc;
use std::time::Duration;

use bellwire_api::Hub;
use bellwire_api::ports::{
    ActionAnswer, ActionFuture, ActionRequest, AlertHandling, HandlingError, PortError, SilenceInfo,
};
use bellwire_ingest::log::{Entry, Log};
use bellwire_model::{Action, ActionId, ActionOutcome, Deed, LogPosition, SilenceId};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Board;
use crate::app::durably;

/// How long a client waits for the log to take an action, and for *judge* to do it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What operators do, as the API asks for it. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::app) struct HandlingPort {
    log: Arc<dyn Log>,
    judged: watch::Receiver<LogPosition>,
    board: Board,
    hub: Arc<Hub>,
    tracker: TaskTracker,
}

impl HandlingPort {
    pub(in crate::app) fn new(
        log: Arc<dyn Log>,
        judged: watch::Receiver<LogPosition>,
        (board, hub): (Board, Arc<Hub>),
        tracker: TaskTracker,
    ) -> Self {
        Self { log, judged, board, hub, tracker }
    }

    async fn act(self, request: ActionRequest) -> Result<ActionAnswer, HandlingError> {
        let action = action(request)?;
        let mut ticket = self.board.expect(action.id);
        let done = async {
            durably::append(&self.log, Entry::action(&action)).await.ok()?;
            let answer = ticket.answer().await?;
            let end = self.log.durable().end;
            self.judged.clone().wait_for(|judged| *judged >= end).await.ok()?;
            Some(answer)
        };
        let answer = timeout(PATIENCE, done).await.ok().flatten().ok_or(HandlingError::Later)?;
        // What whoever asked looks at next has it.
        self.hub.catch_up();
        match answer.outcome {
            ActionOutcome::IdReused => Err(HandlingError::KeyReused),
            outcome => Ok(ActionAnswer { outcome, alerts: answer.alerts, prior: answer.prior }),
        }
    }
}

/// The record of a request. The same key of the same author is the same action; without one, each request
/// is another.
fn action(request: ActionRequest) -> Result<Action, PortError> {
    let ActionRequest { author, key, said, mut deed } = request;
    let id = match &key {
        Some(key) => {
            let digest = Sha256::new().chain_update(format!("{author:?} {key:?}")).finalize();
            ActionId(u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default()))
        }
        None => {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(|error| PortError::Failed(Box::new(error)))?;
            ActionId(u128::from_be_bytes(bytes))
        }
    };
    if let Deed::Silence(draft) = &mut deed
        && draft.id == SilenceId(0)
    {
        draft.id = SilenceId(id.0);
    }
    let digest = Sha256::new().chain_update(said).finalize();
    let request = u64::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
    Ok(Action { id, request, author, deed })
}

impl AlertHandling for HandlingPort {
    fn act(&self, request: ActionRequest) -> ActionFuture<'_> {
        let port = self.clone();
        // It goes on if nobody waits for it any more.
        let acting = self.tracker.spawn(async move { port.act(request).await });
        Box::pin(async move { acting.await.map_err(|error| PortError::Failed(Box::new(error)))? })
    }

    fn silences(&self) -> Vec<SilenceInfo> {
        self.board.silences()
    }

    fn silence(&self, id: SilenceId) -> Option<SilenceInfo> {
        self.board.silence(id)
    }
}
