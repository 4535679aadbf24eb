//! One rule on one device: the states of an alert in event time, and what leads from one to the
//! next.
//!
//! A verdict is a step function of event time: what a reading shows is taken to last until the
//! next reading, but no longer than `max_gap`. An alert fires at `since + for` if the condition
//! held from `since` to `since + for`, both ends included; whether that comes to light by the next
//! reading or by a tick, the transition is the same. A verdict that is unknown interrupts this
//! without ending it: a reading within `max_gap` of the last one that held bridges it.

use std::time::Duration;

use bellwire_model::{AlertState, Timestamp};

use crate::lang::program::Verdict;

/// The durations of a rule, in event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// `for`: how long the condition must hold before it fires.
    pub(crate) hold: Duration,
    /// `keep_firing_for`: how long it stays after it has cleared.
    pub(crate) keep_firing: Duration,
    /// `max_gap`: the longest time without a reading that does not break a run.
    pub(crate) max_gap: Duration,
    /// `repeat`: in how many readings in a row the condition must hold before it fires; at least 1.
    pub(crate) repeat: u32,
}

/// What has a rule judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Reading,
    /// Time has passed.
    Time,
}

/// Where an alert that is not over stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The condition holds, or did at the last reading that could tell.
    Pending {
        /// When it began to hold.
        since: Timestamp,
        /// The latest reading that showed it to hold.
        held_at: Timestamp,
        /// What the very latest reading showed.
        now: Holding,
        /// In how many readings in a row it held.
        n: u32,
    },
    Firing,
    Recovering {
        /// When it cleared.
        cleared_at: Timestamp,
    },
    /// The readings it needs have stopped coming.
    NoData,
    /// The rule cannot be judged by what is read.
    Error,
}

/// Whether a pending condition holds as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    Yes,
    Unknown,
}

/// Why a state was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The condition came true.
    Began,
    /// It held for `for`.
    Held,
    /// It came false before that.
    Stopped,
    /// No reading came for `max_gap`.
    Silence,
    /// It cleared.
    Cleared,
    /// It came true again while recovering.
    CameBack,
    /// It stayed clear for `keep_firing_for`.
    StayedClear,
    /// The readings it needs have stopped coming.
    NoData,
    /// They have come again.
    Returned,
    /// What is read is no number where one is needed, or no text: this one of the rule's inputs.
    Unsuitable(u16),
    /// It can be judged again.
    Mended,
    /// It is worse, or less bad, than it was.
    Level,
    /// It changes its mind all the time, or does not any more.
    Flapping,
}

/// A step from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) to: AlertState,
    /// Event time.
    pub(crate) at: Timestamp,
    pub(crate) why: Why,
}

impl Edge {
    const fn new(to: AlertState, at: Timestamp, why: Why) -> Self {
        Self { to, at, why }
    }
}

impl Phase {
    /// The phase in which an episode begins at `at`.
    pub(crate) fn begin(timing: &Timing, at: Timestamp) -> Self {
        if timing.hold.is_zero() && timing.repeat <= 1 {
            Self::Firing
        } else {
            Self::Pending { since: at, held_at: at, now: Holding::Yes, n: 1 }
        }
    }

    pub(crate) const fn state(&self) -> AlertState {
        match self {
            Self::Pending { .. } => AlertState::Pending,
            Self::Firing => AlertState::Firing,
            Self::Recovering { .. } => AlertState::Recovering,
            Self::NoData => AlertState::NoData,
            Self::Error => AlertState::Error,
        }
    }

    /// The event time at which it ends by itself if no reading comes, and how.
    pub(crate) fn due(&self, timing: &Timing) -> Option<Edge> {
        match *self {
            Self::Pending { since, held_at, now, n } => {
                let (proven, broken) = (since + timing.hold, held_at + timing.max_gap);
                let is_enough = now == Holding::Yes && n >= timing.repeat;
                Some(if is_enough && proven <= broken {
                    Edge::new(AlertState::Firing, proven, Why::Held)
                } else {
                    Edge::new(AlertState::Inactive, broken, Why::Silence)
                })
            }
            Self::Firing | Self::NoData | Self::Error => None,
            Self::Recovering { cleared_at } => {
                let at = cleared_at + timing.keep_firing;
                Some(Edge::new(AlertState::Resolved, at, Why::StayedClear))
            }
        }
    }

    /// What a reading at `at` leads to. All that was due before `at` must have happened.
    pub(crate) fn judge(
        &mut self,
        timing: &Timing,
        at: Timestamp,
        (when, by): (Verdict, By),
        cleared: impl FnOnce() -> bool,
    ) -> Option<Edge> {
        match self {
            Self::Pending { since, held_at, now, n } => match when {
                Verdict::True => {
                    let was_enough = *n >= timing.repeat;
                    (*held_at, *now) = (at, Holding::Yes);
                    *n = n.saturating_add(u32::from(by == By::Reading));
                    let (proven, is_enough) = (*since + timing.hold, *n >= timing.repeat);
                    let fires_at = if was_enough { proven } else { proven.max(at) };
                    (is_enough && fires_at <= at)
                        .then(|| self.enter(Edge::new(AlertState::Firing, fires_at, Why::Held)))
                }
                Verdict::False => Some(Edge::new(AlertState::Inactive, at, Why::Stopped)),
                Verdict::Unknown => {
                    *now = Holding::Unknown;
                    None
                }
            },
            Self::Firing if when == Verdict::True || !cleared() => None,
            Self::Firing if timing.keep_firing.is_zero() => {
                Some(Edge::new(AlertState::Resolved, at, Why::Cleared))
            }
            Self::Firing => Some(self.enter(Edge::new(AlertState::Recovering, at, Why::Cleared))),
            Self::Recovering { .. } if when == Verdict::True => {
                Some(self.enter(Edge::new(AlertState::Firing, at, Why::CameBack)))
            }
            Self::NoData | Self::Error => {
                let why = if *self == Self::Error { Why::Mended } else { Why::Returned };
                match when {
                    Verdict::True => {
                        *self = Self::begin(timing, at);
                        Some(Edge::new(self.state(), at, why))
                    }
                    Verdict::False => Some(Edge::new(AlertState::Resolved, at, why)),
                    Verdict::Unknown => None,
                }
            }
            // Its end is not for a reading to tell: another of the same instant may follow.
            Self::Recovering { .. } => None,
        }
    }

    /// Takes the phase that `edge` leads to, unless it ends the episode.
    pub(crate) fn enter(&mut self, edge: Edge) -> Edge {
        match edge.to {
            AlertState::Firing => *self = Self::Firing,
            AlertState::Recovering => *self = Self::Recovering { cleared_at: edge.at },
            AlertState::NoData => *self = Self::NoData,
            AlertState::Error => *self = Self::Error,
            _ => {}
        }
        edge
    }

    /// Begins its run anew at `at`: the device's clock has stepped.
    pub(crate) fn restart(&mut self, at: Timestamp) {
        match self {
            Self::Pending { since, held_at, n, .. } => (*since, *held_at, *n) = (at, at, 1),
            Self::Firing | Self::NoData | Self::Error => {}
            Self::Recovering { cleared_at } => *cleared_at = at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        hold: Duration::from_secs(4),
        keep_firing: Duration::from_secs(2),
        max_gap: Duration::from_secs(6),
        repeat: 1,
    };

    fn secs(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_gap_is_bridged_up_to_max_gap_and_no_further() {
        let mut phase = Phase::begin(&TIMING, secs(0));
        assert_eq!(phase.judge(&TIMING, secs(1), (Verdict::Unknown, By::Reading), || false), None);
        let broken = Edge::new(AlertState::Inactive, secs(6), Why::Silence);
        assert_eq!(phase.due(&TIMING), Some(broken));
        let fired = Edge::new(AlertState::Firing, secs(4), Why::Held);
        assert_eq!(
            phase.judge(&TIMING, secs(6), (Verdict::True, By::Reading), || false),
            Some(fired)
        );
    }

    #[test]
    fn silence_shorter_than_max_gap_counts_as_holding() {
        let phase = Phase::begin(&TIMING, secs(0));
        let fired = Edge::new(AlertState::Firing, secs(4), Why::Held);
        assert_eq!(phase.due(&TIMING), Some(fired));
        let impatient = Timing { max_gap: Duration::from_secs(3), ..TIMING };
        let broken = Edge::new(AlertState::Inactive, secs(3), Why::Silence);
        assert_eq!(phase.due(&impatient), Some(broken));
    }
}
