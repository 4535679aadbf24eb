//! The bridges: whether their files can be used, and how they stand, if the service runs.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::{Check, Service};
use crate::config::Config;
use crate::measure::scrape;

const NAME: &str = "bridge";
/// How long the service may take to say how they stand.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing, if there is none.
pub(super) async fn look(config: &Config, data_dir: &Path, service: Service) -> Vec<Check> {
    if config.bridge.is_empty() && config.rumqttd.listen.is_none() {
        return Vec::new();
    }
    let wrong = config.bridge.iter().find_map(|bridge| Some((bridge, bridge.look().err()?)));
    if let Some((bridge, error)) = wrong {
        let remedy = "mend the file; `serve` does not start with this one";
        return vec![Check::fail(NAME, format!("`{}`: {error}", bridge.name), remedy)];
    }
    if service == Service::Stopped {
        return vec![Check::ok(NAME, "their files can be used; the service does not run")];
    }
    let endpoints = std::fs::read(data_dir.join("endpoints.json")).unwrap_or_default();
    let endpoints: Value = serde_json::from_slice(&endpoints).unwrap_or_default();
    let address = endpoints["http"].as_str().unwrap_or_default();
    let said = timeout(PATIENCE, scrape::get(address, "/readyz")).await;
    let said = said.ok().and_then(Result::ok).and_then(|body| serde_json::from_str(&body).ok());
    vec![of_readiness(&said.unwrap_or_default())]
}

/// What the service's own words, `/readyz`, come to.
fn of_readiness(said: &Value) -> Check {
    let checks = said["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = checks.iter().find(|check| check["name"] == NAME);
    let Some((status, detail)) =
        found.and_then(|check| Some((check["status"].as_str()?, check["detail"].as_str()?)))
    else {
        let remedy = "look at its log: it may still be starting, or with another configuration";
        return Check::warn(NAME, "the service does not tell how they stand", remedy);
    };
    if status == "ok" {
        return Check::ok(NAME, detail);
    }
    let remedy = "what is published there waits at the broker meanwhile (docs/guides/bridge.md)";
    Check::warn(NAME, detail, remedy)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Status;
    use super::*;

    #[test]
    fn a_bridge_that_is_away_is_to_be_looked_at() {
        let said = |status| {
            let check = json!({"name": "bridge", "status": status, "detail": "`plant` is …"});
            of_readiness(&json!({"checks": [{"name": "log"}, check]}))
        };
        assert_eq!(said("ok"), Check::ok(NAME, "`plant` is …"));
        assert_eq!(
            (said("degraded").status, said("degraded").detail.as_str()),
            (Status::Warn, "`plant` is …")
        );
        assert_eq!(of_readiness(&Value::Null).status, Status::Warn);
    }
}
