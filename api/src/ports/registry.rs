//! The port for devices as operators know them: lists of them, and what the registry says.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use bellwire_model::{ClockSkew, DeviceId, DevicePatch, Labels, Timestamp};

use super::PortError;

/// Labels by name.
pub type LabelMap = BTreeMap<String, String>;

/// A device, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub device: DeviceId,
    /// When its first publish was received; absent if it has only been registered.
    pub first_seen: Option<Timestamp>,
    /// When its latest publish was received.
    pub last_seen: Option<Timestamp>,
    /// Whether it is connected, as far as we know.
    pub online: bool,
    /// How far its clock is off, if its payloads tell.
    pub clock_skew: Option<ClockSkew>,
    /// The labels that count; the label `model` is its model.
    pub labels: LabelMap,
    /// What each source says.
    pub sources: LabelSources,
}

/// Labels by who says them, in the order in which they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSources {
    /// What the registry says; absent if it does not have the device.
    pub registry: Option<LabelMap>,
    /// What the rules file says.
    pub rules: LabelMap,
    /// What the device's births say.
    pub births: LabelMap,
    /// Changes with each change of what the registry says; 0 if it does not have the device.
    pub revision: u64,
}

/// Which devices are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Those that this chooses, written as `select` of a rule.
    pub select: Option<String>,
    /// Those that are online, or are not.
    pub online: Option<bool>,
    /// Those whose name begins so.
    pub prefix: Option<String>,
}

/// A selection that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct SelectionError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Which version of what the registry says a client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Whatever there is of a device that is known.
    Any,
    /// Whatever there is, also if the device is not known.
    Whatever,
    /// One of these revisions.
    Revisions(Vec<u64>),
    /// None: the registry must not have the device.
    None,
}

/// Why the registry is not changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such device is known.
    #[error("no device {0} is known")]
    NoSuchDevice(DeviceId),
    /// It is registered already.
    #[error("the device {0} is registered already")]
    Exists(DeviceId),
    /// It was changed since the client has seen it.
    #[error("the device was changed meanwhile, it is at revision {revision}")]
    Changed {
        /// Its present revision.
        revision: u64,
    },
    /// A device would have too many labels.
    #[error("the device {0} would have too many labels")]
    TooManyLabels(DeviceId),
    /// There is no room for what is said, or for more devices.
    #[error("there is no room in the registry")]
    Full,
    /// Other changes take long; this one was not begun.
    #[error("other changes take long")]
    Busy,
    /// It is not known yet whether it was taken.
    #[error("the change waits for room in the log")]
    Waiting,
    /// The service stops; it is not known whether it was taken.
    #[error("the service stops")]
    Stopping,
    /// Anything else.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// What the registry says of a device before and after a change; `None` where it does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedDevice {
    /// Of which.
    pub device: DeviceId,
    /// Before.
    pub before: Option<LabelMap>,
    /// After.
    pub after: Option<LabelMap>,
}

/// What [`DeviceRegistry`] answers with.
pub type RegistryFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<ChangedDevice>, RegistryError>> + Send + 'a>>;

/// Says which devices there are, and changes what the registry says of them.
pub trait DeviceRegistry: Send + Sync + Debug {
    /// At most `limit` devices by ascending name that `filter` leaves, those after `after` only. May
    /// take as long as it takes to look at all of them: call it where that is allowed.
    ///
    /// # Errors
    /// If the selection cannot be read.
    fn find(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<DeviceInfo>, SelectionError>;

    /// A choice of devices, written as `select` of a rule.
    ///
    /// # Errors
    /// If it cannot be read.
    fn chooser(&self, select: &str) -> Result<Arc<dyn Chooser>, SelectionError>;

    /// Makes all changes, if what the client has seen is so of each. Done when they are on disk and
    /// everything received later is judged with them. Tells the changes of the first 100 devices.
    ///
    /// # Cancel safety
    /// A change that was begun goes on.
    fn change(&self, changes: Vec<(DeviceId, DevicePatch)>, seen: Seen) -> RegistryFuture<'_>;
}

/// A choice of devices by their labels, as they are at the moment that it is asked. Answers from memory.
pub trait Chooser: Send + Sync + Debug {
    /// Whether it chooses this device.
    fn chooses(&self, device: &DeviceId) -> bool;

    /// Whether it chooses every device of a group that has these labels in common.
    fn chooses_group(&self, labels: &Labels) -> bool;
}

/// Chooses nobody.
#[derive(Debug)]
pub(crate) struct Nobody;

impl Chooser for Nobody {
    fn chooses(&self, _: &DeviceId) -> bool {
        false
    }

    fn chooses_group(&self, _: &Labels) -> bool {
        false
    }
}

/// No registry, and no devices.
impl DeviceRegistry for () {
    fn find(
        &self,
        _: &DeviceFilter,
        _: Option<&DeviceId>,
        _: usize,
    ) -> Result<Vec<DeviceInfo>, SelectionError> {
        Ok(Vec::new())
    }

    fn chooser(&self, _: &str) -> Result<Arc<dyn Chooser>, SelectionError> {
        Ok(Arc::new(Nobody))
    }

    fn change(&self, _: Vec<(DeviceId, DevicePatch)>, _: Seen) -> RegistryFuture<'_> {
        Box::pin(std::future::ready(Err(RegistryError::Stopping)))
    }
}
