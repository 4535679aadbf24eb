//! Keeps a rate: says when the next publish of a connection is due.

use std::time::Duration;

use tokio::time::Instant;

/// Publishes released together span at most this long: at high rates a wake-up costs more than a
/// publish.
const RELEASE_SPAN_SECONDS: f64 = 0.008;

/// The schedule of one connection. It is open: whoever was held up catches up.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Seconds between two publishes.
    step: f64,
    /// Seconds from the beginning to the first.
    phase: f64,
    /// How many are released together.
    together: u64,
    /// How many have been asked for.
    taken: u64,
    /// How many are due by now.
    released: u64,
    began: Option<Instant>,
}

impl Pace {
    /// `rate` publishes per second over all `connections`, of which this is number `at` from 0: the
    /// connections take turns.
    pub(crate) fn new(rate: f64, connections: u32, at: u32, together_max: u16) -> Self {
        let step = f64::from(connections) / rate;
        let together = (RELEASE_SPAN_SECONDS / step).clamp(1.0, f64::from(together_max.max(1)));
        Self {
            step,
            phase: f64::from(at) / rate,
            together: together as u64,
            taken: 0,
            released: 0,
            began: None,
        }
    }

    /// The schedule begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Takes the next publish if it is due; else says when it will be.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        if self.taken == self.released {
            let began = *self.began.get_or_insert(now);
            let elapsed = now.saturating_duration_since(began).as_secs_f64();
            // A release is due with its last publish, so that none comes early.
            let last = self.released + self.together - 1;
            let due = self.phase + self.step * last as f64;
            if elapsed < due {
                return Some(began + Duration::from_secs_f64(due));
            }
            self.released += self.together;
        }
        self.taken += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many publishes `connections` release within `seconds` at this rate, asked every
    /// millisecond.
    fn check(rate: f64, connections: u32, seconds: u64, expected: std::ops::RangeInclusive<u64>) {
        let began = Instant::now();
        let mut paces: Vec<_> =
            (0..connections).map(|at| Pace::new(rate, connections, at, 16)).collect();
        let mut taken = 0;
        for pace in &mut paces {
            pace.begin(began);
            for ms in 0..seconds * 1000 {
                let now = began + Duration::from_millis(ms);
                while pace.take(now).is_none() {
                    taken += 1;
                }
                let allowed = rate / f64::from(connections) * (ms as f64 / 1000.0) + 1.000_001;
                assert!(pace.taken as f64 <= allowed, "{} at {ms} ms", pace.taken);
            }
        }
        assert!(expected.contains(&taken), "{taken} at {rate}");
    }

    #[test]
    fn the_rate_is_kept_and_never_exceeded() {
        check(10.0, 4, 10, 96..=100);
        check(5_000.0, 100, 2, 9_850..=10_000);
        check(120_000.0, 100, 2, 238_000..=240_000);
    }

    #[test]
    fn the_held_up_catch_up() {
        let began = Instant::now();
        let mut pace = Pace::new(100.0, 1, 0, 16);
        pace.begin(began);
        let late = began + Duration::from_millis(995);
        let mut caught_up = 0;
        let due = loop {
            match pace.take(late) {
                None => caught_up += 1,
                Some(due) => break due,
            }
        };
        assert_eq!(caught_up, 100);
        assert_eq!(due, began + Duration::from_secs(1));
    }
}
