//! The present: each device's latest values, and how far its clock is off, from memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwire_model::{ClockSkew, DeviceKey, MetricKey, Presence, Reading, Timestamp, Value};

use crate::decode::UnitOf;
use crate::skew::{Change, SkewEstimator};

/// A clock that is further off counts as skewed, if nothing else is said.
pub const SKEW_MAX: Duration = Duration::from_secs(5);

/// One metric's latest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// Of what.
    pub metric: MetricKey,
    /// Event time.
    pub at: Timestamp,
    /// What was read.
    pub value: Value,
    /// In which unit, if a payload ever said it.
    pub unit: Option<Arc<str>>,
}

/// What is known of one device at present.
#[derive(Clone, Debug, PartialEq)]
pub struct DevicePresent {
    /// When its first publish was received.
    pub first_seen: Timestamp,
    /// When its latest publish was received.
    pub last_seen: Timestamp,
    /// Each metric's reading with the greatest event time; of equal ones the later to arrive.
    pub latest: Vec<Latest>,
    /// Its clock, once a payload had a time.
    pub clock: Option<SkewEstimator>,
    /// Whether it is connected or says it is there, if that was ever said, and since when.
    pub presence: Option<(Presence, Timestamp)>,
    /// Whether it has a connection of its own, as the log says.
    pub is_connected: bool,
    /// Whether it is counted as skewed.
    is_skewed: bool,
}

/// All devices at present, by key.
#[derive(Debug)]
pub struct Present {
    devices: Vec<Option<DevicePresent>>,
    skew_max: Duration,
    n_skewed: usize,
}

impl Default for Present {
    fn default() -> Self {
        Self { devices: Vec::new(), skew_max: SKEW_MAX, n_skewed: 0 }
    }
}

impl Present {
    /// Notes that the device published something.
    pub fn seen(&mut self, device: DeviceKey, received_at: Timestamp) -> &mut DevicePresent {
        if self.devices.len() <= device.index() {
            self.devices.resize(device.index() + 1, None);
        }
        let present = self.devices[device.index()]
            .get_or_insert_with(|| DevicePresent::new(received_at, received_at));
        // What is replayed came long ago.
        present.first_seen = present.first_seen.min(received_at);
        present.last_seen = present.last_seen.max(received_at);
        present
    }

    /// Brings [`Present::n_skewed`] up to date after the device's clock has changed.
    pub fn count_skewed(&mut self, device: DeviceKey) {
        let skew_max = self.skew_max;
        let Some(Some(present)) = self.devices.get_mut(device.index()) else { return };
        let is_skewed = present.skew().is_some_and(|skew| skew.size() > skew_max);
        let was_skewed = std::mem::replace(&mut present.is_skewed, is_skewed);
        self.n_skewed = self.n_skewed + usize::from(is_skewed) - usize::from(was_skewed);
    }

    /// How many devices' clocks are too far off.
    #[must_use]
    pub const fn n_skewed(&self) -> usize {
        self.n_skewed
    }

    /// Takes readings of one device that was [`Present::seen`].
    pub fn readings(&mut self, device: DeviceKey, readings: &[Reading]) {
        let Some(Some(present)) = self.devices.get_mut(device.index()) else { return };
        for (index, reading) in readings.iter().enumerate() {
            present.take(index, reading);
        }
    }

    /// Notes the unit of a metric that the device has sent.
    pub fn unit(&mut self, said: &UnitOf) {
        let Some(Some(present)) = self.devices.get_mut(said.device.index()) else { return };
        let latest = present.latest.iter_mut().find(|latest| latest.metric == said.metric);
        if let Some(latest) = latest.filter(|latest| latest.unit.as_ref() != Some(&said.unit)) {
            latest.unit = Some(Arc::clone(&said.unit));
        }
    }

    /// Notes that a device came or went.
    pub fn presence(&mut self, device: DeviceKey, presence: Presence, at: Timestamp) {
        if self.devices.len() <= device.index() {
            self.devices.resize(device.index() + 1, None);
        }
        let known = self.devices[device.index()].get_or_insert_with(|| DevicePresent::new(at, at));
        if known.presence.is_none_or(|(before, _)| before != presence) {
            known.presence = Some((presence, at));
        }
    }

    /// Notes that a device's own connection has begun or ended.
    pub fn connection(&mut self, device: DeviceKey, presence: Presence) {
        if let Some(Some(known)) = self.devices.get_mut(device.index()) {
            known.is_connected = presence.is_online();
        }
    }

    /// Puts a device in place, from a snapshot.
    pub fn restore(&mut self, device: DeviceKey, present: DevicePresent) {
        let last_seen = present.last_seen;
        *self.seen(device, last_seen) = present;
        self.count_skewed(device);
    }

    /// Puts the clock of a device in place that was restored.
    pub fn restore_clock(&mut self, device: DeviceKey, clock: SkewEstimator) {
        let Some(Some(present)) = self.devices.get_mut(device.index()) else { return };
        present.clock = Some(clock);
        self.count_skewed(device);
    }

    /// One device, if it has published.
    #[must_use]
    pub fn device(&self, device: DeviceKey) -> Option<&DevicePresent> {
        self.devices.get(device.index())?.as_ref()
    }

    /// Every device that has published.
    pub fn devices(&self) -> impl Iterator<Item = (DeviceKey, &DevicePresent)> {
        self.devices.iter().enumerate().filter_map(|(index, present)| {
            Some((DeviceKey(u32::try_from(index).ok()?), present.as_ref()?))
        })
    }
}

impl DevicePresent {
    /// A device of which nothing else is known yet.
    #[must_use]
    pub const fn new(first_seen: Timestamp, last_seen: Timestamp) -> Self {
        Self {
            first_seen,
            last_seen,
            latest: Vec::new(),
            clock: None,
            presence: None,
            is_connected: false,
            is_skewed: false,
        }
    }

    /// How far its clock is off, if that can be told.
    #[must_use]
    pub fn skew(&self) -> Option<ClockSkew> {
        self.clock.as_ref()?.skew()
    }

    /// Takes the newest time of a publish.
    pub(crate) fn clock(&mut self, newest: Timestamp, received_at: Timestamp) -> Change {
        match &mut self.clock {
            Some(clock) => clock.observe(newest, received_at),
            None => {
                self.clock = Some(SkewEstimator::new(newest, received_at));
                Change::Same
            }
        }
    }

    /// Takes one reading. Payloads repeat their shape: try the place it had last time first.
    fn take(&mut self, hint: usize, reading: &Reading) {
        let found = match self.latest.get(hint) {
            Some(latest) if latest.metric == reading.metric => Some(hint),
            _ => self.latest.iter().position(|latest| latest.metric == reading.metric),
        };
        match found {
            Some(index) => {
                let latest = &mut self.latest[index];
                if reading.at >= latest.at {
                    latest.at = reading.at;
                    latest.value.clone_from(&reading.value);
                }
            }
            None => self.latest.push(Latest {
                metric: reading.metric,
                at: reading.at,
                value: reading.value.clone(),
                unit: None,
            }),
        }
    }
}

/// The present, shared between *judge*, which writes, and those who ask. Hold it briefly.
#[derive(Clone, Debug, Default)]
pub struct SharedPresent(Arc<Mutex<Present>>);

impl SharedPresent {
    /// Without devices; clocks that are further off than this count as skewed.
    #[must_use]
    pub fn with_skew_max(skew_max: Duration) -> Self {
        Self(Arc::new(Mutex::new(Present { skew_max, ..Present::default() })))
    }

    /// Reads or changes it.
    pub fn with<T>(&self, act: impl FnOnce(&mut Present) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_event_time_wins() {
        let mut present = Present::default();
        let device = DeviceKey(1);
        let reading = |at, value| Reading {
            device,
            metric: MetricKey(0),
            at: Timestamp::from_secs(at),
            value: Value::Number(value),
        };
        present.seen(device, Timestamp::from_secs(50));
        for (at, value) in [(10, 1.0), (9, 2.0), (10, 3.0)] {
            present.readings(device, &[reading(at, value)]);
        }
        let latest = &present.device(device).expect("seen").latest;
        assert_eq!(
            latest[..],
            [Latest {
                metric: MetricKey(0),
                at: Timestamp::from_secs(10),
                value: Value::Number(3.0),
                unit: None,
            }]
        );
        assert_eq!(present.devices().count(), 1);
    }
}
