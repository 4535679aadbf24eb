//! When each publish was sent, for whoever sees its effect and wants to know how long it took.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bellwire_model::{DeviceId, Timestamp};
use tokio::time::Instant;

/// One publish that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number; unique per device.
    pub n: u64,
    /// The `ts` in its payload: the event time that a transition shows as `at`.
    pub at: Timestamp,
    /// Just before its bytes went to the socket for the first time.
    pub sent_at: Instant,
}

/// Remembers the latest publishes of each device: at most [`PublishedLog::PER_DEVICE_MAX`], older
/// ones are forgotten.
#[derive(Debug, Default)]
pub struct PublishedLog {
    devices: Mutex<BTreeMap<DeviceId, VecDeque<Published>>>,
}

impl PublishedLog {
    /// How many publishes of a device are remembered.
    pub const PER_DEVICE_MAX: usize = 4096;

    pub(crate) fn record(&self, device: &DeviceId, published: Published) {
        let mut devices = self.lock();
        let Some(log) = devices.get_mut(device) else {
            devices.insert(device.clone(), VecDeque::from([published]));
            return;
        };
        if log.len() == Self::PER_DEVICE_MAX {
            log.pop_front();
        }
        log.push_back(published);
    }

    /// The device's publish with this number, if it is remembered.
    #[must_use]
    pub fn by_n(&self, device: &DeviceId, n: u64) -> Option<Published> {
        let devices = self.lock();
        let log = devices.get(device)?;
        // `n` ascends in the order of publishing.
        let at = log.binary_search_by_key(&n, |published| published.n).ok()?;
        log.get(at).copied()
    }

    /// The device's publish with this event time, if it is remembered; the latest of several.
    #[must_use]
    pub fn by_time(&self, device: &DeviceId, at: Timestamp) -> Option<Published> {
        self.lock().get(device)?.iter().rev().find(|published| published.at == at).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, VecDeque<Published>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_found_and_the_oldest_forgotten() {
        let log = PublishedLog::default();
        let device = DeviceId::new("probe").expect("valid");
        let sent_at = Instant::now();
        let all = PublishedLog::PER_DEVICE_MAX as u64 + 10;
        for n in 1..=all {
            let at = Timestamp::from_micros(1000 + n.cast_signed());
            log.record(&device, Published { n, at, sent_at });
        }
        assert_eq!(log.by_n(&device, 10), None);
        assert_eq!(log.by_n(&device, 11).map(|published| published.n), Some(11));
        let at = Timestamp::from_micros(1000 + all.cast_signed());
        assert_eq!(log.by_time(&device, at).map(|published| published.n), Some(all));
        assert_eq!(log.by_n(&DeviceId::new("other").expect("valid"), 11), None);
    }
}
