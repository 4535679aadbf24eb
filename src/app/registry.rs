//! The registry, as the API changes it: one turn at a time, each change a record of the log.
//!
//! *Judge* makes the change when it reads the record, and so does every replay. A change is answered when
//! *judge* has come that far: what is published after the answer is judged with it.

use std::sync::Arc;
use std::time::Duration;

use bellwire_api::ports::{
    ChangedDevice, Chooser, DeviceFilter, DeviceInfo, DeviceRegistry, LabelMap, PortError,
    RegistryError, RegistryFuture, Seen, SelectionError,
};
use bellwire_ingest::log::{DeviceChange, Entry, Log};
use bellwire_model::names::DEVICES_MAX;
use bellwire_model::registry::{LABELS_MAX, REGISTRY_BYTES_MAX};
use bellwire_model::{Base, DeviceId, DevicePatch, LogPosition, Noted, Registry, Timestamp};
use tokio::sync::{Mutex, watch};
use tokio_util::task::TaskTracker;
use tracing::info;

use super::durably;
use super::lens::Lens;
use super::present::Now;

/// How long a client waits: for its turn, and for the log to take the change.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of so many devices a change tells what was said before and after.
const TOLD_MAX: usize = 100;

/// The registry.
#[derive(Debug)]
pub(super) struct DeviceBook(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whoever has it changes the registry.
    turn: Arc<Mutex<()>>,
    now: Arc<Now>,
    log: Arc<dyn Log>,
    judged: watch::Receiver<LogPosition>,
    tracker: TaskTracker,
}

impl DeviceBook {
    pub(super) fn new(
        now: Arc<Now>,
        log: Arc<dyn Log>,
        judged: watch::Receiver<LogPosition>,
        tracker: TaskTracker,
    ) -> Self {
        Self(Arc::new(Inner { turn: Arc::default(), now, log, judged, tracker }))
    }

    async fn make(
        &self,
        changes: Vec<DeviceChange>,
        seen: Seen,
    ) -> Result<Vec<ChangedDevice>, RegistryError> {
        let turn = Arc::clone(&self.0.turn).lock_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await.map_err(|_| RegistryError::Busy)?;
        let inner = Arc::clone(&self.0);
        // It goes on if nobody waits for it any more, and keeps the turn.
        let changing = self.0.tracker.spawn(async move {
            let made = inner.make(changes, &seen).await;
            drop(turn);
            made
        });
        match tokio::time::timeout(PATIENCE, changing).await {
            Ok(changed) => changed.map_err(|error| PortError::Failed(error.into()))?,
            Err(_) => Err(RegistryError::Waiting),
        }
    }
}

impl Inner {
    async fn make(
        &self,
        changes: Vec<DeviceChange>,
        seen: &Seen,
    ) -> Result<Vec<ChangedDevice>, RegistryError> {
        for (device, _) in &changes {
            self.check_seen(device, seen)?;
        }
        self.check_room(&changes)?;
        let n_devices = changes.len();
        let devices = changes.iter().map(|(device, _)| device).take(TOLD_MAX);
        let told: Vec<_> =
            devices.map(|device| (device.clone(), self.registered(device))).collect();
        let mut rest = changes;
        while !rest.is_empty() {
            let others = rest.split_off(rest.len().min(Entry::DEVICES_MAX));
            let entry = Entry::devices(std::mem::replace(&mut rest, others));
            let appended = durably::append(&self.log, entry).await;
            appended.map_err(|_| RegistryError::Stopping)?;
        }
        let end = self.log.durable().end;
        let mut judged = self.judged.clone();
        let judged = judged.wait_for(|judged| *judged >= end).await;
        judged.map_err(|_| RegistryError::Stopping)?;
        info!(n_devices, "By API: {n_devices} devices in the registry were changed.");
        let told = told.into_iter().map(|(device, before)| {
            let after = self.registered(&device);
            ChangedDevice { device, before, after }
        });
        Ok(told.collect())
    }

    /// What the registry says of a device.
    fn registered(&self, device: &DeviceId) -> Option<LabelMap> {
        self.now.look_up(device)?.sources.registry
    }

    /// Whether it is still so what the client has seen.
    fn check_seen(&self, device: &DeviceId, seen: &Seen) -> Result<(), RegistryError> {
        if *seen == Seen::Whatever {
            return Ok(());
        }
        let known = self.now.look_up(device);
        let is_registered = known.as_ref().is_some_and(|it| it.sources.registry.is_some());
        match (seen, known) {
            (Seen::None, _) if is_registered => Err(RegistryError::Exists(device.clone())),
            (Seen::None | Seen::Whatever, _) | (Seen::Any, Some(_)) => Ok(()),
            (Seen::Any | Seen::Revisions(_), None) => {
                Err(RegistryError::NoSuchDevice(device.clone()))
            }
            (Seen::Revisions(revisions), Some(known)) => {
                let revision = known.sources.revision;
                let has = revisions.contains(&revision);
                if has { Ok(()) } else { Err(RegistryError::Changed { revision }) }
            }
        }
    }

    /// Whether all changes can be made, as *judge* will make them.
    fn check_room(&self, changes: &[DeviceChange]) -> Result<(), RegistryError> {
        let place = (LogPosition::ZERO, Timestamp::EPOCH);
        let mut trial = Registry::default();
        let (mut bytes_before, mut n_new) = (0, 0);
        let registry = self.now.registry.read();
        let names = self.now.names.read();
        for (device, patch) in changes {
            if trial.get(device).is_none() {
                n_new += usize::from(names.device_key(device.as_str()).is_none());
                if let Some(profile) = registry.get(device) {
                    trial.set(device, profile);
                    bytes_before += profile.bytes();
                }
            }
            if n_labels_after(&trial, device, patch) > LABELS_MAX {
                return Err(RegistryError::TooManyLabels(device.clone()));
            }
            if trial.patch(device, patch, place) == Noted::Refused {
                return Err(RegistryError::Full);
            }
        }
        let bytes = registry.bytes() - bytes_before + trial.bytes();
        let is_more = trial.bytes() > bytes_before;
        if (is_more && bytes > REGISTRY_BYTES_MAX) || names.devices().len() + n_new > DEVICES_MAX {
            return Err(RegistryError::Full);
        }
        Ok(())
    }
}

/// How many labels the registry would say of a device.
fn n_labels_after(registry: &Registry, device: &DeviceId, patch: &DevicePatch) -> usize {
    let DevicePatch::Put(base, labels) = patch else { return 0 };
    let known = registry.get(device).and_then(|it| it.registered.as_ref());
    let known = known.filter(|_| *base == Base::Kept).map(|it| it.labels.clone());
    let mut after = known.unwrap_or_default();
    for (name, value) in labels {
        match value {
            Some(value) => after.set(name, value),
            None => after.remove(name),
        }
    }
    after.len()
}

impl DeviceRegistry for DeviceBook {
    fn find(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<DeviceInfo>, SelectionError> {
        self.0.now.find(filter, after, limit)
    }

    fn chooser(&self, select: &str) -> Result<Arc<dyn Chooser>, SelectionError> {
        let (rules, registry) = (Arc::clone(&self.0.now.rules), self.0.now.registry.clone());
        Ok(Arc::new(Lens::new(select, rules, registry)?))
    }

    fn change(&self, changes: Vec<DeviceChange>, seen: Seen) -> RegistryFuture<'_> {
        Box::pin(self.make(changes, seen))
    }
}
