//! Measures how long an alert takes: a device whose value crosses a rule's threshold at each
//! publish, and a memory of when each was sent.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{DeviceId, MetricName, QoS, Timestamp};
use tokio::time::Instant;

use crate::fleet::run_unconnected;
use crate::payload::{push_i64, push_key, push_u64};
use crate::source::{Moment, Next, Source, Verdict};
use crate::terms::{LinkSettings, Refill};
use crate::{DeviceAcks, FleetReport, Protocol, Published, PublishedLog, Surroundings};

/// What to probe with.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// The service's `host:port`.
    pub address: String,
    /// The probing device; nobody else may publish for it.
    pub device: DeviceId,
    /// The metric that the rule watches.
    pub metric: MetricName,
    /// The rule's threshold: odd `n`s are published as `threshold + n`, even ones as
    /// `threshold - n`. So each publish makes one transition of a rule `metric > threshold` without
    /// `for`, and the value that the transition shows says which publish it was.
    pub threshold: f64,
    /// From one publish to the next; at least 1 ms.
    pub interval: Duration,
    /// How long to run; `None` is until stopped.
    pub duration: Option<Duration>,
    /// The first `n`.
    pub n_first: u64,
    /// Which version of MQTT.
    pub protocol: Protocol,
}

impl ProbeConfig {
    /// A probe around 0 on `probe-01`, metric `probe`, ten times a second, until stopped.
    #[must_use]
    pub fn new(address: String) -> Self {
        Self {
            address,
            device: DeviceId::new("probe-01").expect("a valid name"),
            metric: MetricName::new("probe").expect("a valid name"),
            threshold: 0.0,
            interval: Duration::from_millis(100),
            duration: None,
            n_first: 1,
            protocol: Protocol::V5,
        }
    }

    /// What is published as `n`.
    #[must_use]
    pub fn value_of(&self, n: u64) -> f64 {
        let offset = n as f64;
        if n % 2 == 1 { self.threshold + offset } else { self.threshold - offset }
    }

    /// Which publish has this value.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and small enough to be exact"
    )]
    pub fn n_of(&self, value: f64) -> u64 {
        (value - self.threshold).abs().round() as u64
    }
}

/// Probes until `surroundings.stop` is cancelled or the duration is over, and notes in
/// `surroundings.published` when each publish was sent. While the service is away nothing is
/// published: an alert that could not be is not measured.
///
/// # Cancel safety
/// Not cancel safe: the account would be lost. Cancel `surroundings.stop` instead.
pub async fn probe(config: ProbeConfig, surroundings: Surroundings) -> FleetReport {
    let settings = LinkSettings {
        address: config.address.as_str().into(),
        client_id: config.device.as_str().to_owned(),
        login: None,
        protocol: config.protocol,
        qos: QoS::AtLeastOnce,
        in_flight: 64,
        refill: Refill::AnyRoom,
        patience: None,
        drain: Duration::from_secs(5),
    };
    let prober = Prober::new(config, surroundings.published.clone());
    run_unconnected(vec![(settings, prober)], &surroundings).await
}

#[derive(Debug)]
struct Prober {
    config: ProbeConfig,
    topic: Box<str>,
    key: Vec<u8>,
    due: Option<Instant>,
    ends_at: Option<Instant>,
    last_ts: i64,
    acks: DeviceAcks,
    published: Option<Arc<PublishedLog>>,
}

/// A publish's number and its event time in microseconds.
type Crossing = (u64, i64);

impl Prober {
    fn new(config: ProbeConfig, published: Option<Arc<PublishedLog>>) -> Self {
        let mut key = vec![b','];
        push_key(&mut key, config.metric.as_str());
        Self {
            topic: format!("devices/{}/telemetry", config.device).into(),
            key,
            due: None,
            ends_at: None,
            last_ts: 0,
            acks: DeviceAcks::starting_at(config.n_first),
            published,
            config,
        }
    }
}

impl Source for Prober {
    type Item = Crossing;

    fn begin(&mut self, now: Moment) {
        self.ends_at = self.config.duration.map(|duration| now.instant + duration);
    }

    fn next(&mut self, now: Moment) -> Next<Crossing> {
        if self.is_over(now.instant) {
            return Next::Done;
        }
        if let Some(due) = self.due.filter(|due| *due > now.instant) {
            return Next::At(due);
        }
        let interval = self.config.interval.max(Duration::from_millis(1));
        // The schedule is kept, except after an absence.
        let kept = self.due.map(|due| due + interval).filter(|next| *next > now.instant);
        self.due = Some(kept.unwrap_or(now.instant + interval));
        let n = self.acks.next;
        self.acks.next += 1;
        self.last_ts = now.wall.as_micros().max(self.last_ts + 1);
        if let Some(log) = &self.published {
            let at = Timestamp::from_micros(self.last_ts);
            log.record(&self.config.device, Published { n, at, sent_at: now.instant });
        }
        Next::Publish((n, self.last_ts))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|ends_at| now >= ends_at)
    }

    fn topic<'a>(&'a self, _item: &'a Crossing) -> &'a str {
        &self.topic
    }

    fn payload(&self, (n, ts): &Crossing, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"ts\":");
        push_i64(out, *ts);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(self.config.value_of(*n).to_string().as_bytes());
        out.extend_from_slice(b",\"n\":");
        push_u64(out, *n);
        out.push(b'}');
    }

    fn settle(&mut self, (n, _): &Crossing, verdict: Verdict) {
        match verdict {
            Verdict::Acknowledged => self.acks.acknowledged.insert(*n),
            Verdict::Refused => self.acks.refused += 1,
        }
    }

    fn into_accounts(self) -> Vec<(DeviceId, DeviceAcks)> {
        vec![(self.config.device, self.acks)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_crosses_the_threshold_and_names_its_publish() {
        let config =
            ProbeConfig { threshold: -15.0, ..ProbeConfig::new("127.0.0.1:1883".to_owned()) };
        for n in 1..1000 {
            let value = config.value_of(n);
            assert_eq!(value > config.threshold, n % 2 == 1);
            assert_eq!(config.n_of(value), n);
        }
    }
}
