//! Things that this folder's tests make.

use std::sync::{Arc, OnceLock};

use bellwire_model::{
    Alert, AlertId, AlertState, DeviceId, DeviceKey, LogPosition, MetricKey, MetricName, RuleName,
    Severity, Timestamp, Value,
};

use crate::live::feed::Open;
use crate::live::frames::{Entry, LiveReading};
use crate::ports::Place;

pub(crate) fn entry(position: u64, ordinal: u32, alert: u64) -> Arc<Entry> {
    let place = Place { position: LogPosition(position), ordinal };
    Arc::new(Entry { place, alert: AlertId(alert), text: "{}".into() })
}

pub(crate) fn open(id: u64) -> Open {
    let alert = Alert {
        id: AlertId(id),
        rule: RuleName::new("rule").expect("valid"),
        device: DeviceId::new("device").expect("valid"),
        severity: Severity::Warning,
        state: AlertState::Firing,
        since: Timestamp::EPOCH,
        fired_at: Some(Timestamp::EPOCH),
        resolved_at: None,
        value: Some(1.0),
        summary: String::new(),
    };
    Open { alert: Arc::new(alert), json: Arc::from("{}") }
}

pub(crate) fn reading(device: u32, metric: u32, at_micros: i64) -> Arc<LiveReading> {
    Arc::new(LiveReading {
        series: (DeviceKey(device), MetricKey(metric)),
        device: DeviceId::new("device").expect("valid"),
        metric: MetricName::new("metric").expect("valid"),
        at: Timestamp::from_micros(at_micros),
        value: Value::Number(1.0),
        text: OnceLock::new(),
    })
}
