//! The doors that are MQTT brokers of others: the bridges of the configuration, and rumqttd with one of
//! its own. Told to stop, each acknowledges what is in the log by then.

use std::net::SocketAddr;
use std::sync::Arc;

use bellwire_api::ports::{Check, HealthStatus};
use bellwire_broker::BrokerHandle;
use bellwire_broker::bridge::{
    self, BridgeConfig, BridgeHandle, BridgeMetrics, BridgeParts, BridgeStatus,
};
use bellwire_model::LogId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::inlet::LogInlet;
use super::{Common, rumqttd};
use crate::config::ConfigError;

/// Bridges that run.
#[derive(Debug)]
pub(super) struct Bridges {
    handles: Arc<[BridgeHandle]>,
    /// Where rumqttd listens.
    pub(super) rumqttd: Option<SocketAddr>,
    stopping: CancellationToken,
    tracker: TaskTracker,
}

/// Says which file of a bridge cannot be used, before anything starts.
///
/// # Errors
/// The first, with its key.
pub(super) fn check_files(bridges: &[BridgeConfig]) -> Result<(), ConfigError> {
    faults(bridges).next().map_or(Ok(()), Err)
}

/// What is wrong with the bridges' files, one of each bridge, with its key.
pub(super) fn faults(bridges: &[BridgeConfig]) -> impl Iterator<Item = ConfigError> {
    bridges.iter().enumerate().filter_map(|(index, bridge)| {
        let error = bridge.look().err()?;
        Some(ConfigError::Value(format!("bridge[{index}].{error}")))
    })
}

impl Bridges {
    /// Starts rumqttd, if it is configured, and all bridges. They connect when they can: nobody waits
    /// for a broker.
    ///
    /// # Errors
    /// If rumqttd cannot listen.
    pub(super) async fn start(
        common: &Common,
        inlet: Arc<LogInlet>,
        broker: BrokerHandle,
        log: LogId,
    ) -> anyhow::Result<Self> {
        let rumqttd = rumqttd::start(common).await?;
        let service: String = log.to_string().chars().take(8).collect();
        let parts = BridgeParts {
            inlet,
            broker,
            metrics: BridgeMetrics::register(&common.registry)?,
            packet_bytes_max: common.config.mqtt.packet_bytes_max,
            service,
        };
        let (stopping, tracker) = (CancellationToken::new(), TaskTracker::new());
        let to_rumqttd = rumqttd.map(|address| rumqttd::bridge(&common.config.rumqttd, address));
        let all = common.config.bridge.iter().cloned().chain(to_rumqttd);
        let start = |config| bridge::start(config, &parts, stopping.clone(), &tracker);
        let handles = all.map(start).collect();
        Ok(Self { handles, rumqttd, stopping, tracker })
    }

    /// As others see them.
    pub(super) fn handles(&self) -> Arc<[BridgeHandle]> {
        Arc::clone(&self.handles)
    }

    /// Ends them, and waits until they have.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// How the bridges stand, as `/readyz` shows it; nothing if there is none.
pub(super) fn check(bridges: &[BridgeHandle]) -> Option<Check> {
    let said: Vec<_> =
        bridges.iter().map(|bridge| of_one(bridge.name(), &bridge.status())).collect();
    let status = said.iter().map(|(status, _)| *status).max()?;
    let detail = said.into_iter().map(|(_, detail)| detail).collect::<Vec<_>>().join("; ");
    Some(Check { name: "bridge", status, detail })
}

fn of_one(name: &str, status: &BridgeStatus) -> (HealthStatus, String) {
    match status {
        BridgeStatus::Connected => (HealthStatus::Ok, format!("`{name}` is connected")),
        BridgeStatus::Connecting => {
            (HealthStatus::Degraded, format!("`{name}` is not connected yet"))
        }
        BridgeStatus::Incomplete(refused) => {
            (HealthStatus::Degraded, format!("`{name}` is not subscribed to {refused}"))
        }
        BridgeStatus::Away(why) => {
            (HealthStatus::Degraded, format!("`{name}` is not connected: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_that_is_away_degrades_the_service_and_says_why() {
        let away = BridgeStatus::Away("wrong user or password".to_owned());
        let (status, detail) = of_one("plant", &away);
        assert_eq!(status, HealthStatus::Degraded);
        assert_eq!(detail, "`plant` is not connected: wrong user or password");
        assert_eq!(of_one("plant", &BridgeStatus::Connected).0, HealthStatus::Ok);
        assert!(check(&[]).is_none(), "who has no bridge is not told of them");
    }
}
