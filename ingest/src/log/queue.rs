//! The queue between those who append and the appender: bounded in bytes, fair, one for data and
//! one for control records.
//!
//! Whoever appends first buys room from a semaphore, first come first served; the appender gives
//! it back when the record is durable, so the bound covers what is being written too. Full: who
//! appends waits. While the log is held, the appender leaves data in here, and so the queue fills
//! and the sockets behind it stop. Control records have room and a way of their own.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use bellwire_model::LogPosition;
use prometheus::IntGauge;
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use super::entry::Entry;
use super::lock;
use super::record::RecordKind;

/// Most bytes of control records in memory. Ticks, starts and two versions of the rules fit.
const CONTROL_QUEUE_BYTES: u32 = 40 << 20;
/// What an entry takes beside its body: itself, its receipt, its place in the queue.
const ENTRY_BYTES: usize = 192;

/// An entry and the bytes it bought.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) entry: Entry,
    pub(super) cost_bytes: u32,
}

/// Someone who waits for the log's end to lie beyond a position.
#[derive(Debug)]
pub(super) struct Beyond {
    pub(super) position: LogPosition,
    /// Has room for the answer; dropped unanswered if the log ends before.
    pub(super) done: SyncSender<()>,
}

/// What the appender has taken and not yet written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) control: VecDeque<Queued>,
    pub(super) data: VecDeque<Queued>,
    pub(super) beyond: Vec<Beyond>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.data.is_empty() && self.beyond.is_empty()
    }
}

/// How long [`Queue::take`] may wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not at all: there is work at hand.
    Never,
    /// Until there is something to do.
    ForWork,
    /// Data cannot be taken: until there is control work, [`Queue::recheck`], or this long.
    ForSpace(Duration),
    /// Nothing can be taken at all: until [`Queue::recheck`], or this long.
    ForDisk(Duration),
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tide {
    Open,
    /// Nothing comes any more than what was taken.
    Closing,
}

#[derive(Debug, Default)]
struct State {
    incoming: Pending,
    closing: bool,
    recheck: bool,
    appender_waits: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    data_room: Semaphore,
    data_bytes_max: u32,
    control_room: Semaphore,
    gauge: IntGauge,
}

impl Queue {
    pub(super) fn new(data_bytes_max: u32, gauge: IntGauge) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            data_room: Semaphore::new(data_bytes_max as usize),
            data_bytes_max,
            control_room: Semaphore::new(CONTROL_QUEUE_BYTES as usize),
            gauge,
        }
    }

    /// Adds `entry` if there is room now and nobody waits for it.
    ///
    /// # Errors
    /// Gives the entry back if there is none. A closed queue takes it and drops it.
    pub(super) fn try_push(&self, entry: Entry) -> Result<(), Entry> {
        let cost_bytes = self.cost_bytes(&entry);
        match self.room(entry.kind()).try_acquire_many(cost_bytes) {
            Ok(room) => {
                self.push(Queued { entry, cost_bytes }, room);
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(entry),
            Err(TryAcquireError::Closed) => {
                drop(entry);
                Ok(())
            }
        }
    }

    /// Adds `entry` when there is room; first come, first served. A closed queue drops it.
    pub(super) async fn push_when_room(&self, entry: Entry) {
        let cost_bytes = self.cost_bytes(&entry);
        if let Ok(room) = self.room(entry.kind()).acquire_many(cost_bytes).await {
            self.push(Queued { entry, cost_bytes }, room);
        }
    }

    fn push(&self, queued: Queued, room: SemaphorePermit<'_>) {
        let mut state = lock(&self.state);
        if state.closing {
            drop(state);
            return drop(queued);
        }
        room.forget();
        self.gauge.add(queued.cost_bytes.into());
        if queued.entry.kind().is_data() {
            state.incoming.data.push_back(queued);
        } else {
            state.incoming.control.push_back(queued);
        }
        self.wake(&mut state);
    }

    /// Asks the appender to move the end beyond a position. A closed queue drops the request.
    pub(super) fn push_beyond(&self, beyond: Beyond) {
        let mut state = lock(&self.state);
        if !state.closing {
            state.incoming.beyond.push(beyond);
            self.wake(&mut state);
        }
    }

    /// Tells the appender that there may be space again.
    pub(super) fn recheck(&self) {
        let mut state = lock(&self.state);
        state.recheck = true;
        self.wake(&mut state);
    }

    /// Takes no more; whoever waits for room gets none.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        self.wake(&mut state);
        drop(state);
        self.data_room.close();
        self.control_room.close();
    }

    /// Waits as `wait` says and adds what may be taken to `pending`: under [`Wait::ForSpace`] no
    /// data, unless closing; under [`Wait::ForDisk`] nothing. For the appender alone.
    pub(super) fn take(&self, wait: Wait, pending: &mut Pending) -> Tide {
        let idle = |state: &mut State| {
            let control = !state.incoming.control.is_empty() || !state.incoming.beyond.is_empty();
            let work = match wait {
                Wait::Never => true,
                Wait::ForWork => control || !state.incoming.data.is_empty(),
                Wait::ForSpace(_) => control || state.recheck,
                Wait::ForDisk(_) => state.recheck,
            };
            state.appender_waits = !work && !state.closing;
            state.appender_waits
        };
        let mut state = lock(&self.state);
        if idle(&mut state) {
            state = match wait {
                Wait::ForSpace(timeout) | Wait::ForDisk(timeout) => {
                    let waited = self.work.wait_timeout_while(state, timeout, idle);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Wait::Never | Wait::ForWork => {
                    let waited = self.work.wait_while(state, idle);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
            state.appender_waits = false;
        }
        state.recheck = false;
        if !matches!(wait, Wait::ForDisk(_)) {
            move_all(&mut state.incoming.control, &mut pending.control);
            pending.beyond.append(&mut state.incoming.beyond);
            if !matches!(wait, Wait::ForSpace(_)) || state.closing {
                move_all(&mut state.incoming.data, &mut pending.data);
            }
        }
        if state.closing { Tide::Closing } else { Tide::Open }
    }

    /// Gives back the room of entries that are done with.
    pub(super) fn release(&self, data_bytes: usize, control_bytes: usize) {
        self.data_room.add_permits(data_bytes);
        self.control_room.add_permits(control_bytes);
        let bytes = i64::try_from(data_bytes + control_bytes).unwrap_or(i64::MAX);
        self.gauge.sub(bytes);
    }

    /// Closes the queue and drops what nobody will write: its receipts say retry.
    pub(super) fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut lock(&self.state).incoming);
        drop(left);
        self.gauge.set(0);
    }

    fn wake(&self, state: &mut State) {
        // A futex is a syscall: only for an appender that sleeps, and once.
        if std::mem::take(&mut state.appender_waits) {
            self.work.notify_one();
        }
    }

    fn room(&self, kind: RecordKind) -> &Semaphore {
        if kind.is_data() { &self.data_room } else { &self.control_room }
    }

    /// An entry larger than the queue waits until it has all of it.
    fn cost_bytes(&self, entry: &Entry) -> u32 {
        let limit = if entry.kind().is_data() { self.data_bytes_max } else { CONTROL_QUEUE_BYTES };
        u32::try_from(ENTRY_BYTES + entry.body_bytes()).unwrap_or(u32::MAX).min(limit)
    }
}

/// Moves all of `from` behind `to`; swaps where it can, so that nothing is copied.
fn move_all(from: &mut VecDeque<Queued>, to: &mut VecDeque<Queued>) {
    if to.is_empty() {
        std::mem::swap(from, to);
    } else {
        to.append(from);
    }
}
