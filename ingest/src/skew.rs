//! Estimates a device's clock against ours from the times its payloads carry.
//!
//! Of each publish the newest time counts, so a batch of stored readings is no skew. What is on
//! its way can only come late, so of the offsets of a while the greatest is the nearest to the
//! clock: those of at least [`SLOT_PUBLISHES`] publishes and [`SLOT_SECS`] are one slot, of which
//! the greatest is kept. Where two slots in a row agree, that is the estimate.
//!
//! A device that sends its stored readings one by one gets nearer with each: its slots differ by
//! more than its jitter, and say nothing. A device whose clock was set stays where it is then: its
//! slots agree again, at the latest with the third that ends after the step.

use std::time::Duration;

use bellwire_model::{ClockSkew, Timestamp};
use serde::{Deserialize, Serialize};

/// A slot has at least this many publishes.
pub const SLOT_PUBLISHES: u32 = 8;
/// A slot lasts at least this long in receive time, seconds.
pub const SLOT_SECS: i64 = 15;
/// Before two slots have agreed, so many publishes are enough for a first estimate.
pub const FIRST_PUBLISHES: u32 = 4;

const SLOT_MICROS: i64 = SLOT_SECS * 1_000_000;
/// Slots agree if they differ by no more than this, microseconds: devices that tell whole seconds
/// differ by nearly one. Or by [`JITTERS`], if that is more.
const TOLERANCE_MICROS: i64 = 2_000_000;
/// Less than [`SLOT_PUBLISHES`]: by at least so many times its mean difference a device that
/// catches up gets nearer in a slot.
const JITTERS: i64 = 4;

/// What is known of one device's clock: a fixed number of bytes, and a pure function of its
/// publishes in the order of the log. Times are microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkewEstimator {
    /// How far the device is ahead.
    estimate: i64,
    since: i64,
    /// Of the latest full slot.
    jitter: i64,
    /// The latest offset.
    last: i64,
    /// Publishes until the estimate may be told.
    unsure: u32,
    /// Whether two slots have ever agreed.
    settled: bool,
    slot: Slot,
    before: Option<Slot>,
}

/// Publishes that follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    began: i64,
    publishes: u32,
    /// The greatest offset.
    offset_max: i64,
    /// Sum and greatest of the differences from one offset to the next.
    steps_sum: i64,
    step_max: i64,
}

impl Slot {
    const fn new(now: i64) -> Self {
        Self { began: now, publishes: 0, offset_max: i64::MIN, steps_sum: 0, step_max: 0 }
    }

    fn take(&mut self, offset: i64, step: i64) {
        self.publishes = self.publishes.saturating_add(1);
        self.offset_max = self.offset_max.max(offset);
        self.steps_sum = self.steps_sum.saturating_add(step);
        self.step_max = self.step_max.max(step);
    }

    /// The mean difference from one offset to the next. The greatest is left out: it is where a
    /// clock was set, or where a device began to send what it had stored.
    fn jitter(&self) -> i64 {
        let others = i64::from(self.publishes).saturating_sub(1).max(1);
        (self.steps_sum - self.step_max) / others
    }
}

/// What a publish did to the estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Same,
    /// It is another now.
    Moved,
    /// The device's clock was set.
    Stepped,
}

impl SkewEstimator {
    /// Begins with the first publish that carries a time, of which `at` is the newest.
    #[must_use]
    pub fn new(at: Timestamp, received_at: Timestamp) -> Self {
        let (offset, now) = (offset(at, received_at), received_at.as_micros());
        let mut slot = Slot::new(now);
        slot.take(offset, 0);
        Self {
            estimate: offset,
            since: now,
            jitter: 0,
            last: offset,
            unsure: FIRST_PUBLISHES - 1,
            settled: false,
            slot,
            before: None,
        }
    }

    /// Takes the next publish; `received_at` does not decrease.
    pub fn observe(&mut self, at: Timestamp, received_at: Timestamp) -> Change {
        let (offset, now) = (offset(at, received_at), received_at.as_micros());
        let told = self.skew().map(|skew| skew.estimate_micros);
        if self.slot.publishes == 0 {
            self.slot.began = now;
        }
        self.slot.take(offset, offset.saturating_sub(self.last).saturating_abs());
        self.last = offset;
        self.unsure = self.unsure.saturating_sub(1);
        let is_full = self.slot.publishes >= SLOT_PUBLISHES
            && now.saturating_sub(self.slot.began) >= SLOT_MICROS;
        if is_full && self.close_slot(now) {
            return Change::Stepped;
        }
        if !self.settled {
            let before = self.before.as_ref().map_or(i64::MIN, |slot| slot.offset_max);
            self.estimate = self.slot.offset_max.max(before);
        }
        if self.skew().map(|skew| skew.estimate_micros) == told {
            Change::Same
        } else {
            Change::Moved
        }
    }

    /// The estimate; `None` while there are too few publishes to tell.
    #[must_use]
    pub fn skew(&self) -> Option<ClockSkew> {
        let jitter = if self.before.is_some() { self.jitter } else { self.slot.jitter() };
        (self.unsure == 0).then(|| ClockSkew {
            estimate_micros: self.estimate,
            jitter: Duration::from_micros(jitter.unsigned_abs()),
            since: Timestamp::from_micros(self.since),
        })
    }

    /// Ends the slot; whether it shows that the clock was set.
    fn close_slot(&mut self, now: i64) -> bool {
        let slot = std::mem::replace(&mut self.slot, Slot::new(now));
        self.jitter = slot.jitter();
        let tolerance = TOLERANCE_MICROS.max(self.jitter.saturating_mul(JITTERS));
        let is_near = |a: i64, b: i64| a.saturating_sub(b).saturating_abs() <= tolerance;
        let mut is_step = false;
        if let Some(before) = &self.before
            && is_near(slot.offset_max, before.offset_max)
        {
            let agreed = slot.offset_max.max(before.offset_max);
            is_step = self.settled && !is_near(agreed, self.estimate);
            if is_step {
                self.since = before.began;
            }
            self.estimate = agreed;
            self.settled = true;
        }
        self.before = Some(slot);
        is_step
    }
}

/// How far the device is ahead, microseconds.
const fn offset(at: Timestamp, received_at: Timestamp) -> i64 {
    at.as_micros().saturating_sub(received_at.as_micros())
}

#[cfg(test)]
mod tests;
