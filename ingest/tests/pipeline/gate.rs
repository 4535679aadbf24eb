//! The log as *judge* sees it: it ends at a gate that the history opens step by step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bellwire_ingest::log::{
    Appending, Closed, Durable, Entry, Error, Held, LocalLog, Log, LogReader, RecordKind,
};
use bellwire_model::{LogId, LogPosition};
use tokio::sync::watch;

/// No wait takes longer, unless something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct State {
    /// *Judge* sees nothing behind it.
    end: LogPosition,
    closed: bool,
    /// Grows when *judge* is to look around.
    n_nudges: u64,
    /// Where *judge* waits, and the last nudge it felt.
    waits: Option<(LogPosition, u64)>,
    tick_wanted: bool,
    /// While the floor is held: how far it would have moved.
    floor_held: Option<Option<LogPosition>>,
}

/// A [`LocalLog`] behind a gate.
#[derive(Debug)]
pub(crate) struct Gate {
    log: Arc<LocalLog>,
    state: Mutex<State>,
    changed: Condvar,
    /// How often the floor was set: once for every snapshot written.
    n_floors: AtomicU64,
}

impl Gate {
    /// Open up to what is durable now.
    pub(crate) fn new(log: Arc<LocalLog>) -> Arc<Self> {
        let state = State {
            end: log.durable().end,
            closed: false,
            n_nudges: 0,
            waits: None,
            tick_wanted: false,
            floor_held: None,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Arc::new(Self { log, state, changed, n_floors: AtomicU64::new(0) })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock().expect("no panic"));
        self.changed.notify_all();
        changed
    }

    /// Opens it up to `end`.
    pub(crate) fn open_to(&self, end: LogPosition) {
        self.change(|state| {
            state.end = state.end.max(end);
            state.n_nudges += 1;
        });
    }

    /// *Judge* ends where the gate is.
    pub(crate) fn shut(&self) {
        self.change(|state| state.closed = true);
    }

    /// Whether *judge* has asked for a tick since the last time.
    pub(crate) fn take_tick(&self) -> bool {
        self.change(|state| std::mem::take(&mut state.tick_wanted))
    }

    /// From now on no segment goes.
    pub(crate) fn hold_floor(&self) {
        self.change(|state| state.floor_held = Some(None));
    }

    /// Waits until *judge* has judged up to the gate, has looked around, and its `n_snapshots`
    /// are written; or until it has `ended`.
    pub(crate) fn wait_for_judge(&self, n_snapshots: &AtomicU64, ended: impl Fn() -> bool) {
        let begun = tokio::time::Instant::now();
        loop {
            let state = self.state.lock().expect("no panic");
            let waits = state.waits == Some((state.end, state.n_nudges));
            let written =
                n_snapshots.load(Ordering::SeqCst) == self.n_floors.load(Ordering::SeqCst);
            if (waits && written) || ended() {
                return;
            }
            let pause = Duration::from_millis(1);
            drop(self.changed.wait_timeout(state, pause).expect("no panic"));
            assert!(begun.elapsed() < PATIENCE, "judge does not come to rest");
        }
    }
}

impl Log for Gate {
    fn id(&self) -> LogId {
        self.log.id()
    }

    /// Ticks are noted, and appended by the history: so their place follows from the seed.
    fn try_append(&self, entry: Entry) -> Result<(), Entry> {
        assert_eq!(entry.kind(), RecordKind::Tick, "judge writes ticks only");
        self.change(|state| state.tick_wanted = true);
        Ok(())
    }

    fn append(&self, entry: Entry) -> Appending<'_> {
        self.log.append(entry)
    }

    fn durable(&self) -> Durable {
        let Durable { end, at } = self.log.durable();
        Durable { end: end.min(self.state.lock().expect("no panic").end), at }
    }

    fn settled(&self) -> LogPosition {
        self.log.settled()
    }

    fn wait_durable(&self, after: LogPosition, _: Duration) -> Result<Durable, Closed> {
        let mut state = self.state.lock().expect("no panic");
        if state.end <= after {
            if state.closed {
                return Err(Closed);
            }
            let felt = state.n_nudges;
            state.waits = Some((after, felt));
            self.changed.notify_all();
            let still =
                |state: &mut State| state.end <= after && !state.closed && state.n_nudges == felt;
            state = self.changed.wait_while(state, still).expect("no panic");
            state.waits = None;
        }
        drop(state);
        Ok(self.durable())
    }

    fn follow(&self) -> watch::Receiver<Durable> {
        self.log.follow()
    }

    fn reader(&self, from: LogPosition) -> LogReader {
        self.log.reader(from)
    }

    fn floor(&self) -> LogPosition {
        self.log.floor()
    }

    fn set_floor(&self, position: LogPosition) {
        let now = self.change(|state| match &mut state.floor_held {
            Some(held) => {
                *held = Some(position);
                None
            }
            None => Some(position),
        });
        if let Some(position) = now {
            self.log.set_floor(position);
        }
        self.n_floors.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_all();
    }

    fn ensure_beyond(&self, position: LogPosition) -> Result<(), Error> {
        self.log.ensure_beyond(position)
    }

    fn held(&self) -> Option<Held> {
        self.log.held()
    }

    fn close(&self) {
        self.shut();
    }
}
