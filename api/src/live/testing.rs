//! Things that this folder's tests make.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use bellwire_model::{
    Alert, AlertId, AlertState, Clock, DeviceId, DeviceKey, LogId, LogPosition, MetricKey,
    MetricName, RuleName, Severity, SharedNames, Timestamp, Value,
};

use crate::app::{App, CHARTS_MAX, EXPORTS_MAX};
use crate::config::Config;
use crate::live::feed::Open;
use crate::live::frames::{Entry, LiveReading};
use crate::live::hub::Hub;
use crate::metrics::Metrics;
use crate::ports::{Place, Ports};

pub(crate) fn entry(position: u64, ordinal: u32, alert: u64) -> Arc<Entry> {
    let place = Place { position: LogPosition(position), ordinal };
    Arc::new(Entry { place, alert: AlertId(alert), text: "{}".into() })
}

pub(crate) fn open(id: u64) -> Open {
    let alert = Alert {
        id: AlertId(id),
        rule: RuleName::new("rule").expect("valid"),
        device: bellwire_model::Target::new("device").expect("valid"),
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

/// An app that knows no device and whose database is away.
pub(crate) fn app() -> Arc<App> {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry).expect("a fresh registry");
    let config = Config::default();
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let (live, names) = (config.live.clone(), SharedNames::default());
    let hub = Hub::new(LogId(1), live, names, Arc::clone(&clock), metrics.clone());
    hub.set_snapshot(LogPosition(100), []);
    Arc::new(App {
        config,
        ports: Ports::nothing(),
        hub,
        registry,
        metrics,
        clock,
        tracker: TaskTracker::new(),
        closing: CancellationToken::new(),
        history_gate: Semaphore::new(1),
        exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        charts: Semaphore::new(CHARTS_MAX),
    })
}

/// For it the time stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}
