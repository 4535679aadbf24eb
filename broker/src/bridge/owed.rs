//! What a bridge owes its broker: acknowledgements, in the order the publishes came, each when the log
//! has what stands before it.

use std::collections::VecDeque;

use bellwire_model::{Outcome, PublishBatch};
use tokio::sync::oneshot;

/// What one read has brought.
#[derive(Debug)]
pub(crate) struct Debt {
    /// To be acknowledged, in order.
    pub(crate) answers: Vec<u16>,
    /// How many publishes it is.
    pub(crate) n_publishes: usize,
    /// How many bytes of them go to the log.
    pub(crate) n_bytes: usize,
    /// How that ends; `None` if nothing of it is for the log.
    pub(crate) outcome: Option<oneshot::Receiver<Outcome>>,
    /// What subscribers of our own listener get then.
    pub(crate) echo: Option<PublishBatch>,
}

/// All that is owed.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    debts: VecDeque<Debt>,
    n_publishes: usize,
    n_bytes: usize,
}

impl Owed {
    pub(crate) fn push(&mut self, debt: Debt) {
        self.n_publishes += debt.n_publishes;
        self.n_bytes += debt.n_bytes;
        self.debts.push_back(debt);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.debts.is_empty()
    }

    /// Whether there may be more.
    pub(crate) const fn has_room(&self, publishes_max: usize, bytes_max: usize) -> bool {
        self.n_publishes < publishes_max && self.n_bytes < bytes_max
    }

    /// Waits until the first is due, and gives it with how it ended; waits for ever if there is none.
    ///
    /// # Cancel safety
    /// Cancel safe: a debt is taken in the same step in which its outcome is known.
    pub(crate) async fn due(&mut self) -> (Debt, Outcome) {
        let outcome = match self.debts.front_mut() {
            None => std::future::pending().await,
            Some(Debt { outcome: None, .. }) => Outcome::Durable,
            // A receipt that was dropped has been settled too.
            Some(Debt { outcome: Some(outcome), .. }) => outcome.await.unwrap_or(Outcome::Retry),
        };
        (self.take(), outcome)
    }

    /// The first, if it is due already.
    pub(crate) fn due_now(&mut self) -> Option<(Debt, Outcome)> {
        let outcome = match &mut self.debts.front_mut()?.outcome {
            None => Outcome::Durable,
            Some(outcome) => match outcome.try_recv() {
                Ok(outcome) => outcome,
                Err(oneshot::error::TryRecvError::Empty) => return None,
                Err(oneshot::error::TryRecvError::Closed) => Outcome::Retry,
            },
        };
        Some((self.take(), outcome))
    }

    fn take(&mut self) -> Debt {
        let debt = self.debts.pop_front().expect("the first was looked at just now");
        self.n_publishes -= debt.n_publishes;
        self.n_bytes -= debt.n_bytes;
        debt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debt(id: u16, outcome: Option<oneshot::Receiver<Outcome>>) -> Debt {
        Debt { answers: vec![id], n_publishes: 1, n_bytes: 10, outcome, echo: None }
    }

    fn ids(owed: &mut Owed) -> Vec<u16> {
        std::iter::from_fn(|| owed.due_now()).flat_map(|(debt, _)| debt.answers).collect()
    }

    #[tokio::test]
    async fn nothing_overtakes_what_is_not_durable_yet() {
        let mut owed = Owed::default();
        let (first, outcome) = oneshot::channel();
        owed.push(debt(1, Some(outcome)));
        owed.push(debt(2, None));
        let (third, outcome) = oneshot::channel();
        owed.push(debt(3, Some(outcome)));
        third.send(Outcome::Durable).unwrap();
        assert!(ids(&mut owed).is_empty());
        assert!(!owed.has_room(3, 100) && !owed.has_room(4, 30) && owed.has_room(4, 31));
        first.send(Outcome::Durable).unwrap();
        let (debt, outcome) = owed.due().await;
        assert_eq!((debt.answers, outcome), (vec![1], Outcome::Durable));
        assert_eq!(ids(&mut owed), [2, 3]);
        assert!(owed.is_empty() && owed.has_room(1, 1));
    }

    #[tokio::test]
    async fn a_receipt_that_is_dropped_is_not_durable() {
        let mut owed = Owed::default();
        let (dropped, outcome) = oneshot::channel();
        owed.push(debt(1, Some(outcome)));
        drop(dropped);
        assert_eq!(owed.due().await.1, Outcome::Retry);
    }
}
