//! Replays a recording as a device: each row of a CSV file one publish, in order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_model::{DeviceId, MetricName, QoS, Timestamp};
use tokio::time::Instant;

use crate::calendar::parse_utc;
use crate::fleet::run_connected;
use crate::payload::{push_i64, push_key, push_u64};
use crate::source::{Moment, Next, Source, Verdict};
use crate::terms::{LinkSettings, Refill};
use crate::{DeviceAcks, FleetError, FleetReport, Protocol, Surroundings};

/// The largest recording, in bytes: it is read into memory.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// The recording: a header line, then rows `YYYY-MM-DD HH:MM:SS,number`, times in UTC.
    pub path: PathBuf,
    /// Who publishes it.
    pub device: DeviceId,
    /// What the second column measures.
    pub metric: MetricName,
    /// The service's `host:port`.
    pub address: String,
    /// Which version of MQTT.
    pub protocol: Protocol,
    /// How many times faster than it was recorded; `None` is as fast as acknowledgements come. Where
    /// the recording's clock steps back, the replay does not wait.
    pub speed: Option<f64>,
    /// The most publishes on their way.
    pub in_flight: u16,
    /// How long to do without the service before giving up.
    pub patience: Duration,
}

impl ReplayConfig {
    /// At full speed, over MQTT 3.1.1.
    #[must_use]
    pub fn new(path: PathBuf, device: DeviceId, metric: MetricName, address: String) -> Self {
        Self {
            path,
            device,
            metric,
            address,
            protocol: Protocol::V4,
            speed: None,
            in_flight: 32,
            patience: Duration::from_secs(60),
        }
    }
}

/// Replays a recording with QoS 1. Each payload is `{"ts": …, "<metric>": …, "n": …}` with `n` the
/// row's number from 1, and the value in the digits of the file.
///
/// # Errors
/// [`FleetError::Read`] or [`FleetError::Line`] before anything is published;
/// [`FleetError::Config`]; [`FleetError::Connect`].
///
/// # Cancel safety
/// Not cancel safe: the account would be lost. Cancel `surroundings.stop` instead.
pub async fn replay_csv(
    config: ReplayConfig,
    surroundings: Surroundings,
) -> Result<FleetReport, FleetError> {
    if config.speed.is_some_and(|speed| !(speed.is_finite() && speed > 0.0)) {
        return Err(FleetError::Config { key: "speed", problem: "must be above 0" });
    }
    let rows = read_rows(&config.path)?;
    let settings = LinkSettings {
        address: config.address.as_str().into(),
        client_id: config.device.as_str().to_owned(),
        login: None,
        protocol: config.protocol,
        qos: QoS::AtLeastOnce,
        in_flight: config.in_flight.clamp(1, 1000),
        refill: if config.speed.is_some() { Refill::AnyRoom } else { Refill::HalfFree },
        patience: Some(config.patience),
        drain: config.patience,
    };
    let recording = Recording::new(&config, rows);
    run_connected(vec![(settings, recording)], &config.address, &surroundings).await
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    at: Timestamp,
    /// As the file has it.
    value: Box<str>,
}

fn read_rows(path: &Path) -> Result<Vec<Row>, FleetError> {
    let failed = |source| FleetError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        let problem = std::io::Error::other("recordings of more than 256 MiB are not read");
        return Err(failed(problem));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse_rows(&text).map_err(|(line, problem)| FleetError::Line {
        path: path.to_owned(),
        line,
        problem,
    })
}

/// The rows after the header, or the number of the first line that is none and why.
fn parse_rows(text: &str) -> Result<Vec<Row>, (usize, &'static str)> {
    let rows = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(index, line)| parse_row(line).map_err(|problem| (index + 1, problem))).collect()
}

fn parse_row(line: &str) -> Result<Row, &'static str> {
    let (time, value) = line.split_once(',').ok_or("has no comma")?;
    let at = parse_utc(time.trim()).ok_or("has no time like 2013-12-02 21:15:00")?;
    let value = value.trim();
    let number: f64 = value.parse().map_err(|_| "has no number after the comma")?;
    // What JSON also takes for a number, so that the digits can go out as they are.
    let plain = value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.' | b'e' | b'E'));
    let begins = value.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    if number.is_finite() && plain && begins && !value.ends_with('.') {
        Ok(Row { at, value: value.into() })
    } else {
        Err("has a number that JSON cannot carry")
    }
}

/// A recording that is being replayed.
#[derive(Debug)]
struct Recording {
    device: DeviceId,
    topic: Box<str>,
    /// `,"temperature":`
    key: Vec<u8>,
    rows: Vec<Row>,
    /// Seconds of replay per microsecond of recording.
    pace: Option<f64>,
    began: Option<Instant>,
    acks: DeviceAcks,
}

impl Recording {
    fn new(config: &ReplayConfig, rows: Vec<Row>) -> Self {
        let mut key = vec![b','];
        push_key(&mut key, config.metric.as_str());
        Self {
            device: config.device.clone(),
            topic: format!("devices/{}/telemetry", config.device).into(),
            key,
            rows,
            pace: config.speed.map(|speed| 1e-6 / speed),
            began: None,
            acks: DeviceAcks::starting_at(1),
        }
    }

    fn row(&self, n: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(n - 1).ok()?)
    }

    /// When a row is due.
    fn due(&self, row: &Row, now: Instant) -> Instant {
        match (self.pace, self.began, self.rows.first()) {
            (Some(pace), Some(began), Some(first)) => {
                let after = row.at.since(first.at).as_micros() as f64 * pace;
                Duration::try_from_secs_f64(after).map_or(now, |after| began + after)
            }
            _ => now,
        }
    }
}

impl Source for Recording {
    /// The row's number, from 1.
    type Item = u64;

    fn begin(&mut self, now: Moment) {
        self.began = Some(now.instant);
    }

    fn next(&mut self, now: Moment) -> Next<u64> {
        let n = self.acks.next;
        let Some(row) = self.row(n) else { return Next::Done };
        let due = self.due(row, now.instant);
        if due > now.instant {
            return Next::At(due);
        }
        self.acks.next += 1;
        Next::Publish(n)
    }

    fn is_over(&self, _now: Instant) -> bool {
        self.row(self.acks.next).is_none()
    }

    fn topic<'a>(&'a self, _item: &'a u64) -> &'a str {
        &self.topic
    }

    fn payload(&self, item: &u64, out: &mut Vec<u8>) {
        let row = self.row(*item).expect("only rows that exist are published");
        out.extend_from_slice(b"{\"ts\":");
        // Milliseconds: a number of seconds from before September 2001 could be read as anything.
        push_i64(out, row.at.as_micros() / 1000);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(row.value.as_bytes());
        out.extend_from_slice(b",\"n\":");
        push_u64(out, *item);
        out.push(b'}');
    }

    fn settle(&mut self, item: &u64, verdict: Verdict) {
        match verdict {
            Verdict::Acknowledged => self.acks.acknowledged.insert(*item),
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

    #[test]
    fn rows_are_read_with_the_digits_of_the_file() {
        let text = "timestamp,value\n1970-01-02 00:00:01,73.96732207\n\n1970-01-01 00:00:00,-1e2\n";
        let rows = parse_rows(text).expect("rows");
        let row = |secs, value: &str| Row { at: Timestamp::from_secs(secs), value: value.into() };
        assert_eq!(rows, [row(86_401, "73.96732207"), row(0, "-1e2")]);
    }

    #[test]
    fn a_wrong_row_is_named() {
        let check = |row: &str, problem: &str| {
            let text = format!("timestamp,value\n1970-01-01 00:00:00,1\n{row}\n");
            let (line, found) = parse_rows(&text).expect_err("wrong");
            assert_eq!(line, 3);
            assert!(found.contains(problem), "{found}");
        };
        check("1970-01-01 00:00:00", "no comma");
        check("1970-01-01T00:00:00,1", "no time");
        check("1970-01-01 00:00:00,hot", "no number");
        for value in ["NaN", "inf", "+1", ".5", "1."] {
            check(&format!("1970-01-01 00:00:00,{value}"), "JSON cannot carry");
        }
    }
}
