//! Which topics are telemetry, and what they say: `devices/{device}/telemetry[/{metric}]`.

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
}

/// Whether publishes on `topic` are telemetry: they go to the log, whatever they hold.
#[must_use]
pub fn claims(topic: &str) -> bool {
    rest_after_telemetry(topic).is_some()
}

/// Reads a telemetry topic; `None` if it names no device or more than one metric level.
#[must_use]
pub fn route(topic: &str) -> Option<Route<'_>> {
    let (device, rest) = rest_after_telemetry(topic)?;
    match rest.strip_prefix('/') {
        _ if device.is_empty() => None,
        None => Some(Route::Object { device }),
        Some(metric) if metric.is_empty() || metric.contains('/') => None,
        Some(metric) => Some(Route::Scalar { device, metric }),
    }
}

/// The device level, and what stands behind `telemetry`: nothing, or `/` and more.
fn rest_after_telemetry(topic: &str) -> Option<(&str, &str)> {
    let (device, rest) = topic.strip_prefix("devices/")?.split_once('/')?;
    let rest = rest.strip_prefix("telemetry")?;
    (rest.is_empty() || rest.starts_with('/')).then_some((device, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_topics_name_a_device_and_perhaps_a_metric() {
        let object = Some(Route::Object { device: "a" });
        let scalar = Some(Route::Scalar { device: "a", metric: "t" });
        for (topic, claimed, expected) in [
            ("devices/a/telemetry", true, object),
            ("devices/a/telemetry/t", true, scalar),
            ("devices/a/telemetry/t/u", true, None),
            ("devices/a/telemetry/", true, None),
            ("devices//telemetry", true, None),
            ("devices/a/telemetrics", false, None),
            ("devices/a/status", false, None),
            ("devices/a/b/telemetry", false, None),
            ("other/a/telemetry", false, None),
        ] {
            assert_eq!(claims(topic), claimed, "{topic}");
            assert_eq!(route(topic), expected, "{topic}");
        }
    }
}
