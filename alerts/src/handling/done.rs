//! Actions that were done: the same again is not done twice.

use std::collections::VecDeque;
use std::time::Duration;

use bellwire_model::{Action, ActionId, ActionOutcome, Timestamp};
use hashbrown::HashMap;

/// The most actions that are remembered.
const ACTIONS_MAX: usize = 10_000;
/// The most lines of their outcomes: one for each alert.
const LINES_MAX: usize = 200_000;
/// How long an action is remembered.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// An action that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) id: ActionId,
    pub(super) request: u64,
    pub(super) at: Timestamp,
    pub(super) outcome: ActionOutcome,
}

impl Past {
    const fn n_lines(&self) -> usize {
        match &self.outcome {
            ActionOutcome::Alerts(alerts) => 1 + alerts.len(),
            ActionOutcome::Silence(..) | ActionOutcome::IdReused => 1,
        }
    }
}

/// The actions of the last day, as many as fit.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The oldest first.
    past: VecDeque<Past>,
    /// Their numbers: that of the first is `n_gone`.
    by_id: HashMap<ActionId, u64>,
    n_gone: u64,
    n_lines: usize,
}

impl Done {
    /// What came of an action, if it was done before.
    pub(super) fn outcome_of(&self, action: &Action) -> Option<ActionOutcome> {
        let number = *self.by_id.get(&action.id)?;
        let past = self.past.get(usize::try_from(number - self.n_gone).ok()?)?;
        let is_same = past.request == action.request;
        Some(if is_same { past.outcome.clone() } else { ActionOutcome::IdReused })
    }

    pub(super) fn note(&mut self, past: Past) {
        let now = past.at;
        self.n_lines += past.n_lines();
        self.by_id.insert(past.id, self.n_gone + self.past.len() as u64);
        self.past.push_back(past);
        self.forget(now);
    }

    /// Forgets what is too old or too much.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.past.front() {
            let is_too_much = self.past.len() > ACTIONS_MAX || self.n_lines > LINES_MAX;
            if !is_too_much && now.since(oldest.at) < KEPT_FOR {
                return;
            }
            self.n_lines -= oldest.n_lines();
            self.by_id.remove(&oldest.id);
            self.past.pop_front();
            self.n_gone += 1;
        }
    }

    pub(super) fn past(&self) -> impl Iterator<Item = &Past> {
        self.past.iter()
    }
}
