//! Which silences there are for somebody who sees a part of the fleet: those that can mute something of it.

use std::sync::Arc;

use bellwire_model::{Alert, Matchers};

use crate::app::App;
use crate::auth::within::Within;
use crate::ports::{DeviceFilter, DeviceInfo, PortError};
use crate::problem::Problem;

/// What a silence must be able to mute for somebody to see it.
#[derive(Debug)]
pub(super) enum Concern {
    /// Whatever it is.
    Everything,
    /// One of these devices, or of these open alerts: those of groups have no device.
    Part { devices: Vec<DeviceInfo>, alerts: Vec<Arc<Alert>> },
}

impl Concern {
    /// What concerns whoever sees this, as it is now.
    ///
    /// # Errors
    /// If the service stops.
    pub(super) async fn of(app: &App, within: Within) -> Result<Self, Problem> {
        if within.is_everything() {
            return Ok(Self::Everything);
        }
        let filter = DeviceFilter { select: within.and(None), ..DeviceFilter::default() };
        let registry = Arc::clone(&app.ports.registry);
        let finding = app.tracker.spawn_blocking(move || registry.find(&filter, None, usize::MAX));
        // Of a scope that cannot be read there is nothing.
        let found = finding.await.map_err(|error| PortError::Failed(error.into()))?;
        let mut alerts = app.hub.open_alerts().unwrap_or_default();
        alerts.retain(|alert| within.has_alert(alert));
        Ok(Self::Part { devices: found.unwrap_or_default(), alerts })
    }

    /// Whether what these matchers mean is part of it.
    pub(super) fn has(&self, matchers: &Matchers) -> bool {
        match self {
            Self::Everything => true,
            Self::Part { devices, alerts } => {
                devices.iter().any(|device| may_mean(matchers, device))
                    || alerts.iter().any(|alert| matchers.is_match(|name| alert.label(name)))
            }
        }
    }
}

/// Whether they mean an alert that this device may have: whatever its rule and its severity.
fn may_mean(matchers: &Matchers, device: &DeviceInfo) -> bool {
    matchers.as_slice().iter().all(|matcher| match matcher.label() {
        "rule" | "alertname" | "severity" => true,
        "device" => matcher.is_match(device.device.as_str()),
        name => matcher.is_match(device.labels.get(name).map_or("", String::as_str)),
    })
}

#[cfg(test)]
mod tests {
    use bellwire_model::DeviceId;

    use super::*;
    use crate::ports::{LabelMap, LabelSources};

    #[test]
    fn a_silence_concerns_whom_it_can_mute() {
        let device = DeviceInfo {
            device: DeviceId::new("oven-1").unwrap(),
            first_seen: None,
            last_seen: None,
            online: false,
            clock_skew: None,
            labels: LabelMap::from([("site".to_owned(), "berlin".to_owned())]),
            sources: LabelSources::default(),
        };
        let part = Concern::Part { devices: vec![device], alerts: Vec::new() };
        let check = |matchers: &str, concerns: bool| {
            let matchers = Matchers::parse(matchers).unwrap();
            assert_eq!(part.has(&matchers), concerns, "{matchers}");
            assert!(Concern::Everything.has(&matchers));
        };
        check("rule=hot", true);
        check("severity=critical, site=berlin", true);
        check("site=paris", false);
        check("site!=berlin", false);
        check("device=~\"oven-.*\"", true);
        check("device=oven-2", false);
        check("kind=\"\"", true);
        check("kind=freezer", false);
        check("rule=hot, site=paris", false);
    }
}
