//! How bad an alert with several levels is: each level must hold for as long as the rule asks, and
//! keeps until it has cleared.

use bellwire_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::machine::Timing;
use crate::lang::program::Verdict;

/// The most levels: as many as there are severities.
pub(crate) const LEVELS_MAX: usize = 3;

/// A level's condition, or that of a higher one, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// Microseconds of event time.
    since: i64,
    held_at: i64,
    is_unknown: bool,
}

impl Run {
    /// When it has held for long enough, if it does so without another reading.
    fn proven_at(&self, timing: &Timing) -> Option<Timestamp> {
        let proven = Timestamp::from_micros(self.since) + timing.hold;
        let broken = Timestamp::from_micros(self.held_at) + timing.max_gap;
        (!self.is_unknown && proven <= broken).then_some(proven)
    }
}

/// The level of an alert, and those on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Climb {
    /// The place of the present level among the rule's.
    pub(crate) level: u8,
    /// Of each level but the first.
    runs: [Option<Run>; LEVELS_MAX - 1],
}

impl Climb {
    /// Takes what a reading at `at` shows of the levels above the first, lowest first; `clears` says
    /// whether the level with a place has cleared. Gives whether the level changed, and when.
    pub(crate) fn judge(
        &mut self,
        timing: &Timing,
        at: Timestamp,
        verdicts: impl Iterator<Item = Verdict>,
        clears: impl FnOnce(usize) -> bool,
    ) -> Option<Timestamp> {
        for (run, verdict) in self.runs.iter_mut().zip(verdicts) {
            if run.is_some_and(|run| at.since(Timestamp::from_micros(run.held_at)) > timing.max_gap)
            {
                *run = None;
            }
            match verdict {
                Verdict::True => {
                    let run = run.get_or_insert(Run {
                        since: at.as_micros(),
                        held_at: at.as_micros(),
                        is_unknown: false,
                    });
                    (run.held_at, run.is_unknown) = (at.as_micros(), false);
                }
                Verdict::False => *run = None,
                Verdict::Unknown => {
                    if let Some(run) = run {
                        run.is_unknown = true;
                    }
                }
            }
        }
        if let Some(change) = self.rise(timing, at) {
            return Some(change);
        }
        let level = usize::from(self.level);
        let has_run = level.checked_sub(1).is_some_and(|index| self.runs[index].is_some());
        if level == 0 || has_run || !clears(level) {
            return None;
        }
        let held = (1..level).rev().find(|index| self.proven(*index, timing, at).is_some());
        self.level = u8::try_from(held.unwrap_or(0)).unwrap_or(0);
        Some(at)
    }

    /// Goes to the highest level that has held for long enough by `at`, if that is higher.
    pub(crate) fn rise(&mut self, timing: &Timing, at: Timestamp) -> Option<Timestamp> {
        let level = usize::from(self.level);
        let (index, proven) = (level + 1..LEVELS_MAX)
            .rev()
            .find_map(|index| Some((index, self.proven(index, timing, at)?)))?;
        self.level = u8::try_from(index).unwrap_or(self.level);
        Some(proven)
    }

    fn proven(&self, index: usize, timing: &Timing, at: Timestamp) -> Option<Timestamp> {
        let run = self.runs[index - 1]?;
        let proven = Timestamp::from_micros(run.since) + timing.hold;
        (proven <= at).then_some(proven)
    }

    /// The event time at which a higher level will have held for long enough.
    pub(crate) fn due(&self, timing: &Timing) -> Option<Timestamp> {
        let runs = self.runs.iter().skip(usize::from(self.level)).flatten();
        runs.filter_map(|run| run.proven_at(timing)).min()
    }

    /// What comes from outside, with a level that there can be.
    pub(crate) fn sound(self) -> Self {
        let highest = u8::try_from(LEVELS_MAX - 1).unwrap_or(0);
        Self { level: self.level.min(highest), ..self }
    }

    /// Begins all runs anew at `at`: the device's clock has stepped.
    pub(crate) fn restart(&mut self, at: Timestamp) {
        for run in self.runs.iter_mut().flatten() {
            (run.since, run.held_at) = (at.as_micros(), at.as_micros());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMING: Timing = Timing {
        hold: Duration::from_secs(4),
        keep_firing: Duration::ZERO,
        max_gap: Duration::from_secs(6),
        repeat: 1,
    };

    fn secs(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn judge(climb: &mut Climb, at: i64, levels: [Verdict; 2]) -> Option<Timestamp> {
        climb.judge(&TIMING, secs(at), levels.into_iter(), |_| true)
    }

    #[test]
    fn a_level_counts_once_it_has_held() {
        use Verdict::{False, True};
        let mut climb = Climb::default();
        assert_eq!(judge(&mut climb, 0, [True, False]), None);
        assert_eq!(judge(&mut climb, 2, [True, True]), None);
        assert_eq!(climb.due(&TIMING), Some(secs(4)));
        assert_eq!(judge(&mut climb, 5, [True, True]), Some(secs(4)));
        assert_eq!((climb.level, climb.due(&TIMING)), (1, Some(secs(6))));
        assert_eq!(climb.rise(&TIMING, secs(6)), Some(secs(6)));
        assert_eq!(climb.level, 2);
        assert_eq!(judge(&mut climb, 7, [True, False]), Some(secs(7)));
        assert_eq!(climb.level, 1, "that one still holds");
        assert_eq!(judge(&mut climb, 8, [False, False]), Some(secs(8)));
        assert_eq!(climb.level, 0);
    }

    #[test]
    fn a_level_that_has_not_cleared_stays() {
        let mut climb = Climb { level: 2, runs: [None, None] };
        let falls = [Verdict::False, Verdict::False];
        assert_eq!(climb.judge(&TIMING, secs(1), falls.into_iter(), |_| false), None);
        assert_eq!(climb.level, 2);
    }

    #[test]
    fn silence_and_doubt_break_a_run() {
        use Verdict::{False, True, Unknown};
        let mut climb = Climb::default();
        judge(&mut climb, 0, [True, False]);
        judge(&mut climb, 1, [Unknown, False]);
        assert_eq!(climb.due(&TIMING), None);
        assert_eq!(judge(&mut climb, 8, [True, False]), None, "it begins anew");
        assert_eq!(climb.due(&TIMING), Some(secs(12)));
    }
}
