//! Finds the keys of names without a lock: a private copy of what [`SharedNames`] knows.

use bellwire_model::{DeviceId, DeviceKey, MetricKey, MetricName, RejectReason, SharedNames};
use hashbrown::HashMap;

/// A reader's own table of names; asks the shared one only for names it has not met.
#[derive(Debug)]
pub(super) struct NameCache {
    shared: SharedNames,
    devices: HashMap<DeviceId, DeviceKey>,
    metrics: HashMap<MetricName, MetricKey>,
}

impl NameCache {
    pub(super) fn new(shared: SharedNames) -> Self {
        Self { shared, devices: HashMap::new(), metrics: HashMap::new() }
    }

    /// The key of a device, new or known.
    ///
    /// # Errors
    /// The reason why it can have none.
    pub(super) fn device(&mut self, id: &str) -> Result<DeviceKey, RejectReason> {
        if let Some(&key) = self.devices.get(id) {
            return Ok(key);
        }
        let id = DeviceId::new(id).map_err(|_| RejectReason::BadTopic)?;
        let key = self.shared.write(|names| names.add_device(&id));
        let key = key.ok_or(RejectReason::TooManyNames)?;
        self.devices.insert(id, key);
        Ok(key)
    }

    /// The names themselves.
    pub(super) const fn shared(&self) -> &SharedNames {
        &self.shared
    }

    /// The name of a device that has a key.
    pub(super) fn device_id(&self, device: DeviceKey) -> DeviceId {
        self.shared.read().device(device).clone()
    }

    /// The key of a metric, new or known.
    ///
    /// # Errors
    /// The reason why it can have none.
    pub(super) fn metric(&mut self, name: &str) -> Result<MetricKey, RejectReason> {
        if let Some(&key) = self.metrics.get(name) {
            return Ok(key);
        }
        let name = MetricName::new(name).map_err(|_| RejectReason::BadMetric)?;
        let key = self.shared.write(|names| names.add_metric(&name));
        let key = key.ok_or(RejectReason::TooManyNames)?;
        self.metrics.insert(name, key);
        Ok(key)
    }
}
