//! Runs the engine over readings as if each had been received when it was made.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{LogPosition, Names, Observation, Reading, Registry, Timestamp, Transition};

use crate::{Engine, RuleSet};

/// The least time between two ticks that find nothing else to do, as in the live log.
const TICK: Duration = Duration::from_secs(1);

/// The live engine, and the records that a log would have: one for each instant of a device, and a
/// tick whenever the engine waits for one before the next reading.
///
/// Time goes no further than the readings, unless [`Driver::pass`] says so: an alert whose `for`
/// would have run out after the last of them is left as it stands.
#[derive(Debug)]
pub struct Driver {
    engine: Engine,
    /// When the latest record was received.
    now: Timestamp,
    position: LogPosition,
    ticked_at: Option<Timestamp>,
}

impl Driver {
    /// With these rules from before the first reading on, and nothing said of devices beside them.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self::knowing(rules, Registry::default())
    }

    /// The same, where this is said of devices, all the time.
    #[must_use]
    pub fn knowing(rules: Arc<RuleSet>, registry: Registry) -> Self {
        let (now, position) = (Timestamp::EPOCH, LogPosition(1));
        let mut engine = Engine::knowing(registry);
        // It has seen nothing, so it has nothing to say.
        engine.set_rules(rules, now, position, &Names::default(), &mut Vec::new());
        Self { engine, now, position, ticked_at: None }
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The time up to which it has come.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Judges readings of one device and one instant, each of another metric, and pushes what was due
    /// before and what follows to `out`. They are taken as received when they were made, or with the
    /// reading before if that is from later: then they are late, or the device's clock has stepped, and
    /// the engine decides which.
    ///
    /// # Panics
    /// If the readings' keys are not from `names`.
    pub fn observe(&mut self, readings: &[Reading], names: &Names, out: &mut Vec<Transition>) {
        let Some(first) = readings.first() else { return };
        self.receive(readings, first.at, names, out);
    }

    /// The same, with the readings received at `received_at`.
    ///
    /// # Panics
    /// If the readings' keys are not from `names`.
    pub fn receive(
        &mut self,
        readings: &[Reading],
        received_at: Timestamp,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        let Some(first) = readings.first() else { return };
        let received_at = received_at.max(self.now);
        // At the very instant of a deadline, the reading decides.
        self.pass(received_at - Duration::from_micros(1), names, out);
        self.now = received_at;
        self.position = next(self.position);
        let observation = Observation {
            device: first.device,
            at: first.at,
            received_at,
            position: self.position,
            seq: None,
            readings,
        };
        self.engine.observe(&observation, names, out);
    }

    /// Lets time pass up to `end`, that instant included: what is due without a reading happens.
    pub fn pass(&mut self, end: Timestamp, names: &Names, out: &mut Vec<Transition>) {
        while let Some(due) = self.engine.next_deadline() {
            let soonest = match self.ticked_at {
                Some(last) if last >= due => last + TICK,
                _ => due,
            };
            let at = soonest.max(self.now);
            if at > end {
                return;
            }
            (self.now, self.ticked_at) = (at, Some(at));
            self.position = next(self.position);
            self.engine.tick(at, self.position, names, out);
        }
    }
}

const fn next(position: LogPosition) -> LogPosition {
    LogPosition(position.0 + 1)
}
