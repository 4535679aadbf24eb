//! Small numbers for names: a reading carries two `u32`, not two strings.
//!
//! Keys belong to one process and mean nothing outside it; the database has its own ids, which
//! `store` maps them to.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use hashbrown::HashMap;

use crate::{DeviceId, MetricName};

/// A device's number in this process, from 0 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey(pub u32);

/// A metric's number in this process, from 0 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricKey(pub u32);

impl DeviceKey {
    /// As an index into a table of devices.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl MetricKey {
    /// As an index into a table of metrics.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The names this process has seen, in the order it saw them. It only grows, up to its limits.
#[derive(Debug)]
pub struct Names {
    devices: Vec<DeviceId>,
    device_keys: HashMap<DeviceId, DeviceKey>,
    metrics: Vec<MetricName>,
    metric_keys: HashMap<MetricName, MetricKey>,
}

/// The most devices one process knows: bounds memory against invented names.
pub const DEVICES_MAX: usize = 1_000_000;
/// The most metrics one process knows.
pub const METRICS_MAX: usize = 100_000;

impl Default for Names {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            device_keys: HashMap::new(),
            metrics: Vec::new(),
            metric_keys: HashMap::new(),
        }
    }
}

impl Names {
    /// The key of a device that is known.
    #[must_use]
    pub fn device_key(&self, id: &str) -> Option<DeviceKey> {
        self.device_keys.get(id).copied()
    }

    /// The key of a metric that is known.
    #[must_use]
    pub fn metric_key(&self, name: &str) -> Option<MetricKey> {
        self.metric_keys.get(name).copied()
    }

    /// The key of a device, known or new; `None` when there are [`DEVICES_MAX`] already.
    pub fn add_device(&mut self, id: &DeviceId) -> Option<DeviceKey> {
        if let Some(key) = self.device_key(id.as_str()) {
            return Some(key);
        }
        if self.devices.len() >= DEVICES_MAX {
            return None;
        }
        let key = DeviceKey(u32::try_from(self.devices.len()).ok()?);
        self.devices.push(id.clone());
        self.device_keys.insert(id.clone(), key);
        Some(key)
    }

    /// The key of a metric, known or new; `None` when there are [`METRICS_MAX`] already.
    pub fn add_metric(&mut self, name: &MetricName) -> Option<MetricKey> {
        if let Some(key) = self.metric_key(name.as_str()) {
            return Some(key);
        }
        if self.metrics.len() >= METRICS_MAX {
            return None;
        }
        let key = MetricKey(u32::try_from(self.metrics.len()).ok()?);
        self.metrics.push(name.clone());
        self.metric_keys.insert(name.clone(), key);
        Some(key)
    }

    /// The device with this key.
    ///
    /// # Panics
    /// If the key is from another process.
    #[must_use]
    pub fn device(&self, key: DeviceKey) -> &DeviceId {
        &self.devices[key.index()]
    }

    /// The metric with this key.
    ///
    /// # Panics
    /// If the key is from another process.
    #[must_use]
    pub fn metric(&self, key: MetricKey) -> &MetricName {
        &self.metrics[key.index()]
    }

    /// All devices, in key order.
    #[must_use]
    pub fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// All metrics, in key order.
    #[must_use]
    pub fn metrics(&self) -> &[MetricName] {
        &self.metrics
    }
}

/// Names shared between the readers of the log. *Judge* adds, the others look up.
#[derive(Clone, Debug, Default)]
pub struct SharedNames(Arc<RwLock<Names>>);

impl SharedNames {
    /// Looks names up. Hold the guard briefly: *judge* waits for it when a new name appears.
    pub fn read(&self) -> RwLockReadGuard<'_, Names> {
        // A panic while adding leaves at most a name without a key: still usable.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds names: `change` gets the only reference.
    pub fn write<T>(&self, change: impl FnOnce(&mut Names) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_key() {
        let mut names = Names::default();
        let (a, b) = (DeviceId::new("a").expect("valid"), DeviceId::new("b").expect("valid"));
        assert_eq!(names.add_device(&a), Some(DeviceKey(0)));
        assert_eq!(names.add_device(&b), Some(DeviceKey(1)));
        assert_eq!(names.add_device(&a), Some(DeviceKey(0)));
        assert_eq!(names.device(DeviceKey(1)), &b);
        assert_eq!(names.device_key("c"), None);
    }
}
