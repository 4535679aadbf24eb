//! What is said of devices, in a snapshot.

use std::sync::Arc;

use bellwire_model::registry::{Births, Registered};
use bellwire_model::{DeviceId, Labels, LogPosition, Profile, Registry, Timestamp};
use serde::{Deserialize, Serialize};

use crate::wire::WireError;

type WireLabels = Vec<(Box<str>, Box<str>)>;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireProfile {
    device: Box<str>,
    /// Labels, revision and time of the change.
    registered: Option<(WireLabels, u64, i64)>,
    born: WireLabels,
    births: (u8, i64),
}

pub(super) fn save(registry: &Registry) -> Vec<WireProfile> {
    let labels = |labels: &Labels| labels.iter().map(|(n, v)| (n.into(), v.into())).collect();
    let save = |(device, profile): (&DeviceId, &Arc<Profile>)| WireProfile {
        device: device.as_str().into(),
        registered: profile
            .registered
            .as_ref()
            .map(|it| (labels(&it.labels), it.revision.0, it.changed_at.as_micros())),
        born: labels(&profile.born),
        births: (profile.births.left, profile.births.since.as_micros()),
    };
    registry.iter().map(save).collect()
}

pub(super) fn restore(profiles: Vec<WireProfile>) -> Result<Registry, WireError> {
    let labels = |labels: WireLabels| -> Labels {
        labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    };
    let mut registry = Registry::default();
    for WireProfile { device, registered, born, births: (left, since) } in profiles {
        let device = DeviceId::new(&device).map_err(|_| WireError { what: "a name" })?;
        let registered = registered.map(|(said, revision, changed_at)| Registered {
            labels: labels(said),
            revision: LogPosition(revision),
            changed_at: Timestamp::from_micros(changed_at),
        });
        let births = Births { left, since: Timestamp::from_micros(since) };
        registry.restore(&device, Profile { registered, born: labels(born), births });
    }
    Ok(registry)
}
