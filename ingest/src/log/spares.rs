//! The thread beside the appender: keeps the next segment's file ready, full of zeros, and removes
//! segments that nobody will read.
//!
//! A file of zeros has its blocks and its size, so that the fdatasync of a frame has no metadata
//! to write: that halves its p99. Zeroing takes a fifth of a second, so it is not done inline.

use std::fs;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bellwire_model::LogPosition;
use tracing::{info, warn};

use super::active::Blank;
use super::config::Config;
use super::disk::{Disk, sync_dir, write_zeros};
use super::error::Error;
use super::lock;
use super::queue::Queue;
use super::shared::Shared;

/// Zeros are synced in such steps, so that no fdatasync of the appender waits behind all of them.
const STEP_BYTES: u64 = 4 << 20;
/// How long to wait for space before the next attempt to make a spare.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    spare: Option<Blank>,
    /// The last attempt failed: wait a while.
    short: bool,
    floor: LogPosition,
    /// Something to look at: a spare was taken, the floor has moved.
    stirred: bool,
    closing: bool,
}

/// What the thread and the others know together.
#[derive(Debug, Default)]
pub(super) struct Spares {
    state: Mutex<State>,
    stir: Condvar,
}

impl Spares {
    /// A file for the next segment, if one is ready. Another is begun at once.
    pub(super) fn take(&self) -> Option<Blank> {
        let mut state = lock(&self.state);
        state.stirred = true;
        self.stir.notify_one();
        state.spare.take()
    }

    /// What lies below `floor` may go.
    pub(super) fn set_floor(&self, floor: LogPosition) {
        let mut state = lock(&self.state);
        if floor > state.floor {
            state.floor = floor;
            state.stirred = true;
            self.stir.notify_one();
        }
    }

    /// The thread ends soon.
    pub(super) fn close(&self) {
        lock(&self.state).closing = true;
        self.stir.notify_one();
    }

    fn is_closing(&self) -> bool {
        lock(&self.state).closing
    }
}

/// The thread's own.
#[derive(Debug)]
pub(super) struct SparesThread {
    pub(super) spares: Arc<Spares>,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) config: Config,
}

impl SparesThread {
    /// Works until [`Spares::close`].
    pub(super) fn run(self) {
        let mut n_made = 0_u64;
        while let Some((floor, Wanted { spare })) = self.wait() {
            self.remove_below(floor);
            if spare {
                n_made += 1;
                self.refill(n_made);
            }
        }
        if let Some(spare) = lock(&self.spares.state).spare.take() {
            // Best effort: start-up removes what is left over.
            let _ = fs::remove_file(spare.path);
        }
    }

    /// Waits until something is to be done; `None` when closing.
    fn wait(&self) -> Option<(LogPosition, Wanted)> {
        let idle = |state: &mut State| {
            let wants_spare = state.spare.is_none() && !state.short;
            !state.stirred && !wants_spare && !state.closing
        };
        let state = lock(&self.spares.state);
        // Short of space: look again after a while. Else there is nothing to look for.
        let mut state = if state.short {
            let waited = self.spares.stir.wait_timeout_while(state, RETRY, idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.spares.stir.wait_while(state, idle);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
        state.stirred = false;
        let spare = state.spare.is_none();
        (!state.closing).then_some((state.floor, Wanted { spare }))
    }

    /// Removes segments one by one, oldest first, each durably before the next: whenever we
    /// crash, what is left is whole.
    fn remove_below(&self, floor: LogPosition) {
        let mut n_removed = 0_u64;
        while let Some(segment) = self.shared.pop_below(floor) {
            let removed = fs::remove_file(&segment.path).and_then(|()| sync_dir(&self.shared.dir));
            if let Err(error) = removed {
                let path = segment.path.display();
                warn!(%error, "Cannot remove the log segment `{path}`; it is left for the next start.");
            }
            n_removed += 1;
        }
        if n_removed > 0 {
            self.queue.recheck();
        }
    }

    fn refill(&self, n_made: u64) {
        let made = self.make(n_made);
        let mut state = lock(&self.spares.state);
        match made {
            Ok(spare) => {
                if std::mem::take(&mut state.short) && spare.is_some() {
                    info!("The log prepares its segments ahead again.");
                }
                state.short = spare.is_none();
                state.spare = spare;
            }
            Err(error) => {
                if !std::mem::replace(&mut state.short, true) {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "Cannot prepare the log's next segment; trying every second.");
                }
            }
        }
    }

    /// A new file of zeros; `None` if the disk's reserve forbids it, or we are closing.
    fn make(&self, n_made: u64) -> Result<Option<Blank>, Error> {
        let dir = &self.shared.dir;
        let bytes = self.config.segment_bytes;
        let free_bytes = self.disk.free_bytes(dir).map_err(Error::io("look at", dir))?;
        if free_bytes < self.config.disk_reserve_bytes.saturating_add(bytes) {
            return Ok(None);
        }
        let blank = Blank::reserve(&*self.disk, dir.join(format!("spare-{n_made}.tmp")), bytes)?;
        match self.fill(&blank, bytes) {
            Ok(Filled::Whole) => Ok(Some(blank)),
            other => {
                let _ = fs::remove_file(&blank.path);
                other.map(|_| None)
            }
        }
    }

    fn fill(&self, blank: &Blank, bytes: u64) -> Result<Filled, Error> {
        let mut done = 0;
        while done < bytes {
            if self.spares.is_closing() {
                return Ok(Filled::Partly);
            }
            let next = bytes.min(done + STEP_BYTES);
            write_zeros(&*self.disk, &blank.file, done, next)
                .map_err(Error::io("write", &blank.path))?;
            // Not through `Disk`: no record depends on it, the header's sync covers it again.
            blank.file.sync_data().map_err(Error::io("sync", &blank.path))?;
            done = next;
        }
        Ok(Filled::Whole)
    }
}

struct Wanted {
    spare: bool,
}

enum Filled {
    Whole,
    Partly,
}
