//! Whether a condition changes its mind all the time.
//!
//! Kapacitor's and Nagios' measure: of the last [`VERDICTS`] verdicts, the share that are other than
//! the one before, where a recent change weighs up to 1.2 and an old one from 0.8 on. Above one share a
//! rule flaps, below another it has calmed down.

use serde::{Deserialize, Serialize};

use crate::lang::program::Verdict;

/// So many verdicts are looked at.
pub(crate) const VERDICTS: u32 = 21;
const WEIGHT_MIN: f64 = 0.8;
const WEIGHT_MAX: f64 = 1.2;

/// From which share on a rule flaps, and below which it does not any more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// What one rule has said of one device lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flap {
    /// Whether each of the last verdicts was a change; the lowest bit is the latest.
    changes: u32,
    was_true: bool,
    pub(crate) is_flapping: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Began,
    Ended,
}

impl Flap {
    /// Takes a verdict; one that is unknown is none.
    pub(crate) fn note(&mut self, verdict: Verdict, bounds: Bounds) -> Option<Turn> {
        if verdict == Verdict::Unknown {
            return None;
        }
        let is_true = verdict == Verdict::True;
        let is_change = is_true != self.was_true;
        self.was_true = is_true;
        self.changes = (self.changes << 1 | u32::from(is_change)) & ((1 << (VERDICTS - 1)) - 1);
        let share = self.share();
        match self.is_flapping {
            false if share > bounds.high => {
                self.is_flapping = true;
                Some(Turn::Began)
            }
            true if share < bounds.low => {
                self.is_flapping = false;
                Some(Turn::Ended)
            }
            _ => None,
        }
    }

    /// The weighted share of changes.
    pub(crate) fn share(&self) -> f64 {
        let n = VERDICTS - 1;
        let step = (WEIGHT_MAX - WEIGHT_MIN) / f64::from(n - 1);
        let weights = (0..n).filter(|age| self.changes >> age & 1 == 1);
        weights.map(|age| WEIGHT_MAX - step * f64::from(age)).sum::<f64>() / f64::from(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { low: 0.25, high: 0.5 };

    /// The shares that Kapacitor's `percentChange` gives for these histories.
    #[test]
    fn the_share_is_weighted_by_age() {
        for (verdicts, share) in [
            ("000000000000000000000", 0.0),
            ("010101010101010101010", 1.0),
            ("000000000000000000001", 0.06),
            ("011111111111111111111", 0.04),
            ("000000000011111111111", 0.0495),
        ] {
            let mut flap = Flap::default();
            for verdict in verdicts.chars() {
                let verdict = if verdict == '1' { Verdict::True } else { Verdict::False };
                flap.note(verdict, Bounds { low: 0.0, high: 2.0 });
            }
            assert!((flap.share() - share).abs() < 0.001, "{verdicts}: {}", flap.share());
        }
    }

    #[test]
    fn it_flaps_above_one_share_until_it_is_below_another() {
        let mut flap = Flap::default();
        let mut turns = Vec::new();
        for n in 0..60 {
            let verdict = if n < 20 && n % 2 == 0 { Verdict::True } else { Verdict::False };
            turns.extend(flap.note(verdict, BOUNDS).map(|turn| (n, turn)));
        }
        assert_eq!(turns, [(8, Turn::Began), (34, Turn::Ended)]);
    }
}
