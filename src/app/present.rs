//! The present, as the API asks for it: from *judge's* memory and the rules in force.

use bellwire_api::ports::{DeviceInfo, LatestReading, LatestReadings, Present};
use bellwire_ingest::present::{self as ingest, DevicePresent, SharedPresent};
use bellwire_model::{Clock, DeviceId, MetricName, Names, SharedNames, Timestamp};
use std::sync::Arc;
use std::time::Duration;

use super::rules::SharedRules;

/// A device of which no connection is known, because others speak for it, counts as online if it
/// published within this time.
const ONLINE_FOR: Duration = Duration::from_secs(60);

/// What is known without the database.
#[derive(Debug)]
pub struct Now {
    /// Latest values, which *judge* writes.
    pub present: SharedPresent,
    /// Names of devices and metrics.
    pub names: SharedNames,
    /// The rules in force, labels included.
    pub rules: SharedRules,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Now {
    fn info(&self, device: &DeviceId, present: &DevicePresent, now: Timestamp) -> DeviceInfo {
        let labels = self.rules.load().labels_of(device);
        DeviceInfo {
            device: device.clone(),
            first_seen: present.first_seen,
            last_seen: present.last_seen,
            online: match present.presence {
                Some((presence, _)) => presence.is_online(),
                None => now.since(present.last_seen) <= ONLINE_FOR,
            },
            clock_skew: present.skew(),
            labels: labels
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// The first `limit` devices after `after`, in order of their ids.
fn page<'a>(
    present: &'a ingest::Present,
    names: &'a Names,
    after: Option<&DeviceId>,
    limit: usize,
) -> Vec<(&'a DeviceId, &'a DevicePresent)> {
    let mut found: Vec<_> = present
        .devices()
        .map(|(key, device)| (names.device(key), device))
        .filter(|(id, _)| after.is_none_or(|after| *id > after))
        .collect();
    if found.len() > limit {
        found.select_nth_unstable_by(limit, |a, b| a.0.cmp(b.0));
        found.truncate(limit);
    }
    found.sort_unstable_by(|a, b| a.0.cmp(b.0));
    found
}

impl Present for Now {
    fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Vec<DeviceInfo> {
        let now = self.clock.now();
        let names = self.names.read();
        self.present.with(|present| {
            let devices = page(present, &names, after, limit).into_iter();
            devices.map(|(id, device)| self.info(id, device, now)).collect()
        })
    }

    fn device(&self, device: &DeviceId) -> Option<DeviceInfo> {
        let now = self.clock.now();
        let key = self.names.read().device_key(device.as_str())?;
        self.present.with(|present| Some(self.info(device, present.device(key)?, now)))
    }

    fn latest(&self, device: &DeviceId) -> Option<Vec<LatestReading>> {
        let names = self.names.read();
        let key = names.device_key(device.as_str())?;
        self.present.with(|present| {
            let latest = present.device(key)?.latest.iter().map(|latest| LatestReading {
                metric: names.metric(latest.metric).clone(),
                at: latest.at,
                value: latest.value.clone(),
                unit: latest.unit.clone(),
            });
            Some(latest.collect())
        })
    }

    fn latest_of_all(
        &self,
        metric: Option<&MetricName>,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> LatestReadings {
        let names = self.names.read();
        let mut found = LatestReadings::default();
        // Judge waits meanwhile: what is found is taken along, and written down later.
        self.present.with(|present| {
            let devices = page(present, &names, after, limit);
            found.readings.reserve(devices.iter().map(|(_, device)| device.latest.len()).sum());
            for (id, device) in devices {
                let first = found.readings.len();
                let latest = device.latest.iter().map(|it| (names.metric(it.metric), it));
                let wanted = latest.filter(|(name, _)| metric.is_none_or(|metric| metric == *name));
                found.readings.extend(wanted.map(|(name, it)| LatestReading {
                    metric: name.clone(),
                    at: it.at,
                    value: it.value.clone(),
                    unit: it.unit.clone(),
                }));
                found.readings[first..].sort_unstable_by(|a, b| a.metric.cmp(&b.metric));
                found.devices.push((id.clone(), found.readings.len() - first));
            }
        });
        found
    }
}
