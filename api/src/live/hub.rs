//! Where *judge* leaves what happened, and from where every client learns it.
//!
//! *Judge* puts transitions in a short queue that it shares with one task, the pump, and no one
//! else: what it pays does not depend on how many clients there are or how slow they are. The
//! pump stamps, encodes once, adds to the [`Feed`] and wakes the clients; each client reads the
//! feed at its own pace by a number.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bellwire_model::{
    Alert, Clock, DeviceKey, LogId, LogPosition, Reading, SharedNames, StageTimes, Timestamp,
    Transition,
};
use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::LiveConfig;
use crate::live::client::{Client, Subscriber};
use crate::live::feed::{Feed, Open};
use crate::live::frames::{self, Entry, LiveReading, Resume};
use crate::live::interest::{Interest, Subscription};
use crate::metrics::Metrics;
use crate::ports::Place;
use crate::views::TimesView;

/// Transitions that may wait for the pump. Full: the caller does the pump's work itself, so that
/// none is lost and none waits for a client.
const BACKLOG_MAX: usize = 16_384;
/// Readings that may wait for the pump. Full: the oldest go, and are counted as conflated.
const READINGS_BACKLOG_MAX: usize = 65_536;
/// How many transitions or readings are handled between two looks at the clock and the locks.
const PUMP_MAX: usize = 256;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Done,
    More,
}

/// Where *judge* leaves what happened, and from where every client learns it.
///
/// All its methods may be called from any thread; none waits for a client.
#[derive(Debug)]
pub struct Hub {
    log: LogId,
    config: LiveConfig,
    names: SharedNames,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    backlog: Mutex<VecDeque<(Transition, StageTimes)>>,
    readings: Mutex<VecDeque<Reading>>,
    /// Held by whoever pumps, so that order is kept. Taken before any other lock of ours.
    pumping: Mutex<()>,
    wake: Notify,
    readings_wake: Notify,
    feed: Mutex<Feed>,
    /// The latest snapshot's text for each way of coming to it, with the head it was made at.
    snapshots: Mutex<HashMap<Resume, (u64, Utf8Bytes)>>,
    interest: Interest,
    clients: Mutex<HashMap<u64, Arc<Client>>>,
    next_client: AtomicU64,
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
        names: SharedNames,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Arc<Self> {
        let feed = Feed::new(log, config.ring_transitions.get());
        Arc::new(Self {
            log,
            config,
            names,
            clock,
            metrics,
            backlog: Mutex::default(),
            readings: Mutex::default(),
            pumping: Mutex::default(),
            wake: Notify::new(),
            readings_wake: Notify::new(),
            feed: Mutex::new(feed),
            snapshots: Mutex::default(),
            interest: Interest::default(),
            clients: Mutex::default(),
            next_client: AtomicU64::new(0),
        })
    }

    /// Says what the present is: the alerts as they are after every record that begins before
    /// `end`; those that are over are left out. Call it once, when *judge* has caught up with the
    /// log, and before the first [`Hub::transition`] behind `end`; transitions handed over before
    /// are forgotten. Called again, it disconnects every client, and each comes back.
    pub fn set_snapshot(&self, end: LogPosition, alerts: impl IntoIterator<Item = Alert>) {
        let open: BTreeMap<_, _> = alerts
            .into_iter()
            .filter(|alert| !alert.state.is_over())
            .map(|alert| (alert.id, open(alert)))
            .collect();
        let pumping = lock(&self.pumping);
        lock(&self.backlog).clear();
        lock(&self.feed).reset(end, open);
        drop(pumping);
        self.wake_clients();
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
            self.pump();
        }
        self.wake.notify_one();
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

    /// How many clients there are.
    #[must_use]
    pub fn n_clients(&self) -> usize {
        lock(&self.clients).len()
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

    /// A new client; `None` when there are `clients_max`.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Subscriber> {
        let mut clients = lock(&self.clients);
        if clients.len() >= self.config.clients_max.get() {
            drop(clients);
            self.metrics.live.clients_refused.inc();
            return None;
        }
        let id = self.next_client.fetch_add(1, Ordering::Relaxed);
        let client = Arc::new(Client::new(id, self.config.client_readings_max.get()));
        clients.insert(id, Arc::clone(&client));
        drop(clients);
        Some(Subscriber::new(Arc::clone(self), client))
    }

    pub(crate) fn leave(&self, client: &Arc<Client>, subscription: &Subscription) {
        lock(&self.clients).remove(&client.id);
        self.change_interest(client, subscription, &Subscription::Nothing);
    }

    pub(crate) fn change_interest(
        &self,
        client: &Arc<Client>,
        old: &Subscription,
        new: &Subscription,
    ) {
        self.interest.change(client, old, new, &self.names);
    }

    /// The text of the snapshot with these alerts, at `head`: made once for all who come to it
    /// the same way.
    pub(crate) fn snapshot_text(&self, head: u64, resume: Resume, at: &Present) -> Utf8Bytes {
        if let Some((made_at, text)) = lock(&self.snapshots).get(&resume)
            && *made_at == head
        {
            return text.clone();
        }
        // Made without the lock: two who come at once may both make it, and that is all.
        let text = frames::snapshot(at.cursor, resume, at.alerts.iter().map(|json| &**json));
        lock(&self.snapshots).insert(resume, (head, text.clone()));
        text
    }

    fn wake_clients(&self) {
        for client in lock(&self.clients).values() {
            client.wake();
        }
    }

    /// Moves transitions on, at most [`PUMP_MAX`].
    fn pump(&self) -> Work {
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
        let taken: Vec<bool> = {
            let mut feed = lock(&self.feed);
            encoded.into_iter().map(|(entry, open)| feed.push(entry, open)).collect()
        };
        self.wake_clients();
        for ((_, times), _) in batch.iter().zip(taken).filter(|(_, taken)| *taken) {
            self.metrics.live.latency.observe(sent.since(times.received).as_secs_f64());
        }
        self.metrics.live.backlog.set(i64::try_from(n_left).unwrap_or(i64::MAX));
        if n_left > 0 { Work::More } else { Work::Done }
    }

    fn encode(
        &self,
        transition: &Transition,
        times: StageTimes,
        sent: Timestamp,
    ) -> (Arc<Entry>, Option<Open>) {
        let cursor = Place::of(transition).after().cursor(self.log);
        let entry = Entry::new(cursor, transition, TimesView::live(times, sent));
        let open = (!transition.to.is_over()).then(|| open(transition.alert.clone()));
        (Arc::new(entry), open)
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
            let names = self.names.read();
            let shown: Vec<OnceLock<Arc<LiveReading>>> =
                batch.iter().map(|_| OnceLock::new()).collect();
            self.interest.route(batch.iter().map(|it| it.device), &names, |index, client| {
                let reading = shown[index].get_or_init(|| live(&batch[index], &names));
                n_conflated += client.leave(Arc::clone(reading));
                touched.entry(client.id).or_insert_with(|| Arc::clone(client));
            });
        }
        self.metrics.live.readings_conflated.inc_by(n_conflated as u64);
        touched.values().for_each(|client| client.wake());
        if n_left > 0 { Work::More } else { Work::Done }
    }

    /// The pump: runs until `stop`, then passes on what is left.
    pub(crate) async fn run_pump(self: Arc<Self>, stop: CancellationToken) {
        let interval = Duration::from_millis(self.config.readings_interval_ms);
        let mut readings_due: Option<tokio::time::Instant> = None;
        loop {
            let due = async {
                match readings_due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wake.notified() => self.pump_all().await,
                () = self.readings_wake.notified(), if readings_due.is_none() => {
                    readings_due = Some(tokio::time::Instant::now() + interval);
                }
                () = due => {
                    readings_due = None;
                    while self.pump_readings() == Work::More {
                        // Transitions go first, always.
                        self.pump_all().await;
                        tokio::task::yield_now().await;
                    }
                }
                () = stop.cancelled() => break,
            }
        }
        self.pump_all().await;
    }

    async fn pump_all(&self) {
        while self.pump() == Work::More {
            tokio::task::yield_now().await;
        }
    }
}

/// The present as a snapshot tells it.
#[derive(Debug)]
pub(crate) struct Present {
    pub(crate) cursor: bellwire_model::Cursor,
    pub(crate) alerts: Vec<Arc<str>>,
}

fn open(alert: Alert) -> Open {
    let json = Arc::from(frames::alert(&alert));
    Open { alert: Arc::new(alert), json }
}

fn live(reading: &Reading, names: &bellwire_model::Names) -> Arc<LiveReading> {
    Arc::new(LiveReading {
        series: (reading.device, reading.metric),
        device: names.device(reading.device).clone(),
        metric: names.metric(reading.metric).clone(),
        at: reading.at,
        value: reading.value.clone(),
        text: OnceLock::new(),
    })
}
