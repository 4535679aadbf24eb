//! Traces: where they are sent, and of how much of what there is.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most that may wait: some 100 MB.
const QUEUE_MAX: usize = 100_000;
/// The longest that an answer may be waited for, milliseconds.
const TIMEOUT_MS_MAX: u64 = 120_000;

/// Traces for OpenTelemetry, by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesSection {
    /// Where a collector takes traces, with its path: `http://127.0.0.1:4318/v1/traces`. Default: none,
    /// and there are no traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The file with more lines for the head of each request, `Name: value` each, as those are by which a
    /// collector knows us. It is read whenever something is sent. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_file: Option<PathBuf>,
    /// The authorities (PEM) that are trusted beside the system's. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What the service is called in traces (`service.name`). Default: `bellwire`.
    pub service_name: String,
    /// Of how many HTTP requests and database transactions there are traces, 0.0 to 1.0. A request that
    /// comes with `traceparent` is traced if its sender says so. Alerts are always traced. Default 0.1:
    /// at 50 transactions a second, 5 of them.
    pub sample: f64,
    /// How many transitions, messages, requests and transactions may wait to be sent, 2 to 100,000; more
    /// are dropped, and counted. Default 8,192: some 8 MB.
    pub queue_max: usize,
    /// How long an answer is waited for, milliseconds, 100 to 120,000. Default 10,000.
    pub timeout_ms: u64,
}

impl Default for TracesSection {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers_file: None,
            ca_file: None,
            service_name: "bellwire".to_owned(),
            sample: 0.1,
            queue_max: 8_192,
            timeout_ms: 10_000,
        }
    }
}

impl TracesSection {
    /// Whether the values can work.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(&self) -> Result<(), String> {
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint).map_err(|error| format!("traces.endpoint: {error}"))?;
        }
        if self.service_name.trim().is_empty() {
            return Err("traces.service_name is empty".to_owned());
        }
        if !(0.0..=1.0).contains(&self.sample) {
            return Err(format!("traces.sample is {} and must be 0.0 to 1.0", self.sample));
        }
        if !(2..=QUEUE_MAX).contains(&self.queue_max) {
            return Err(format!("traces.queue_max must be 2 to {QUEUE_MAX}"));
        }
        if !(100..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            return Err(format!("traces.timeout_ms must be 100 to {TIMEOUT_MS_MAX}"));
        }
        Ok(())
    }

    /// How long an answer is waited for.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let url = bellwire_notify::config::parse_url(endpoint)
        .map_err(|error| error.replace("user and password_file", "headers_file"))?;
    if url.path() == "/" {
        return Err("it must have a path, as in http://127.0.0.1:4318/v1/traces".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let check = |change: fn(&mut TracesSection), expected: &str| {
            let mut section = TracesSection::default();
            change(&mut section);
            let error = section.check().unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        assert_eq!(TracesSection::default().check(), Ok(()));
        let endpoint = "traces.endpoint: ";
        check(|it| it.endpoint = Some("127.0.0.1:4318".to_owned()), endpoint);
        check(|it| it.endpoint = Some("grpc://a:4317/v1/traces".to_owned()), endpoint);
        check(|it| it.endpoint = Some("http://a:4318".to_owned()), endpoint);
        check(
            |it| it.endpoint = Some("http://u:p@a/v1/traces".to_owned()),
            "traces.endpoint: user and password do not belong there: use headers_file",
        );
        check(|it| it.service_name.clear(), "traces.service_name ");
        check(|it| it.sample = 1.5, "traces.sample is 1.5");
        check(|it| it.sample = f64::NAN, "traces.sample ");
        check(|it| it.queue_max = 1, "traces.queue_max ");
        check(|it| it.timeout_ms = 0, "traces.timeout_ms ");
    }
}
