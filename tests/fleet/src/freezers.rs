//! The demo's freezers: each publishes on a connection of its own, and one may fail.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{DeviceId, QoS, Timestamp};
use tokio::time::Instant;

use crate::fleet::run_unconnected;
use crate::freezer::{Freezer, Machine, Shown};
use crate::payload::{push_hundredths, push_i64, push_u64};
use crate::source::{Moment, Next, Source, Verdict};
use crate::terms::{LinkSettings, Refill};
use crate::{DeviceAcks, FleetError, FleetReport, Protocol, Published, PublishedLog, Surroundings};

/// Which freezer fails, when, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The freezer's number, from 1.
    pub freezer: u32,
    /// How long after the start its compressor fails.
    pub after: Duration,
    /// The time constant of its warming towards +5 °C, and of its recovery: it passes −15 °C after
    /// about an eighth of this.
    pub warming: Duration,
    /// How long after the failure it is repaired; `None` is never.
    pub repair_after: Option<Duration>,
}

/// The freezers to simulate.
#[derive(Clone, Debug)]
pub struct FreezerConfig {
    /// The service's `host:port`.
    pub address: String,
    /// How many, at least 1. They are named `{prefix}-01` and on, and connect by that name.
    pub freezers: u32,
    /// What their names begin with.
    pub prefix: String,
    /// How often each publishes; at least 1 ms.
    pub interval: Duration,
    /// What chance is made of.
    pub seed: u64,
    /// The one that fails, if any.
    pub failure: Option<Failure>,
    /// The first `n` of each. A later run against the same database needs a later one.
    pub n_first: u64,
    /// Which version of MQTT.
    pub protocol: Protocol,
    /// How many readings a freezer keeps while it cannot send them, at least 1. When there are
    /// more, the oldest are gone, with a warning in the log; they were never published, so no
    /// account lacks them.
    pub backlog_max: u32,
    /// How long to run; `None` is until stopped.
    pub duration: Option<Duration>,
    /// How long to wait for outstanding acknowledgements at the end.
    pub drain: Duration,
}

impl Default for FreezerConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:1883".to_owned(),
            freezers: 12,
            prefix: "freezer".to_owned(),
            interval: Duration::from_secs(1),
            seed: 1,
            failure: None,
            n_first: 1,
            protocol: Protocol::V5,
            backlog_max: 3600,
            duration: None,
            drain: Duration::from_secs(5),
        }
    }
}

/// Freezers, ready to run.
#[derive(Debug)]
pub struct FreezerFleet {
    config: FreezerConfig,
    devices: Vec<DeviceId>,
}

impl FreezerFleet {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`FleetError::Config`].
    pub fn new(config: FreezerConfig) -> Result<Self, FleetError> {
        let problems = [
            (config.freezers == 0, "freezers", "must be at least 1"),
            (config.interval < Duration::from_millis(1), "interval", "must be at least 1 ms"),
            (config.n_first == 0, "n_first", "must be at least 1"),
            (config.backlog_max == 0, "backlog_max", "must be at least 1"),
            (
                config.failure.is_some_and(|f| !(1..=config.freezers).contains(&f.freezer)),
                "failure.freezer",
                "must be the number of a freezer",
            ),
        ];
        if let Some((_, key, problem)) = problems.into_iter().find(|(wrong, ..)| *wrong) {
            return Err(FleetError::Config { key, problem });
        }
        let devices = (1..=config.freezers)
            .map(|number| DeviceId::new(&format!("{}-{number:02}", config.prefix)))
            .collect::<Result<_, _>>()
            .map_err(|_| FleetError::Config {
                key: "prefix",
                problem: "cannot begin a device's name",
            })?;
        Ok(Self { config, devices })
    }

    /// Their names, by number.
    #[must_use]
    pub fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// Runs until `surroundings.stop` is cancelled or the duration is over. While the service is
    /// away the freezers keep what they measure, and catch up when it is back.
    ///
    /// # Cancel safety
    /// Not cancel safe: the account would be lost. Cancel `surroundings.stop` instead.
    pub async fn run(self, surroundings: Surroundings) -> FleetReport {
        let parts = self.devices.iter().zip(0..).map(|(device, at)| {
            let settings = LinkSettings {
                address: self.config.address.as_str().into(),
                client_id: device.as_str().to_owned(),
                login: None,
                protocol: self.config.protocol,
                qos: QoS::AtLeastOnce,
                in_flight: 32,
                refill: Refill::AnyRoom,
                patience: None,
                drain: self.config.drain,
            };
            let published = surroundings.published.clone();
            (settings, Sensor::new(&self.config, device.clone(), at, published))
        });
        run_unconnected(parts.collect(), &surroundings).await
    }
}

/// One freezer's sensors, read at every interval whether or not anybody listens.
#[derive(Debug)]
struct Sensor {
    device: DeviceId,
    topic: Box<str>,
    freezer: Freezer,
    interval: Duration,
    /// The freezers take turns within an interval.
    phase: Duration,
    /// After so long it fails; with its time constant; and after so long it is repaired.
    failure: Option<Failure>,
    duration: Option<Duration>,
    backlog_max: u32,
    began: Option<Moment>,
    /// How many intervals have been measured.
    steps: u32,
    acks: DeviceAcks,
    published: Option<Arc<PublishedLog>>,
}

/// One set of readings.
#[derive(Clone, Copy, Debug)]
struct Measured {
    n: u64,
    at: Timestamp,
    shown: Shown,
}

impl Sensor {
    fn new(
        config: &FreezerConfig,
        device: DeviceId,
        at: u32,
        published: Option<Arc<PublishedLog>>,
    ) -> Self {
        Self {
            topic: format!("devices/{device}/telemetry").into(),
            device,
            freezer: Freezer::new(config.seed, u64::from(at)),
            interval: config.interval,
            phase: config.interval * at / config.freezers,
            failure: config.failure.filter(|failure| failure.freezer == at + 1),
            duration: config.duration,
            backlog_max: config.backlog_max,
            began: None,
            steps: 0,
            acks: DeviceAcks::starting_at(config.n_first),
            published,
        }
    }

    /// How long after the beginning the next interval ends.
    fn next_after(&self) -> Duration {
        self.phase + self.interval * self.steps
    }

    fn machine(&self, after: Duration) -> Machine {
        let Some(failure) = self.failure.filter(|failure| after >= failure.after) else {
            return Machine::Works;
        };
        match failure.repair_after {
            Some(repair_after) if after >= failure.after + repair_after => {
                Machine::Repaired(failure.warming)
            }
            _ => Machine::Failed(failure.warming),
        }
    }

    fn measure(&mut self) -> Shown {
        let machine = self.machine(self.next_after());
        self.steps = self.steps.saturating_add(1);
        self.freezer.step(self.interval, machine)
    }

    /// Measures, and forgets, what is too old for the backlog.
    fn forget_oldest(&mut self, elapsed: Duration) {
        let reach = self.interval * self.backlog_max;
        let mut forgotten = 0;
        while self.next_after() + reach < elapsed {
            self.measure();
            forgotten += 1;
        }
        if forgotten > 0 {
            tracing::warn!(
                device.id = %self.device,
                forgotten,
                "`{}` could not keep {forgotten} readings while the service was away.",
                self.device,
            );
        }
    }
}

impl Source for Sensor {
    type Item = Measured;

    fn begin(&mut self, now: Moment) {
        self.began = Some(now);
    }

    fn next(&mut self, now: Moment) -> Next<Measured> {
        let began = *self.began.get_or_insert(now);
        if self.is_over(now.instant) {
            return Next::Done;
        }
        let elapsed = now.instant.saturating_duration_since(began.instant);
        self.forget_oldest(elapsed);
        let after = self.next_after();
        if after > elapsed {
            return Next::At(began.instant + after);
        }
        let shown = self.measure();
        let measured = Measured { n: self.acks.next, at: began.wall + after, shown };
        self.acks.next += 1;
        if let Some(log) = &self.published {
            let published = Published { n: measured.n, at: measured.at, sent_at: now.instant };
            log.record(&self.device, published);
        }
        Next::Publish(measured)
    }

    fn is_over(&self, now: Instant) -> bool {
        match (self.began, self.duration) {
            (Some(began), Some(duration)) => now >= began.instant + duration,
            _ => false,
        }
    }

    fn topic<'a>(&'a self, _item: &'a Measured) -> &'a str {
        &self.topic
    }

    fn payload(&self, item: &Measured, out: &mut Vec<u8>) {
        let yes_or_no = |yes: bool| if yes { &b"true"[..] } else { &b"false"[..] };
        out.extend_from_slice(b"{\"ts\":");
        push_i64(out, item.at.as_micros());
        out.extend_from_slice(b",\"seq\":");
        push_u64(out, item.n);
        out.extend_from_slice(b",\"temperature\":");
        push_hundredths(out, item.shown.temperature_hundredths);
        out.extend_from_slice(b",\"humidity\":");
        push_hundredths(out, item.shown.humidity_hundredths);
        out.extend_from_slice(b",\"door_open\":");
        out.extend_from_slice(yes_or_no(item.shown.door_open));
        out.extend_from_slice(b",\"compressor_on\":");
        out.extend_from_slice(yes_or_no(item.shown.compressor_on));
        out.extend_from_slice(b",\"n\":");
        push_u64(out, item.n);
        out.push(b'}');
    }

    fn settle(&mut self, item: &Measured, verdict: Verdict) {
        match verdict {
            Verdict::Acknowledged => self.acks.acknowledged.insert(item.n),
            Verdict::Refused => self.acks.refused += 1,
        }
    }

    fn into_accounts(self) -> Vec<(DeviceId, DeviceAcks)> {
        vec![(self.device, self.acks)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(backlog_max: u32) -> Sensor {
        let failure = Failure {
            freezer: 1,
            after: Duration::from_secs(100),
            warming: Duration::from_secs(60),
            repair_after: Some(Duration::from_secs(50)),
        };
        let config =
            FreezerConfig { backlog_max, failure: Some(failure), ..FreezerConfig::default() };
        Sensor::new(&config, DeviceId::new("freezer-01").expect("valid"), 0, None)
    }

    #[test]
    fn a_long_absence_leaves_the_newest_readings() {
        let mut sensor = sensor(10);
        let began = Moment { instant: Instant::now(), wall: Timestamp::from_secs(1000) };
        sensor.begin(began);
        let back = Moment { instant: began.instant + Duration::from_secs(99), ..began };
        let mut measured = Vec::new();
        let due = loop {
            match sensor.next(back) {
                Next::Publish(item) => measured.push(item),
                Next::At(due) => break due,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(due, began.instant + Duration::from_secs(100));
        let at: Vec<_> = measured.iter().map(|item| item.at.as_micros() / 1_000_000).collect();
        assert_eq!(at, (1089..=1099).collect::<Vec<_>>());
        let n: Vec<_> = measured.iter().map(|item| item.n).collect();
        assert_eq!(n, (1..=11).collect::<Vec<_>>(), "no gap in what is published");
    }

    #[test]
    fn it_fails_and_is_repaired_when_it_is_told_to() {
        let sensor = sensor(10);
        let check = |seconds, machine| {
            assert_eq!(sensor.machine(Duration::from_secs(seconds)), machine, "{seconds}");
        };
        let warming = Duration::from_secs(60);
        check(99, Machine::Works);
        check(100, Machine::Failed(warming));
        check(149, Machine::Failed(warming));
        check(150, Machine::Repaired(warming));
    }
}
