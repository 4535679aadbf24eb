//! Where *judge* leaves what happened, and from where every client learns it.
//!
//! *Judge* puts transitions in a short queue that it shares with one task, the pump, and no one
//! else: what it pays does not depend on how many clients there are or how slow they are. The
//! pump stamps, encodes once, adds to the [`Feed`], and writes to the clients that hear of it and have all
//! that was before; it wakes the others, and each of them reads the feed at its own pace by a number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bellwire_model::{
    Alert, Clock, DeviceId, DeviceKey, Labels, LogId, LogPosition, MatchOp, Matchers, Reading,
    SharedNames, StageTimes, Target, Timestamp, Transition,
};
use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::LiveConfig;
use crate::live::client::{Client, Subscriber};
use crate::live::crowd::Crowd;
use crate::live::encoded::Encoded;
use crate::live::feed::{Feed, Open};
use crate::live::filter::{AlertSpec, Facts, Filter};
use crate::live::frames::{self, Entry, LiveReading};
use crate::live::interest::{Interest, ReadingSpec};
use crate::live::operators::{NEWS_INTERVAL, Operators};
use crate::live::round::Round;
use crate::metrics::Metrics;
use crate::ports::{DeviceLabels, Place, TransitionWitness};
use crate::views::TimesView;

/// Transitions that may wait for the pump. Full: the caller does the pump's work itself, so that
/// none is lost and none waits for a client.
const BACKLOG_MAX: usize = 16_384;
/// Readings that may wait for the pump. Full: the oldest go, and are counted as conflated.
const READINGS_BACKLOG_MAX: usize = 65_536;
/// How many transitions or readings are handled between two looks at the clock and the locks.
const PUMP_MAX: usize = 256;
/// Up to so many clients, how long it took is counted for each transition and client.
const SAMPLED_CLIENTS_MAX: usize = 64;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Done,
    More,
}

/// What the feed knows of devices.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Their names, and those of their metrics.
    pub names: SharedNames,
    /// Their labels.
    pub labels: Arc<dyn DeviceLabels>,
}

impl Fleet {
    /// No devices.
    #[must_use]
    pub fn nothing() -> Self {
        Self { names: SharedNames::default(), labels: Arc::new(()) }
    }

    /// The labels of a device or of a group.
    fn labels_of(&self, target: &Target) -> Labels {
        if !target.is_group() {
            return DeviceId::new(target.as_str())
                .map(|it| self.labels.labels(&it))
                .unwrap_or_default();
        }
        // A group's text is written as matchers are.
        let matchers = Matchers::parse(target.as_str()).unwrap_or_default();
        let equal = matchers.as_slice().iter().filter(|it| it.op() == MatchOp::Equal);
        equal.map(|it| (it.label().into(), it.value().into())).collect()
    }
}

/// Where *judge* leaves what happened, and from where every client learns it.
///
/// All its methods may be called from any thread; none waits for a client.
#[derive(Debug)]
pub struct Hub {
    log: LogId,
    config: LiveConfig,
    fleet: Fleet,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    backlog: Mutex<VecDeque<(Transition, StageTimes)>>,
    readings: Mutex<VecDeque<Reading>>,
    /// Held by whoever pumps, so that order is kept. Taken before any other lock of ours.
    pumping: Mutex<()>,
    wake: Notify,
    readings_wake: Notify,
    feed: Mutex<Feed>,
    interest: Interest,
    crowd: Mutex<Crowd>,
    n_clients: AtomicUsize,
    next_client: AtomicU64,
    operators: Arc<Operators>,
    witness: OnceLock<Arc<dyn TransitionWitness>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change below is complete before anything that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// A hub for transitions of `log`. Until [`Hub::set_snapshot`] is called, clients are told to
    /// come back later.
    #[must_use]
    pub fn new(
        log: LogId,
        config: LiveConfig,
        fleet: Fleet,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Arc<Self> {
        let feed = Feed::new(log, config.ring_transitions.get());
        Arc::new(Self {
            log,
            config,
            fleet,
            clock,
            metrics,
            backlog: Mutex::default(),
            readings: Mutex::default(),
            pumping: Mutex::default(),
            wake: Notify::new(),
            readings_wake: Notify::new(),
            feed: Mutex::new(feed),
            interest: Interest::default(),
            crowd: Mutex::new(Crowd::new()),
            n_clients: AtomicUsize::new(0),
            next_client: AtomicU64::new(0),
            operators: Arc::default(),
            witness: OnceLock::new(),
        })
    }

    /// From now on `witness` is told of each transition that is passed on. The first one stays.
    pub fn tell(&self, witness: Arc<dyn TransitionWitness>) {
        let _ = self.witness.set(witness);
    }

    /// Says what the present is: the alerts as they are after every record that begins before
    /// `end`; those that are over are left out. Call it once, when *judge* has caught up with the
    /// log, and before the first [`Hub::transition`] behind `end`; transitions handed over before
    /// are forgotten. Called again, it disconnects every client, and each comes back.
    pub fn set_snapshot(&self, end: LogPosition, alerts: impl IntoIterator<Item = Alert>) {
        let open: BTreeMap<_, _> = alerts
            .into_iter()
            .filter(Alert::is_open)
            .map(|alert| {
                let facts = self.facts_of(&alert);
                (alert.id, open(alert, facts))
            })
            .collect();
        let pumping = lock(&self.pumping);
        lock(&self.backlog).clear();
        lock(&self.feed).reset(end, open);
        drop(pumping);
        lock(&self.crowd).wake_all();
    }

    /// Tells every client that this happened. To be called in the log's order, each transition
    /// once; one that the present already has is ignored.
    ///
    /// Costs the caller a copy and a lock that only the pump shares; if 16,384 wait already, also
    /// the work of the pump.
    pub fn transition(&self, transition: &Transition, times: StageTimes) {
        let n_waiting = {
            let mut backlog = lock(&self.backlog);
            backlog.push_back((transition.clone(), times));
            backlog.len()
        };
        if n_waiting > BACKLOG_MAX {
            self.pump(wake);
        }
        self.wake.notify_one();
    }

    /// Passes on what waits: whoever looks afterwards sees all that was handed over before.
    pub fn catch_up(&self) {
        while self.pump(wake) == Work::More {}
    }

    /// Whether a client may want the readings of `device`: a few relaxed loads.
    #[must_use]
    pub fn wants(&self, device: DeviceKey) -> bool {
        self.interest.wants(device)
    }

    /// Shows readings to those who asked for their devices. Ask [`Hub::wants`] first.
    ///
    /// They are passed on together within `readings_interval_ms`.
    pub fn readings(&self, readings: &[Reading]) {
        if readings.is_empty() {
            return;
        }
        let (was_empty, n_surplus) = {
            let mut waiting = lock(&self.readings);
            let was_empty = waiting.is_empty();
            waiting.extend(readings.iter().cloned());
            let n_surplus = waiting.len().saturating_sub(READINGS_BACKLOG_MAX);
            waiting.drain(..n_surplus);
            (was_empty, n_surplus)
        };
        self.metrics.live.readings_conflated.inc_by(n_surplus as u64);
        if was_empty {
            self.readings_wake.notify_one();
        }
    }

    /// The open alerts, in order of id; `None` while we do not know the present.
    #[must_use]
    pub fn open_alerts(&self) -> Option<Vec<Arc<Alert>>> {
        self.with_feed(|feed| {
            feed.is_ready().then(|| feed.open().map(|open| Arc::clone(&open.alert)).collect())
        })
    }

    /// The open alerts, and the first place that is not in them; `None` while we do not know the
    /// present.
    #[must_use]
    pub fn present(&self) -> Option<(Place, Vec<Arc<Alert>>)> {
        self.with_feed(|feed| {
            let alerts = feed.open().map(|open| Arc::clone(&open.alert)).collect();
            Some((feed.next_place()?, alerts))
        })
    }

    /// How many clients there are.
    #[must_use]
    pub fn n_clients(&self) -> usize {
        self.n_clients.load(Ordering::Relaxed)
    }

    pub(crate) fn log(&self) -> LogId {
        self.log
    }

    pub(crate) fn config(&self) -> &LiveConfig {
        &self.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Looks at the feed. Keep it short: the pump waits.
    pub(crate) fn with_feed<T>(&self, look: impl FnOnce(&Feed) -> T) -> T {
        look(&lock(&self.feed))
    }

    /// A new client, of somebody with this name, that wants such alerts; `None` when there are
    /// `clients_max`.
    pub(crate) fn join(self: &Arc<Self>, name: &Arc<str>, spec: AlertSpec) -> Option<Subscriber> {
        let mut crowd = lock(&self.crowd);
        if crowd.len() >= self.config.clients_max.get() {
            drop(crowd);
            self.metrics.live.clients_refused.inc();
            return None;
        }
        let id = self.next_client.fetch_add(1, Ordering::Relaxed);
        let client = Arc::new(Client::new(id, self.config.client_readings_max.get()));
        let filter = crowd.join(&client, spec);
        self.n_clients.store(crowd.len(), Ordering::Relaxed);
        drop(crowd);
        let here = self.operators.join(name, self.now());
        Some(Subscriber::new(Arc::clone(self), client, filter, here))
    }

    pub(crate) fn leave(&self, client: &Arc<Client>, filter: &Arc<Filter>, readings: &ReadingSpec) {
        let mut crowd = lock(&self.crowd);
        crowd.leave(client, filter);
        self.n_clients.store(crowd.len(), Ordering::Relaxed);
        drop(crowd);
        self.change_interest(client, readings, &ReadingSpec::default());
    }

    /// Has `client` want other alerts; gives the filter that it shares from now on.
    pub(crate) fn change_filter(
        &self,
        client: &Arc<Client>,
        old: &Arc<Filter>,
        spec: AlertSpec,
    ) -> Arc<Filter> {
        let mut crowd = lock(&self.crowd);
        let filter = crowd.join(client, spec);
        if !Arc::ptr_eq(&filter, old) {
            crowd.leave(client, old);
        }
        filter
    }

    pub(crate) fn change_interest(
        &self,
        client: &Arc<Client>,
        old: &ReadingSpec,
        new: &ReadingSpec,
    ) {
        self.interest.change(client, old, new, &self.fleet.names);
    }

    /// Who is here, if there are news since those that were `seen`.
    pub(crate) fn operators_since(&self, seen: &mut u64) -> Option<Arc<Encoded>> {
        self.operators.news_since(seen)
    }

    pub(crate) fn operators(&self) -> &Operators {
        &self.operators
    }

    /// Counts how long each took of these transitions that a client's socket has just taken: all if there
    /// are few clients, else some for each client.
    pub(crate) fn delivered<'a>(&self, client: u64, took: impl Iterator<Item = &'a Arc<Entry>>) {
        let mask = if self.n_clients() <= SAMPLED_CLIENTS_MAX { 0 } else { 15 };
        let is_sampled = |entry: &&Arc<Entry>| {
            // Positions are multiples of something: spread them (Knuth, multiplicative hashing).
            let spread = entry.place.position.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            spread.wrapping_add(client) & mask == 0
        };
        let mut now = None;
        for entry in took.filter(is_sampled) {
            let now = *now.get_or_insert_with(|| self.now());
            self.metrics.live.delivery.observe(now.since(entry.received).as_secs_f64());
        }
    }

    /// What filters look at of an alert; where it does not say its labels, they are those of now.
    pub(crate) fn facts_of(&self, alert: &Alert) -> Arc<Facts> {
        Arc::new(Facts::of(alert, || self.fleet.labels_of(&alert.device)))
    }

    /// Moves transitions on, at most [`PUMP_MAX`]; those who hear of them are told by `tell`, which is
    /// given the rounds that are to be made. It is called with our locks held.
    fn pump(&self, tell: impl FnOnce(Vec<Round>)) -> Work {
        let _pumping = lock(&self.pumping);
        let (batch, n_left): (Vec<_>, _) = {
            let mut backlog = lock(&self.backlog);
            let n = backlog.len().min(PUMP_MAX);
            (backlog.drain(..n).collect(), backlog.len())
        };
        if batch.is_empty() {
            return Work::Done;
        }
        let sent = self.clock.now();
        let encoded: Vec<_> =
            batch.iter().map(|(it, times)| self.encode(it, *times, sent)).collect();
        let mut feed = lock(&self.feed);
        let head = feed.head();
        let taken: Vec<bool> =
            encoded.into_iter().map(|(entry, open)| feed.push(entry, open)).collect();
        let new: Vec<_> =
            feed.since(head, usize::MAX).map(|it| it.map(Arc::clone).collect()).unwrap_or_default();
        drop(feed);
        let mut crowd = lock(&self.crowd);
        if new.is_empty() {
            // Nothing new, or more than the ring holds.
            crowd.wake_all();
        } else {
            tell(crowd.rounds(head, &new, self.config.ring_transitions.get()));
        }
        drop(crowd);
        for ((transition, times), _) in batch.into_iter().zip(taken).filter(|(_, taken)| *taken) {
            self.metrics.live.latency.observe(sent.since(times.received).as_secs_f64());
            if let Some(witness) = self.witness.get() {
                witness.sent(transition, times, sent);
            }
        }
        self.metrics.live.backlog.set(i64::try_from(n_left).unwrap_or(i64::MAX));
        if n_left > 0 { Work::More } else { Work::Done }
    }

    fn encode(
        &self,
        transition: &Transition,
        times: StageTimes,
        sent: Timestamp,
    ) -> (Entry, Option<Open>) {
        let cursor = Place::of(transition).after().cursor(self.log);
        let facts = self.facts_of(&transition.alert);
        let times = TimesView::live(times, sent);
        let entry = Entry::new(cursor, transition, times, Arc::clone(&facts));
        let open = transition.alert.is_open().then(|| open(transition.alert.clone(), facts));
        (entry, open)
    }

    /// Moves readings on, at most [`PUMP_MAX`].
    fn pump_readings(&self) -> Work {
        let (batch, n_left): (Vec<_>, _) = {
            let mut waiting = lock(&self.readings);
            let n = waiting.len().min(PUMP_MAX);
            (waiting.drain(..n).collect(), waiting.len())
        };
        let mut touched: HashMap<u64, Arc<Client>> = HashMap::new();
        let mut n_conflated = 0;
        {
            let names = self.fleet.names.read();
            let labels_of = |device: &DeviceId| self.fleet.labels.labels(device);
            let shown: Vec<OnceLock<Arc<LiveReading>>> =
                batch.iter().map(|_| OnceLock::new()).collect();
            let series = batch.iter().map(|it| (it.device, it.metric));
            self.interest.route(series, &names, &labels_of, |index, client| {
                let reading =
                    shown[index].get_or_init(|| Arc::new(LiveReading::new(&batch[index], &names)));
                n_conflated += client.leave(Arc::clone(reading));
                touched.entry(client.id).or_insert_with(|| Arc::clone(client));
            });
        }
        self.metrics.live.readings_conflated.inc_by(n_conflated as u64);
        touched.values().for_each(|client| client.wake());
        if n_left > 0 { Work::More } else { Work::Done }
    }

    /// The pump: runs until `stop`, then passes on what is left.
    pub(crate) async fn run_pump(self: Arc<Self>, tracker: TaskTracker, stop: CancellationToken) {
        let interval = Duration::from_millis(self.config.readings_interval_ms);
        let mut readings_due: Option<Instant> = None;
        let (mut operators_due, mut operators_may) = (None, Instant::now());
        loop {
            tokio::select! {
                () = self.wake.notified() => self.pump_all(&tracker).await,
                () = self.readings_wake.notified(), if readings_due.is_none() => {
                    readings_due = Some(Instant::now() + interval);
                }
                () = self.operators.changed.notified(), if operators_due.is_none_or(|due| due > operators_may) => {
                    operators_due = Some(operators_may);
                }
                () = at(operators_due) => {
                    let now = Instant::now();
                    operators_may = now + NEWS_INTERVAL;
                    let (is_new, next) = self.operators.make_news(now);
                    operators_due = next.map(|next| next.max(operators_may));
                    if is_new {
                        lock(&self.crowd).wake_all();
                    }
                }
                () = at(readings_due) => {
                    readings_due = None;
                    while self.pump_readings() == Work::More {
                        // Transitions go first, always.
                        self.pump_all(&tracker).await;
                        tokio::task::yield_now().await;
                    }
                }
                () = stop.cancelled() => break,
            }
        }
        self.pump_all(&tracker).await;
    }

    async fn pump_all(self: &Arc<Self>, tracker: &TaskTracker) {
        loop {
            let mut rounds = Vec::new();
            let work = self.pump(|it| rounds = it);
            for round in rounds {
                round.hand(self, tracker).await;
            }
            if work == Work::Done {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn open(alert: Alert, facts: Arc<Facts>) -> Open {
    let json = Arc::from(frames::alert(&alert));
    Open { alert: Arc::new(alert), facts, json }
}

/// Has all clients take for themselves what is new.
fn wake(rounds: Vec<Round>) {
    rounds.iter().for_each(Round::wake);
}

/// Comes at `due`, or never.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
