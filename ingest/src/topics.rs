//! Which topics are telemetry, and what they say: `devices/{device}/telemetry[/{metric}]`,
//! `devices/{device}/status`, and answers to commands, `devices/{device}/commands/{id}/reply`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bellwire_model::CommandId;

use crate::mapping::{Format, Mappings};

/// Which topics are telemetry at present, for those who do not read the log. Mappings are set here
/// after their record is durable: what is published because of them is behind it.
#[derive(Clone, Debug, Default)]
pub struct SharedClaims(Arc<State>);

#[derive(Debug, Default)]
struct State {
    mappings: ArcSwap<Mappings>,
    /// How often they were set.
    version: AtomicU64,
}

impl SharedClaims {
    /// From now on these are the mappings.
    pub fn set(&self, mappings: Arc<Mappings>) {
        self.0.mappings.store(mappings);
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// Changes whenever another topic may be claimed than before, or one no more.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// The mappings in force.
    #[must_use]
    pub fn mappings(&self) -> Arc<Mappings> {
        self.0.mappings.load_full()
    }

    /// Whether publishes on `topic` are telemetry: they go to the log, whatever they hold.
    #[must_use]
    pub fn claims(&self, topic: &str) -> bool {
        claims(topic) || self.0.mappings.load().find(topic).is_some()
    }

    /// MQTT's filters for all topics that are telemetry, and perhaps a few that are not.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        let mappings = self.0.mappings.load();
        let mapped = mappings.all().iter().filter(|mapping| mapping.format != Format::Ignore);
        let mapped = mapped.map(|mapping| mapping.topic.filter());
        FILTERS.iter().map(|&filter| filter.to_owned()).chain(mapped).collect()
    }

    /// The device that a telemetry topic names, not yet checked to be a valid name.
    #[must_use]
    pub fn device<'t>(&self, topic: &'t str) -> Option<&'t str> {
        if claims(topic) { device(topic) } else { self.0.mappings.load().find(topic)?.device }
    }
}

/// What a telemetry topic says about its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `devices/{device}/telemetry`: an object of readings, or an array of them.
    Object {
        /// The device, not yet checked to be a valid name.
        device: &'a str,
    },
    /// `devices/{device}/telemetry/{metric}`: one value.
    Scalar {
        /// The device, not yet checked to be a valid name.
        device: &'a str,
        /// The metric, not yet checked to be a valid name.
        metric: &'a str,
    },
    /// `devices/{device}/status`: whether it is there.
    Status {
        /// The device, not yet checked to be a valid name.
        device: &'a str,
    },
    /// `devices/{device}/commands/{id}/reply`: its answer to a command.
    Reply {
        /// The device, not yet checked to be a valid name.
        device: &'a str,
        /// The command.
        command: CommandId,
    },
}

/// Whether publishes on `topic` are telemetry: they go to the log, whatever they hold.
///
/// These are the built-in topics; [`SharedClaims`] knows the others too.
#[must_use]
pub fn claims(topic: &str) -> bool {
    split(topic).is_some_and(|(_, rest)| {
        rest == STATUS
            || rest.strip_prefix(TELEMETRY).is_some_and(is_end_or_level)
            || answered(rest).is_some()
    })
}

/// Reads a telemetry topic; `None` if it names no device or more than one metric level.
#[must_use]
pub fn route(topic: &str) -> Option<Route<'_>> {
    let (device, rest) = split(topic).filter(|(device, _)| !device.is_empty())?;
    if rest == STATUS {
        return Some(Route::Status { device });
    }
    if let Some(command) = answered(rest) {
        return Some(Route::Reply { device, command });
    }
    let rest = rest.strip_prefix(TELEMETRY).filter(|rest| is_end_or_level(rest))?;
    match rest.strip_prefix('/') {
        None => Some(Route::Object { device }),
        Some(metric) if metric.is_empty() || metric.contains('/') => None,
        Some(metric) => Some(Route::Scalar { device, metric }),
    }
}

/// The device that a telemetry topic names, not yet checked to be a valid name.
#[must_use]
pub fn device(topic: &str) -> Option<&str> {
    claims(topic).then(|| split(topic)).flatten().map(|(device, _)| device)
}

/// MQTT's filters for the built-in topics.
const FILTERS: [&str; 3] = ["devices/+/telemetry", "devices/+/telemetry/+", "devices/+/status"];

const TELEMETRY: &str = "telemetry";
const STATUS: &str = "status";

/// The device level of `devices/{device}/…`, and what stands behind it.
fn split(topic: &str) -> Option<(&str, &str)> {
    topic.strip_prefix("devices/")?.split_once('/')
}

/// The command of `commands/{id}/reply`. What has another form than our ids is for others.
fn answered(rest: &str) -> Option<CommandId> {
    rest.strip_prefix("commands/")?.strip_suffix("/reply")?.parse().ok()
}

fn is_end_or_level(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_topics_are_claimed_as_long_as_they_are_mapped() {
        let claims = SharedClaims::default();
        assert!(claims.claims("devices/a/telemetry") && !claims.claims("tele/a/SENSOR"));
        let mappings = Mappings::parse("[[mapping]]\npreset = 'tasmota'").expect("right");
        claims.set(Arc::new(mappings));
        assert!(claims.claims("devices/a/telemetry") && claims.claims("tele/a/SENSOR"));
        assert_eq!(claims.device("tele/a/SENSOR"), Some("a"));
        assert_eq!(claims.device("devices/b/telemetry/t"), Some("b"));
        assert!(!claims.claims("stat/a/RESULT"), "that is left out");
        assert_eq!(claims.filters()[..3], FILTERS);
        assert!(claims.filters().contains(&"tele/+/SENSOR".to_owned()));
        claims.set(Arc::default());
        assert!(!claims.claims("tele/a/SENSOR"));
    }

    #[test]
    fn telemetry_topics_name_a_device_and_perhaps_a_metric() {
        let object = Some(Route::Object { device: "a" });
        let reply = Some(Route::Reply { device: "a", command: CommandId(0x1f) });
        let scalar = Some(Route::Scalar { device: "a", metric: "t" });
        for (topic, claimed, expected) in [
            ("devices/a/telemetry", true, object),
            ("devices/a/telemetry/t", true, scalar),
            ("devices/a/telemetry/t/u", true, None),
            ("devices/a/telemetry/", true, None),
            ("devices//telemetry", true, None),
            ("devices/a/telemetrics", false, None),
            ("devices/a/status", true, Some(Route::Status { device: "a" })),
            ("devices//status", true, None),
            ("devices/a/status/x", false, None),
            ("devices/a/b/telemetry", false, None),
            ("devices/a/commands", false, None),
            ("devices/a/commands/17/reply", false, None),
            ("devices/a/commands/0000000000000000000000000000001f/reply", true, reply),
            ("other/a/telemetry", false, None),
        ] {
            assert_eq!(claims(topic), claimed, "{topic}");
            assert_eq!(route(topic), expected, "{topic}");
        }
    }
}
