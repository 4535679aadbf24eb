//! How far a device's clock is from ours, as far as its payloads tell.

use std::time::Duration;

use crate::Timestamp;

/// An estimate of a device's clock against ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    /// How far the device is ahead of us, microseconds; negative: it is behind. Never more than
    /// the truth by more than the resolution of the device's times, and less by the shortest
    /// delay on the way.
    pub estimate_micros: i64,
    /// How much the delay differs from one publish to the next, on average.
    pub jitter: Duration,
    /// Since when the clock has been about there: its first publish, or its latest step.
    pub since: Timestamp,
}

impl ClockSkew {
    /// How far it is off, whichever way.
    #[must_use]
    pub const fn size(&self) -> Duration {
        Duration::from_micros(self.estimate_micros.unsigned_abs())
    }
}
