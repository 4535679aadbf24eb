//! What the engine has done, in plain numbers.

use bellwire_model::AlertState;

/// What the engine has done since it was made or restored, and how many alerts are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Observations taken.
    pub observations: u64,
    /// Rules judged.
    pub evaluations: u64,
    /// Observations that were judged late, where they belong.
    pub corrected: u64,
    /// Observations that changed nothing because they came too late.
    pub late: u64,
    /// Times a device's clock was set back.
    pub clock_steps: u64,
    transitions: [u64; AlertState::ALL.len()],
    open: [u64; AlertState::ALL.len()],
}

impl Stats {
    /// Transitions into `state`.
    #[must_use]
    pub const fn transitions(&self, state: AlertState) -> u64 {
        self.transitions[state as usize]
    }

    /// Alerts that are in `state` now; 0 for the states in which they are over.
    #[must_use]
    pub const fn open(&self, state: AlertState) -> u64 {
        self.open[state as usize]
    }

    pub(crate) fn count(&mut self, from: AlertState, to: AlertState) {
        self.transitions[to as usize] += 1;
        if !from.is_over() {
            // A rehearsal begins with none.
            let open = &mut self.open[from as usize];
            *open = open.wrapping_sub(1);
        }
        self.count_open(to);
    }

    /// Counts an alert that is there without a transition.
    pub(crate) fn count_open(&mut self, state: AlertState) {
        if !state.is_over() {
            let open = &mut self.open[state as usize];
            *open = open.wrapping_add(1);
        }
    }
}
