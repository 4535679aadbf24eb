//! Things that this folder's tests make.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use bellwire_model::{
    Alert, AlertId, AlertState, Clock, DeviceId, DeviceKey, DeviceLedger, LogId, LogPosition,
    MetricKey, MetricName, Quarantined, RuleName, Severity, SharedNames, Timestamp, Transition,
    Value,
};

use crate::app::{App, CHARTS_MAX, EXPORTS_MAX};
use crate::config::Config;
use crate::live::feed::Open;
use crate::live::frames::{Entry, LiveReading};
use crate::live::hub::Hub;
use crate::metrics::Metrics;
use crate::ports::{
    AlertHistory, AlertsQuery, BacktestError, BacktestFuture, BacktestRequest, Backtests,
    BucketRow, BucketsQuery, ChangedBy, DeviceInfo, Health, HealthStatus, History, Known,
    LatestReading, LatestReadings, NewRule, Page, Place, PortError, PortFuture, Ports, Posts,
    Present, QuarantineQuery, Readiness, ReadingRow, ReadingsQuery, RuleCheck, RuleDeed,
    RuleDetail, RuleInfo, RuleTrial, RuleVersion, Rules, RulesError, RulesFuture, Telemetry,
    TelemetryError, TelemetryFuture,
};

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
    let clock: Arc<dyn Clock> = Arc::new(Nothing);
    let (live, names) = (config.live.clone(), SharedNames::default());
    let hub = Hub::new(LogId(1), live, names, Arc::clone(&clock), metrics.clone());
    hub.set_snapshot(LogPosition(100), []);
    let nothing = Arc::new(Nothing);
    let ports = Ports {
        present: Arc::clone(&nothing) as _,
        history: Arc::clone(&nothing) as _,
        health: Arc::clone(&nothing) as _,
        backtests: Arc::clone(&nothing) as _,
        rules: Arc::clone(&nothing) as _,
        telemetry: nothing,
        registry: Arc::new(()),
    };
    Arc::new(App {
        config,
        ports,
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

/// Knows nothing; for it the time stands still.
#[derive(Debug)]
struct Nothing;

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

impl Backtests for Nothing {
    fn begin(&self, _: BacktestRequest) -> BacktestFuture<'_> {
        Box::pin(std::future::ready(Err(BacktestError::Busy)))
    }
}

impl Rules for Nothing {
    fn list(&self) -> Vec<RuleInfo> {
        Vec::new()
    }

    fn rule(&self, _: &RuleName) -> Option<RuleDetail> {
        None
    }

    fn versions(&self, _: &RuleName) -> Option<Vec<RuleVersion>> {
        None
    }

    fn create(&self, _: NewRule, _: ChangedBy) -> RulesFuture<'_, RuleDetail> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }

    fn change(
        &self,
        _: RuleName,
        _: RuleDeed,
        _: Known,
        _: ChangedBy,
    ) -> RulesFuture<'_, Option<RuleDetail>> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }

    fn check(&self, _: RuleTrial) -> RulesFuture<'_, RuleCheck> {
        Box::pin(std::future::ready(Err(RulesError::Waiting)))
    }
}

impl Present for Nothing {
    fn device(&self, _: &DeviceId) -> Option<DeviceInfo> {
        None
    }

    fn latest(&self, _: &DeviceId) -> Option<Vec<LatestReading>> {
        None
    }

    fn latest_of_all(
        &self,
        _: Option<&MetricName>,
        _: Option<&DeviceId>,
        _: usize,
    ) -> LatestReadings {
        LatestReadings::default()
    }
}

fn away<T: Send + 'static>() -> PortFuture<'static, T> {
    Box::pin(async { Err(PortError::DatabaseAway) })
}

impl History for Nothing {
    fn readings(&self, _: ReadingsQuery) -> PortFuture<'_, Page<ReadingRow>> {
        away()
    }

    fn buckets(&self, _: BucketsQuery) -> PortFuture<'_, Page<BucketRow>> {
        away()
    }

    fn alerts(&self, _: AlertsQuery) -> PortFuture<'_, Page<Alert>> {
        away()
    }

    fn alert(&self, _: AlertId) -> PortFuture<'_, Option<AlertHistory>> {
        away()
    }

    fn transitions(&self, _: Place, _: usize) -> PortFuture<'_, Vec<Transition>> {
        away()
    }

    fn quarantine(&self, _: QuarantineQuery) -> PortFuture<'_, Page<Quarantined>> {
        away()
    }

    fn ledger(&self, _: DeviceId) -> PortFuture<'_, Option<DeviceLedger>> {
        away()
    }

    fn ledgers(
        &self,
        _: Option<DeviceId>,
        _: usize,
    ) -> PortFuture<'_, Vec<(DeviceId, DeviceLedger)>> {
        away()
    }
}

impl Health for Nothing {
    fn readiness(&self) -> Readiness {
        Readiness { status: HealthStatus::Degraded, checks: Vec::new(), database: None }
    }
}

impl Telemetry for Nothing {
    fn take(&self, _: Posts) -> TelemetryFuture<'_> {
        Box::pin(std::future::ready(Err(TelemetryError::Later)))
    }
}
