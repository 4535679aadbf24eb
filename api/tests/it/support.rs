//! A running API with ports that tests fill, and small clients for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwire_api::ports::{
    Chooser, DeviceFilter, DeviceInfo, DeviceLabels, DeviceRegistry, HealthStatus, LabelSources,
    LatestReading, LatestReadings, Readiness, RegistryError, RegistryFuture, Seen, SelectionError,
};
use bellwire_api::{Api, Config, Fleet, Health, Hub, Intake, Metrics, Ports, Present};
use bellwire_model::{
    Alert, AlertId, AlertState, Clock, DeviceId, DevicePatch, Labels, LogId, LogPosition,
    MetricName, Reading, RuleName, Severity, SharedNames, StageTimes, Timestamp, Transition, Value,
};
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auditing::Deeds;
use crate::backtests::Trials;
use crate::channels::Wires;
use crate::handling::Hands;
use crate::kept::Kept;
use crate::replay::Bin;
use crate::rules::Book;
use crate::telemetry::Basket;

mod client;

pub(crate) use client::{Answer, Client, position};

/// The log of all tests.
pub(crate) const LOG: LogId = LogId(0x1234);
/// Where the present ends when a test begins.
pub(crate) const START: LogPosition = LogPosition(1_000);

/// Waits for `future`, which must come about.
pub(crate) async fn within<T: Send>(what: &str, future: impl Future<Output = T> + Send) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("30 s passed without: {what}"),
    }
}

/// Waits until `state` holds.
pub(crate) async fn until(what: &str, state: impl Fn() -> bool + Send + Sync) {
    within(what, async {
        while !state() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::new(name).expect("valid")
}

pub(crate) fn metric(name: &str) -> MetricName {
    MetricName::new(name).expect("valid")
}

/// A transition of alert `id` at `position`; its reason is `#position`.
pub(crate) fn transition(position: u64, id: u64, to: AlertState) -> Transition {
    let at = Timestamp::from_secs(1_700_000_000 + i64::try_from(position).expect("small"));
    let alert = Alert {
        id: AlertId(id),
        rule: RuleName::new("too-warm").expect("valid"),
        device: device("freezer-1").into(),
        severity: Severity::Critical,
        state: to,
        since: at,
        fired_at: Some(at),
        resolved_at: (to == AlertState::Resolved).then_some(at),
        value: Some(-3.5),
        summary: "freezer-1 is at -3.5 °C".to_owned(),
        labels: None,
        handling: None,
    };
    let from = if to == AlertState::Resolved { AlertState::Firing } else { AlertState::Inactive };
    Transition {
        position: LogPosition(position),
        ordinal: 0,
        alert,
        from,
        to,
        at,
        received_at: at,
        rule_version: 0xfeed,
        reason: format!("#{position}").into(),
        correction: None,
        historical: false,
        step: None,
    }
}

#[derive(Debug)]
pub(crate) struct TestClock(pub(crate) AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// What was changed in the registry, by whom had seen what.
type Change = (Vec<(DeviceId, DevicePatch)>, Seen);

/// The present, as the test says.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) devices: Mutex<BTreeMap<DeviceId, DeviceInfo>>,
    pub(crate) latest: Mutex<Vec<LatestReading>>,
    /// What was asked of the registry.
    pub(crate) changes: Mutex<Vec<Change>>,
}

/// Chooses everybody.
#[derive(Debug)]
struct Everybody;

impl Chooser for Everybody {
    fn chooses(&self, _: &DeviceId) -> bool {
        true
    }

    fn chooses_group(&self, _: &bellwire_model::Labels) -> bool {
        true
    }
}

impl DeviceRegistry for Memory {
    fn find(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<DeviceInfo>, SelectionError> {
        if filter.select.as_deref() == Some("wrong") {
            return Err(SelectionError { column: 6, message: "the selection ends".into() });
        }
        let devices = self.devices.lock().expect("whole");
        let behind = devices.iter().filter(|(id, _)| after.is_none_or(|after| *id > after));
        let prefix = filter.prefix.as_deref().unwrap_or_default();
        let wanted = behind.filter(|(id, info)| {
            id.as_str().starts_with(prefix) && filter.online.is_none_or(|it| it == info.online)
        });
        Ok(wanted.take(limit).map(|(_, info)| info.clone()).collect())
    }

    fn chooser(&self, select: &str) -> Result<Arc<dyn Chooser>, SelectionError> {
        if select == "wrong" {
            return Err(SelectionError { column: 6, message: "the selection ends".into() });
        }
        Ok(Arc::new(Everybody))
    }

    fn change(&self, changes: Vec<(DeviceId, DevicePatch)>, seen: Seen) -> RegistryFuture<'_> {
        let mut all = self.changes.lock().expect("whole");
        all.push((changes, seen));
        let answer = match all.len() {
            1..5 => Ok(Vec::new()),
            5 => Err(RegistryError::Changed { revision: 7 }),
            _ => Err(RegistryError::Full),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl DeviceLabels for Memory {
    fn labels(&self, device: &DeviceId) -> Labels {
        let known = self.device(device).map(|info| info.labels).unwrap_or_default();
        known.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect()
    }
}

impl Present for Memory {
    fn device(&self, device: &DeviceId) -> Option<DeviceInfo> {
        self.devices.lock().expect("whole").get(device).cloned()
    }

    fn latest(&self, device: &DeviceId) -> Option<Vec<LatestReading>> {
        self.device(device).map(|_| self.latest.lock().expect("whole").clone())
    }

    fn latest_of_all(
        &self,
        metric: Option<&MetricName>,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> LatestReadings {
        let infos =
            self.find(&DeviceFilter::default(), after, limit).expect("no selection").into_iter();
        let latest = self.latest.lock().expect("whole").clone();
        let of_metric = |it: &LatestReading| metric.is_none_or(|metric| *metric == it.metric);
        let readings: Vec<_> = latest.into_iter().filter(of_metric).collect();
        let devices: Vec<_> = infos.map(|info| (info.device, readings.len())).collect();
        let readings = devices.iter().flat_map(|_| readings.clone()).collect();
        LatestReadings { devices, readings }
    }
}

#[derive(Debug)]
pub(crate) struct Condition(pub(crate) Mutex<Readiness>);

impl Health for Condition {
    fn readiness(&self) -> Readiness {
        self.0.lock().expect("whole").clone()
    }
}

/// A running API.
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    pub(crate) hub: Arc<Hub>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) trials: Arc<Trials>,
    pub(crate) book: Arc<Book>,
    pub(crate) basket: Arc<Basket>,
    pub(crate) bin: Arc<Bin>,
    pub(crate) deeds: Arc<Deeds>,
    pub(crate) hands: Arc<Hands>,
    pub(crate) condition: Arc<Condition>,
    pub(crate) names: SharedNames,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) intake: Intake,
    pub(crate) tracker: TaskTracker,
}

impl Service {
    /// Starts one with default settings, no alerts, and `freezer-1` and `freezer-2` known.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let service = Self::start_unready(change).await;
        service.hub.set_snapshot(START, []);
        service
    }

    /// Starts one whose hub does not yet know the present.
    pub(crate) async fn start_unready(change: impl FnOnce(&mut Config)) -> Self {
        let mut config =
            Config { listen: "127.0.0.1:0".parse().expect("valid"), ..Config::default() };
        change(&mut config);
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("a fresh registry");
        let clock = Arc::new(TestClock(AtomicI64::new(1_700_000_000_000_000)));
        let names = SharedNames::default();
        let (memory, kept) = (Arc::new(Memory::default()), Arc::new(Kept::default()));
        let ready = Readiness { status: HealthStatus::Ok, checks: Vec::new(), database: None };
        let trials = Arc::new(Trials::default());
        let book = Arc::new(Book::default());
        let basket = Arc::new(Basket::default());
        let bin = Arc::new(Bin::default());
        let deeds = Arc::new(Deeds::default());
        let hands = Arc::new(Hands::default());
        let condition = Arc::new(Condition(Mutex::new(ready)));
        for name in ["freezer-1", "freezer-2"] {
            names.write(|names| names.add_device(&device(name)));
            memory.devices.lock().expect("whole").insert(device(name), info(name));
        }
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let fleet = Fleet { names: names.clone(), labels: Arc::clone(&memory) as _ };
        let hub = Hub::new(LOG, config.live.clone(), fleet, Arc::clone(&as_clock), metrics);
        let ports = Ports {
            present: Arc::clone(&memory) as _,
            history: Arc::clone(&kept) as _,
            health: Arc::clone(&condition) as _,
            backtests: Arc::clone(&trials) as _,
            rules: Arc::clone(&book) as _,
            telemetry: Arc::clone(&basket) as _,
            shelf: Arc::clone(&bin) as _,
            commands: Arc::new(bellwire_api::ports::NoCommands),
            handling: Arc::clone(&hands) as _,
            registry: Arc::clone(&memory) as _,
            channels: Arc::new(Wires),
            people: None,
            audit: Arc::clone(&deeds) as _,
            provider: None,
            witness: None,
        };
        let tracker = TaskTracker::new();
        let shutdown = CancellationToken::new();
        let api =
            Api::bind(config, ports, Arc::clone(&hub), registry.clone(), as_clock, tracker.clone());
        let api = api.await.expect("a free port");
        let (addr, intake) = (api.local_addr(), api.intake());
        tracker.spawn(api.run(shutdown.clone()));
        Self {
            addr,
            hub,
            memory,
            kept,
            trials,
            book,
            basket,
            bin,
            deeds,
            hands,
            condition,
            names,
            registry,
            clock,
            shutdown,
            intake,
            tracker,
        }
    }

    /// Says that a transition happened; history has it first, as in the service.
    pub(crate) fn happen(&self, transition: &Transition) {
        self.kept.transitions.lock().expect("whole").push(transition.clone());
        self.hub.transition(transition, times(transition));
    }

    pub(crate) fn reading(&self, device_name: &str, metric_name: &str, value: Value) -> Reading {
        let (device, metric) = self.names.write(|names| {
            (names.add_device(&device(device_name)), names.add_metric(&metric(metric_name)))
        });
        Reading {
            device: device.expect("room"),
            metric: metric.expect("room"),
            at: Timestamp::from_secs(1_700_000_000),
            value,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
    }

    /// Sends a whole request and reads the answer until the connection closes.
    pub(crate) async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.addr).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut bytes = Vec::new();
        // A reset after the answer is no matter.
        drop(within("an answer", stream.read_to_end(&mut bytes)).await);
        let answer = Answer::read(&String::from_utf8_lossy(&bytes));
        answer.conforms(request);
        answer
    }

    pub(crate) async fn live(&self, query: &str) -> Client {
        let url = format!("ws://{}/api/v1/live{query}", self.addr);
        let (socket, _) = within("a WebSocket", connect_async(url)).await.expect("accepted");
        Client { socket }
    }

    /// The value of a metric, found by its line in `/metrics`.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("metrics are text");
        let found = text.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {line} in {text}")).parse().expect("a number")
    }
}

pub(crate) fn info(name: &str) -> DeviceInfo {
    DeviceInfo {
        device: device(name),
        first_seen: Some(Timestamp::from_secs(1_600_000_000)),
        last_seen: Some(Timestamp::from_secs(1_700_000_000)),
        online: true,
        clock_skew: None,
        labels: BTreeMap::from([("kind".to_owned(), "freezer".to_owned())]),
        sources: LabelSources::default(),
    }
}

pub(crate) fn times(transition: &Transition) -> StageTimes {
    let received = transition.received_at;
    let (durable, judged) =
        (received + Duration::from_millis(1), received + Duration::from_millis(2));
    StageTimes { received, durable, judged }
}
