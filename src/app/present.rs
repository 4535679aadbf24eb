//! The present, as the API asks for it: from *judge's* memory and the rules in force.

use bellwire_alerts::Selection;
use bellwire_api::ports::{
    DeviceFilter, DeviceInfo, LabelMap, LabelSources, LatestReading, LatestReadings, Present,
    SelectionError,
};
use bellwire_ingest::present::{self as ingest, DevicePresent, SharedPresent};
use bellwire_model::{
    Clock, ClockSkew, DeviceId, Labels, MetricName, Names, Presence, SharedNames, SharedRegistry,
    Timestamp,
};
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
    /// What else is said of devices.
    pub registry: SharedRegistry,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Now {
    fn info(&self, device: &DeviceId, seen: Option<&Glance>, now: Timestamp) -> DeviceInfo {
        let said = self.rules.load().said_of(device);
        let profile = self.registry.profile(device).unwrap_or_default();
        let map = |labels: &Labels| -> LabelMap {
            labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let registered = profile.registered.as_ref();
        DeviceInfo {
            device: device.clone(),
            first_seen: seen.map(|it| it.first_seen),
            last_seen: seen.map(|it| it.last_seen),
            online: seen.is_some_and(|it| it.is_online(now)),
            clock_skew: seen.and_then(|it| it.clock_skew),
            labels: map(&profile.around(&said)),
            sources: LabelSources {
                registry: registered.map(|it| map(&it.labels)),
                rules: map(&said),
                births: map(&profile.born),
                revision: registered.map_or(0, |it| it.revision.0),
            },
        }
    }

    /// What is seen of a device.
    fn glance(&self, device: &DeviceId) -> Option<Glance> {
        let key = self.names.read().device_key(device.as_str())?;
        self.present.with(|present| present.device(key).map(Glance::of))
    }

    /// One device, if it is known: it has published, or the registry has it.
    pub(super) fn look_up(&self, device: &DeviceId) -> Option<DeviceInfo> {
        let seen = self.glance(device);
        if seen.is_none() && self.registry.profile(device).is_none() {
            return None;
        }
        Some(self.info(device, seen.as_ref(), self.clock.now()))
    }

    /// All devices that are known whose name begins so, those after `after` only, by name.
    fn all(&self, prefix: &str, after: Option<&DeviceId>) -> Vec<(DeviceId, Option<Glance>)> {
        let is_wanted =
            |id: &DeviceId| id.as_str().starts_with(prefix) && after.is_none_or(|after| id > after);
        let mut all: Vec<(DeviceId, Option<Glance>)> = {
            let names = self.names.read();
            self.present.with(|present| {
                let devices = present.devices().map(|(key, device)| (names.device(key), device));
                let wanted = devices.filter(|(id, _)| is_wanted(id));
                wanted.map(|(id, device)| (id.clone(), Some(Glance::of(device)))).collect()
            })
        };
        let registry = self.registry.read();
        all.extend(
            registry
                .iter()
                .map(|(id, _)| id)
                .filter(|id| is_wanted(id))
                .map(|id| (id.clone(), None)),
        );
        drop(registry);
        // Of each that was seen, that comes first.
        all.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.is_some().cmp(&a.1.is_some())));
        all.dedup_by(|a, b| a.0 == b.0);
        all
    }

    /// As [`bellwire_api::ports::DeviceRegistry::find`].
    pub(super) fn find(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<DeviceInfo>, SelectionError> {
        let select = filter.select.as_deref().map(selection).transpose()?;
        let now = self.clock.now();
        let all = self.all(filter.prefix.as_deref().unwrap_or_default(), after);
        let rules = self.rules.load();
        let is_wanted = |(id, seen): &(DeviceId, Option<Glance>)| {
            let online = seen.as_ref().is_some_and(|it| it.is_online(now));
            filter.online.is_none_or(|wanted| wanted == online)
                && select.as_ref().is_none_or(|select| {
                    select.chooses(id, &rules.labels_of(id, &self.registry.read()))
                })
        };
        let wanted = all.iter().filter(|device| is_wanted(device)).take(limit);
        Ok(wanted.map(|(id, seen)| self.info(id, seen.as_ref(), now)).collect())
    }
}

/// Reads a selection.
///
/// # Errors
/// If it is none.
pub(super) fn selection(text: &str) -> Result<Selection, SelectionError> {
    Selection::parse(text)
        .map_err(|error| SelectionError { column: error.column, message: error.message })
}

/// What is seen of a device at a moment.
#[derive(Clone, Copy, Debug)]
struct Glance {
    first_seen: Timestamp,
    last_seen: Timestamp,
    presence: Option<Presence>,
    clock_skew: Option<ClockSkew>,
}

impl Glance {
    fn of(device: &DevicePresent) -> Self {
        Self {
            first_seen: device.first_seen,
            last_seen: device.last_seen,
            presence: device.presence.map(|(presence, _)| presence),
            clock_skew: device.skew(),
        }
    }

    fn is_online(&self, now: Timestamp) -> bool {
        match self.presence {
            Some(presence) => presence.is_online(),
            None => now.since(self.last_seen) <= ONLINE_FOR,
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
    fn device(&self, device: &DeviceId) -> Option<DeviceInfo> {
        self.look_up(device)
    }

    fn latest(&self, device: &DeviceId) -> Option<Vec<LatestReading>> {
        let names = self.names.read();
        let key = names.device_key(device.as_str())?;
        let is_registered = self.registry.profile(device).is_some();
        self.present.with(|present| {
            let Some(seen) = present.device(key) else { return is_registered.then(Vec::new) };
            let latest = seen.latest.iter().map(|latest| LatestReading {
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
