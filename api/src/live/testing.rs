//! Things that this folder's tests make.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use bellwire_model::{
    Alert, AlertId, AlertState, Clock, DeviceId, DeviceKey, Labels, LogId, LogPosition, MetricKey,
    MetricName, RuleName, Severity, Timestamp, Transition, Value,
};

use crate::app::{App, CHARTS_MAX, EXPORTS_MAX};
use crate::auditing::{ACTING_MAX, Flood};
use crate::config::Config;
use crate::guard::once::Answered;
use crate::guard::rate::Rates;
use crate::live::feed::Open;
use crate::live::filter::Facts;
use crate::live::frames::{Entry, LiveReading};
use crate::live::hub::{Fleet, Hub};
use crate::metrics::Metrics;
use crate::ports::{Place, Ports};
use crate::request_id::RequestIds;
use crate::sources::Sources;
use crate::views::TimesView;

/// A transition of alert `id`, which fires.
pub(crate) fn plain_entry(position: u64, ordinal: u32, id: u64) -> Entry {
    let transition = Transition {
        position: LogPosition(position),
        ordinal,
        alert: alert(id),
        from: AlertState::Inactive,
        to: AlertState::Firing,
        at: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        rule_version: 0,
        reason: "".into(),
        correction: None,
        historical: false,
        step: None,
    };
    let cursor = Place::of(&transition).after().cursor(LogId(1));
    let facts = Facts::of(&transition.alert, Labels::default);
    Entry::new(cursor, &transition, TimesView::kept(&transition, None), Arc::new(facts))
}

fn alert(id: u64) -> Alert {
    Alert {
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
        labels: None,
        handling: None,
    }
}

pub(crate) fn open(id: u64) -> Open {
    let alert = alert(id);
    let facts = Arc::new(Facts::of(&alert, Labels::default));
    Open { alert: Arc::new(alert), facts, json: Arc::from("{}") }
}

pub(crate) fn reading(device: u32, metric: u32, at_micros: i64) -> Arc<LiveReading> {
    Arc::new(LiveReading {
        series: (DeviceKey(device), MetricKey(metric)),
        device: DeviceId::new("device").expect("valid"),
        metric: MetricName::new("metric").expect("valid"),
        at: Timestamp::from_micros(at_micros),
        value: Value::Number(1.0),
        frame: OnceLock::new(),
    })
}

/// An app that knows no device and whose database is away.
pub(crate) fn app() -> Arc<App> {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry).expect("a fresh registry");
    let config = Config::default();
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let (live, fleet) = (config.live.clone(), Fleet::nothing());
    let hub = Hub::new(LogId(1), live, fleet, Arc::clone(&clock), metrics.clone());
    hub.set_snapshot(LogPosition(100), []);
    let refused = metrics.http.connections_refused.clone();
    Arc::new(App {
        ports: Ports::nothing(),
        hub,
        registry,
        metrics,
        request_ids: RequestIds::new(clock.now()),
        rates: Rates::new(&config.rate),
        answered: Answered::default(),
        clock,
        tracker: TaskTracker::new(),
        closing: CancellationToken::new(),
        quiet: CancellationToken::new(),
        acting: TaskTracker::new(),
        places: Arc::new(Semaphore::new(ACTING_MAX)),
        sources: Sources::new(config.connections_per_source_max, refused),
        history_gate: Semaphore::new(1),
        exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        charts: Semaphore::new(CHARTS_MAX),
        gate: None,
        config,
        flood: Flood::default(),
        scopes: crate::auth::within::Scopes::default(),
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
