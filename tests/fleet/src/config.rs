//! What a run of the fleet is asked to do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Clock, MetricName, QoS};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{FleetError, Progress, PublishedLog};

/// The version of MQTT that devices speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

impl Protocol {
    /// The protocol level in CONNECT.
    pub(crate) const fn level(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }
}

/// Who speaks MQTT for the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Our own encoder: less than a CPU-µs per publish, and DUP with the same packet identifier
    /// after a cut.
    Raw,
    /// The client library `rumqttc`: what a real device runs. It cannot set DUP: after a cut it
    /// publishes again under a new packet identifier, so payloads must carry their own time.
    Rumqttc,
}

/// The user name and password that all connections come with.
#[derive(Clone)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password: never shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// When a run ends of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// After so many readings of `n` from all devices together; repeats and bad payloads come on
    /// top.
    Messages(u64),
    /// After so long, counted from when all connections stand.
    Duration(Duration),
}

/// What goes wrong on purpose. Each is a probability per publish, 0 to 1; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// The TCP connection is dropped right after the publish, whatever is on its way, and what was
    /// not acknowledged is sent again.
    pub reconnect: f64,
    /// The same payload is published a second time, as a new publish. Needs `own_ts`: without a
    /// time of its own such a payload is no duplicate to the service.
    pub duplicate: f64,
    /// A publish that nobody can read comes before this one: truncated, not a number, invalid
    /// UTF-8, or of the wrong types. It has no `n` and is counted apart.
    pub bad_payload: f64,
    /// Each device's clock is off by a constant of its own, up to this much either way. The service
    /// quarantines what lies more than 5 minutes ahead.
    pub clock_skew: Duration,
}

/// A simulated fleet: who, where to, how fast, for how long, and what goes wrong.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// The service's `host:port`.
    pub address: String,
    /// Who they say they are; `None` where nobody is asked.
    pub login: Option<Arc<Login>>,
    /// How many devices, at least 1. They are named `{prefix}-00001` and on.
    pub devices: u32,
    /// What device names and client identifiers begin with. Runs that share a database need
    /// different ones, or a later `n_first`.
    pub prefix: String,
    /// TCP connections, at least 1. With fewer than devices each publishes for several, as a
    /// gateway does; more than devices are not opened.
    pub connections: u32,
    /// Who speaks MQTT.
    pub driver: Driver,
    /// Which version.
    pub protocol: Protocol,
    /// 0 or 1.
    pub qos: QoS,
    /// Publishes per second of all devices together; `None` is as fast as acknowledgements come.
    pub rate: Option<f64>,
    /// The most publishes on their way per connection, 1 to 1,000.
    pub in_flight: u16,
    /// When to end.
    pub bound: Bound,
    /// Names of the metrics each publish carries beside `n`.
    pub metrics: Vec<MetricName>,
    /// Whether each payload carries `ts`, in microseconds, ascending per device.
    pub own_ts: bool,
    /// Whether each payload carries `seq`, the device's own counter; the same number as `n`.
    pub seq: bool,
    /// The first `n` of each device.
    pub n_first: u64,
    /// What chance is made of: the same seed gives the same payloads and the same faults.
    pub seed: u64,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// How long a connection may do without the service, or without any acknowledgement it waits
    /// for, before it gives up.
    pub patience: Duration,
    /// How long to wait for outstanding acknowledgements at the end.
    pub drain: Duration,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:1883".to_owned(),
            login: None,
            devices: 100,
            prefix: "device".to_owned(),
            connections: 100,
            driver: Driver::Raw,
            protocol: Protocol::V4,
            qos: QoS::AtLeastOnce,
            rate: Some(1_000.0),
            in_flight: 32,
            bound: Bound::Duration(Duration::from_secs(10)),
            metrics: ["temperature", "humidity"]
                .map(|name| MetricName::new(name).expect("a valid name"))
                .to_vec(),
            own_ts: true,
            seq: true,
            n_first: 1,
            seed: 1,
            faults: Faults::default(),
            patience: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

impl FleetConfig {
    /// Checks what the types cannot.
    pub(crate) fn check(&self) -> Result<(), FleetError> {
        let probability = |p: f64| (0.0..=1.0).contains(&p);
        let faults = &self.faults;
        let problems = [
            (self.devices == 0, "devices", "must be at least 1"),
            (self.connections == 0, "connections", "must be at least 1"),
            (!(1..=1000).contains(&self.in_flight), "in_flight", "must be from 1 to 1000"),
            (self.qos == QoS::ExactlyOnce, "qos", "must be 0 or 1"),
            (self.n_first == 0, "n_first", "must be at least 1"),
            (
                self.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)),
                "rate",
                "must be above 0",
            ),
            (!probability(faults.reconnect), "faults.reconnect", "must be from 0 to 1"),
            (!probability(faults.duplicate), "faults.duplicate", "must be from 0 to 1"),
            (!probability(faults.bad_payload), "faults.bad_payload", "must be from 0 to 1"),
            (
                faults.duplicate > 0.0 && !self.own_ts,
                "faults.duplicate",
                "needs own_ts: without it the service rightly keeps both",
            ),
            (
                self.driver == Driver::Rumqttc && faults.reconnect > 0.0 && !self.own_ts,
                "faults.reconnect",
                "needs own_ts with rumqttc, which cannot set DUP",
            ),
        ];
        match problems.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, key, problem)) => Err(FleetError::Config { key, problem }),
            None => Ok(()),
        }
    }
}

/// What a run needs from the process it runs in.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Tells the time that payloads carry.
    pub clock: Arc<dyn Clock>,
    /// Cancelled to end early: nothing new is published and outstanding acknowledgements are
    /// awaited.
    pub stop: CancellationToken,
    /// Hears how the run goes, four times a second.
    pub progress: Option<watch::Sender<Progress>>,
    /// Remembers when each publish was sent, for whoever measures how long it takes to arrive.
    pub published: Option<Arc<PublishedLog>>,
}

impl Surroundings {
    /// With this clock and stop token; nobody listens.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, stop: CancellationToken) -> Self {
        Self { clock, stop, progress: None, published: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_named() {
        assert!(FleetConfig::default().check().is_ok());
        let check = |change: fn(&mut FleetConfig), key: &str| {
            let mut config = FleetConfig::default();
            change(&mut config);
            let error = config.check().expect_err("no sense");
            assert!(error.to_string().starts_with(key), "{error}");
        };
        check(|config| config.devices = 0, "devices");
        check(|config| config.in_flight = 0, "in_flight");
        check(|config| config.rate = Some(f64::NAN), "rate");
        check(|config| config.faults.bad_payload = 1.5, "faults.bad_payload");
        check(
            |config| {
                config.own_ts = false;
                config.faults.duplicate = 0.1;
            },
            "faults.duplicate",
        );
    }
}
