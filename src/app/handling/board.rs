//! What *judge* says of actions and silences, for those who wait for it or look at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bellwire_alerts::{ActionAnswer, Handlings};
use bellwire_api::ports::SilenceInfo;
use bellwire_model::{ActionId, SilenceId};
use hashbrown::HashMap;
use tokio::sync::oneshot;

/// Whoever waits for the answer to an action, by number.
type Waiting = HashMap<u64, (ActionId, oneshot::Sender<ActionAnswer>)>;

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By id; with the number by which [`Handlings`] tells whether they have changed.
    silences: ArcSwap<(u64, Vec<SilenceInfo>)>,
    /// With the next number.
    waiting: Mutex<(u64, Waiting)>,
}

/// A place among those who wait; dropped, it is given up.
#[derive(Debug)]
pub(super) struct Ticket {
    board: Board,
    number: u64,
    answer: oneshot::Receiver<ActionAnswer>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.board.waiting().1.remove(&self.number);
    }
}

impl Ticket {
    /// What came of the action; `None` if nobody will say it any more.
    pub(super) async fn answer(&mut self) -> Option<ActionAnswer> {
        (&mut self.answer).await.ok()
    }
}

impl Board {
    fn waiting(&self) -> MutexGuard<'_, (u64, Waiting)> {
        // Nothing in it is left half done.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what comes of an action: to be called before it is in the log.
    pub(super) fn expect(&self, id: ActionId) -> Ticket {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        let number = waiting.0;
        waiting.0 += 1;
        waiting.1.insert(number, (id, sender));
        drop(waiting);
        Ticket { board: self.clone(), number, answer }
    }

    /// *Judge* has done an action.
    pub(in crate::app) fn answer(&self, id: ActionId, answer: &ActionAnswer) {
        let mut waiting = self.waiting();
        for (_, (_, sender)) in waiting.1.extract_if(|_, (waits_for, _)| *waits_for == id) {
            // Whoever waited may have gone.
            let _ = sender.send(answer.clone());
        }
    }

    /// These are the silences now.
    pub(in crate::app) fn show(&self, handlings: &Handlings) {
        let n_changes = handlings.n_silence_changes();
        if self.0.silences.load().0 != n_changes {
            let all = handlings.silences();
            let all =
                all.map(|(silence, mutes)| SilenceInfo { silence: Arc::clone(silence), mutes });
            let all = all.collect();
            self.0.silences.store(Arc::new((n_changes, all)));
        }
    }

    /// The silences that are remembered, by id.
    pub(super) fn silences(&self) -> Vec<SilenceInfo> {
        self.0.silences.load().1.clone()
    }

    /// One of them.
    pub(super) fn silence(&self, id: SilenceId) -> Option<SilenceInfo> {
        let shown = self.0.silences.load();
        let index = shown.1.binary_search_by_key(&id, |info| info.silence.id).ok()?;
        shown.1.get(index).cloned()
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::ActionOutcome;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_answered_and_who_has_gone_is_forgotten() {
        let board = Board::default();
        let (mut one, other) = (board.expect(ActionId(1)), board.expect(ActionId(2)));
        let mut same = board.expect(ActionId(1));
        drop(other);
        assert_eq!(board.waiting().1.len(), 2);
        let outcome = ActionOutcome::IdReused;
        let answer = ActionAnswer { outcome, alerts: Vec::new(), prior: None };
        board.answer(ActionId(1), &answer);
        assert_eq!(one.answer().await, Some(answer.clone()));
        assert_eq!(same.answer().await, Some(answer));
        assert!(board.waiting().1.is_empty());
    }
}
