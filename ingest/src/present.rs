//! The present: each device's latest values, from memory.

use std::sync::{Arc, Mutex, PoisonError};

use bellwire_model::{DeviceKey, MetricKey, Reading, Timestamp, Value};

/// One metric's latest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// Of what.
    pub metric: MetricKey,
    /// Event time.
    pub at: Timestamp,
    /// What was read.
    pub value: Value,
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
}

/// All devices at present, by key.
#[derive(Debug, Default)]
pub struct Present {
    devices: Vec<Option<DevicePresent>>,
}

impl Present {
    /// Notes that the device published something.
    pub fn seen(&mut self, device: DeviceKey, received_at: Timestamp) {
        if self.devices.len() <= device.index() {
            self.devices.resize(device.index() + 1, None);
        }
        self.devices[device.index()]
            .get_or_insert_with(|| DevicePresent {
                first_seen: received_at,
                last_seen: received_at,
                latest: Vec::new(),
            })
            .last_seen = received_at;
    }

    /// Takes readings of one device that was [`Present::seen`].
    pub fn readings(&mut self, device: DeviceKey, readings: &[Reading]) {
        let Some(Some(present)) = self.devices.get_mut(device.index()) else { return };
        for (index, reading) in readings.iter().enumerate() {
            present.take(index, reading);
        }
    }

    /// Puts a device in place, from a snapshot.
    pub fn restore(&mut self, device: DeviceKey, present: DevicePresent) {
        self.seen(device, present.last_seen);
        self.devices[device.index()] = Some(present);
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
            }),
        }
    }
}

/// The present, shared between *judge*, which writes, and those who ask. Hold it briefly.
#[derive(Clone, Debug, Default)]
pub struct SharedPresent(Arc<Mutex<Present>>);

impl SharedPresent {
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
                value: Value::Number(3.0)
            }]
        );
        assert_eq!(present.devices().count(), 1);
    }
}
