//! Publishes that were refused before the log → log: counted by device, and noted once a second, so that
//! they are in the device's account.
//!
//! A crash loses the count of the last second. Of a device that nobody knows nothing is counted: who may
//! not publish cannot make devices, nor memory, by trying.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwire_ingest::log::{Entry, Log};
use bellwire_model::{DeviceId, DeviceKey, SharedNames};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Running;

/// How often counts are noted.
const EVERY: Duration = Duration::from_secs(1);

/// Refused publishes that are not in the log yet: a count for each device that is known.
#[derive(Clone, Debug)]
pub struct Refused {
    names: SharedNames,
    counts: Arc<Mutex<HashMap<DeviceKey, u32>>>,
}

impl Refused {
    /// None yet.
    #[must_use]
    pub fn new(names: SharedNames) -> Self {
        Self { names, counts: Arc::default() }
    }

    /// A publish on a topic of this device was refused.
    pub fn note(&self, device: &str) {
        let Some(key) = self.names.read().device_key(device) else { return };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    fn take(&self) -> Vec<(DeviceId, u32)> {
        let counts =
            std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.is_empty() {
            return Vec::new();
        }
        let names = self.names.read();
        counts.into_iter().map(|(key, n)| (names.device(key).clone(), n)).collect()
    }

    async fn flush(&self, log: &Arc<dyn Log>) {
        for some in self.take().chunks(Entry::PRESENCES_MAX) {
            // A control record: it has its room also while the log holds the sockets.
            log.append(Entry::refused(some)).await;
        }
    }
}

/// Notes counts until told to end, and then once more.
pub(super) fn follow(refused: Refused, log: Arc<dyn Log>, tracker: &TaskTracker) -> Running {
    let closing = CancellationToken::new();
    let closed = closing.clone();
    let task = tracker.spawn(async move {
        let mut pulse = interval(EVERY);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closed.run_until_cancelled(pulse.tick()).await.is_some() {
            refused.flush(&log).await;
        }
        refused.flush(&log).await;
    });
    (closing, task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_that_are_known_are_counted() {
        let names = SharedNames::default();
        let known = DeviceId::new("oven").unwrap();
        names.write(|names| names.add_device(&known)).unwrap();
        let refused = Refused::new(names);
        ["oven", "stranger", "oven", "a/b"].into_iter().for_each(|device| refused.note(device));
        assert_eq!(refused.take(), [(known, 2)]);
        assert_eq!(refused.take(), []);
    }
}
