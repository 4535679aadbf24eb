//! The appender: the one thread that writes the log.
//!
//! Round after round it takes what is queued, writes it in one piece, syncs once, and settles.
//! It is the only place that decides what is durable.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Clock, LogPosition, Outcome, Timestamp};
use tracing::{error, info, warn};

use super::Held;
use super::active::{Active, Blank};
use super::config::Config;
use super::disk::Disk;
use super::error::{Error, is_no_space};
use super::frame::frame_bytes;
use super::group::{GROUP_BYTES_MAX, Group};
use super::local::FailStop;
use super::queue::{Pending, Queue, Queued, Tide, Wait};
use super::record::BODY_BYTES_MAX;
use super::segment::{Header, Previous, Segment};
use super::shared::{Durable, Shared};
use super::spares::Spares;

/// How long a held log waits before it looks for space again: at first, and at most.
const SPACE_RETRY_FIRST: Duration = Duration::from_millis(50);
const SPACE_RETRY_MAX: Duration = Duration::from_secs(1);
/// How often the disk's free space is looked up.
const FREE_SPACE_EVERY: Duration = Duration::from_secs(1);

/// The appender thread's own.
pub(super) struct Appender {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) spares: Arc<Spares>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Config,
    pub(super) fail_stop: FailStop,
    pub(super) active: Active,
    /// The latest stamp given.
    pub(super) received_at: Timestamp,
    pub(super) pending: Pending,
    pub(super) group: Group,
    pub(super) space: Space,
}

/// What is known about room on the disk.
#[derive(Debug, Default)]
pub(super) struct Space {
    checked_at: Option<Timestamp>,
    /// Less than the reserve is free.
    low: bool,
    held: Option<Held>,
    retry: Duration,
}

/// Whose limits a record is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Budget {
    Data,
    Control,
}

/// Where the next record goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Into this group.
    Here,
    /// Into the next: this one ends with the segment.
    NextGroup,
    /// Nowhere at present.
    Held(Held),
}

impl Appender {
    /// Works until the queue is closed and empty, or the disk fails.
    pub(super) fn run(mut self) {
        self.shared.metrics.log_bytes_max.set(i64::try_from(self.config.bytes_max).unwrap_or(0));
        if let Err(error) = self.serve() {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            error!(source, "The log has failed and acknowledges nothing more: {error}.");
            (self.fail_stop)(&error);
        }
    }

    fn serve(&mut self) -> Result<(), Error> {
        loop {
            let wait = match self.space.held {
                _ if self.pending.is_empty() => Wait::ForWork,
                Some(_) => Wait::ForSpace(self.space.next_retry()),
                None => Wait::Never,
            };
            let tide = self.queue.take(wait, &mut self.pending);
            self.round()?;
            if tide == Tide::Closing && (self.pending.is_empty() || self.space.held.is_some()) {
                return Ok(());
            }
        }
    }

    fn round(&mut self) -> Result<(), Error> {
        self.gather()?;
        if self.group.is_empty() {
            return Ok(());
        }
        match self.write()? {
            Written::Whole => self.commit(),
            Written::GaveUp => {
                self.group.abandon(&self.queue);
                Ok(())
            }
        }
    }

    /// Encodes into the group what may be written now.
    fn gather(&mut self) -> Result<(), Error> {
        self.received_at = self.received_at.max(self.clock.now());
        if self.space.held.is_some() {
            self.space.checked_at = None;
        }
        let mut held = self.answer_beyond()?;
        while held.is_none() {
            let Some((budget, body_bytes)) = self.front() else { break };
            if body_bytes > BODY_BYTES_MAX {
                self.reject(budget);
                continue;
            }
            let bytes = frame_bytes(body_bytes);
            if !self.group.is_empty() && self.group.bytes() + bytes > GROUP_BYTES_MAX {
                break;
            }
            match self.place(budget, bytes)? {
                Place::Here => self.encode(budget),
                Place::NextGroup => break,
                Place::Held(why) => held = Some(why),
            }
        }
        self.set_held(held);
        Ok(())
    }

    fn front(&self) -> Option<(Budget, usize)> {
        let control = self.pending.control.front().map(|queued| (Budget::Control, queued));
        let data = || self.pending.data.front().map(|queued| (Budget::Data, queued));
        control.or_else(data).map(|(budget, queued)| (budget, queued.entry.body_bytes()))
    }

    fn pop(&mut self, budget: Budget) -> Queued {
        let queue = match budget {
            Budget::Data => &mut self.pending.data,
            Budget::Control => &mut self.pending.control,
        };
        queue.pop_front().expect("`front` has seen it, and only this thread takes")
    }

    fn encode(&mut self, budget: Budget) {
        let queued = self.pop(budget);
        let position = self.active.end + self.group.bytes();
        self.group.push(queued, &self.active.seal, position, self.received_at);
    }

    fn reject(&mut self, budget: Budget) {
        let Queued { entry, cost_bytes } = self.pop(budget);
        self.shared.metrics.rejected.inc();
        let bytes = entry.body_bytes();
        warn!("Rejected a record of {bytes} bytes: the limit is {BODY_BYTES_MAX} bytes.");
        match budget {
            Budget::Data => self.queue.release(cost_bytes as usize, 0),
            Budget::Control => self.queue.release(0, cost_bytes as usize),
        }
        if let Some(receipt) = entry.receipt {
            receipt.settle(Outcome::Rejected);
        }
    }

    fn place(&mut self, budget: Budget, bytes: u64) -> Result<Place, Error> {
        let limit_bytes = match budget {
            Budget::Data => self.config.bytes_max,
            Budget::Control => self.config.control_bytes_max(),
        };
        if self.shared.bytes() + self.group.bytes() + bytes > limit_bytes {
            return Ok(Place::Held(Held::Full));
        }
        if budget == Budget::Data && self.is_disk_low() {
            return Ok(Place::Held(Held::Disk));
        }
        if self.active.fits(self.group.bytes(), bytes) {
            return Ok(Place::Here);
        }
        if !self.group.is_empty() {
            return Ok(Place::NextGroup);
        }
        let rolled = self.roll(budget, self.active.end)?;
        Ok(if rolled { Place::Here } else { Place::Held(Held::Disk) })
    }

    /// Begins a segment at `base`. All of the one before is synced: a group never spans two.
    /// `false` if the disk has no room for it.
    fn roll(&mut self, budget: Budget, base: u64) -> Result<bool, Error> {
        let previous = Previous { base: self.active.segment.base, end: self.active.end };
        let header = Header {
            log: self.shared.log,
            base,
            previous: Some(previous),
            received_at: self.received_at,
        };
        let blank = match self.blank(budget).and_then(|blank| {
            blank.map(|blank| blank.write_header(&*self.disk, &header)).transpose()
        }) {
            Ok(Some(blank)) => blank,
            Ok(None) => return Ok(false),
            Err(error) if error.is_no_space() => return Ok(false),
            Err(error) => return Err(error),
        };
        let dir = &self.shared.dir;
        let file = blank.into_segment(&*self.disk, dir, base)?;
        let segment = Arc::new(Segment::open(&header, dir));
        self.shared.push_segment(Arc::clone(&segment), self.active.end);
        let room_bytes = self.config.segment_room_bytes();
        self.active = Active::new(self.shared.log, segment, file, base, room_bytes);
        self.space.checked_at = None;
        Ok(true)
    }

    /// The spare file, or one made now; `None` if that would take the reserve for data.
    fn blank(&self, budget: Budget) -> Result<Option<Blank>, Error> {
        if let Some(spare) = self.spares.take() {
            return Ok(Some(spare));
        }
        let dir = &self.shared.dir;
        let bytes = self.config.segment_bytes;
        let needed_bytes = self.config.disk_reserve_bytes.saturating_add(bytes);
        if budget == Budget::Data
            && self.disk.free_bytes(dir).map_err(Error::io("look at", dir))? < needed_bytes
        {
            return Ok(None);
        }
        Blank::reserve(&*self.disk, dir.join("next.tmp"), bytes).map(Some)
    }

    /// Whether less than the reserve is free; looked up once a second, once a segment, and in
    /// every round while held.
    fn is_disk_low(&mut self) -> bool {
        let now = self.received_at;
        let fresh = |at: Timestamp| now.since(at) < FREE_SPACE_EVERY;
        if self.space.checked_at.is_some_and(fresh) {
            return self.space.low;
        }
        self.space.checked_at = Some(now);
        // Should statvfs fail, the write finds out.
        let free_bytes = self.disk.free_bytes(&self.shared.dir).unwrap_or(u64::MAX);
        self.shared.metrics.disk_free_bytes.set(i64::try_from(free_bytes).unwrap_or(0));
        self.space.low = free_bytes < self.config.disk_reserve_bytes;
        self.space.low
    }

    /// Skips positions for those who have asked, and answers them.
    fn answer_beyond(&mut self) -> Result<Option<Held>, Error> {
        while let Some(beyond) = self.pending.beyond.last() {
            let position = beyond.position.0;
            if self.active.end <= position {
                if !self.roll(Budget::Control, position + 1)? {
                    return Ok(Some(Held::Disk));
                }
                info!(
                    "The database has seen position {position}: the log goes on behind it, in a \
                     new segment."
                );
                self.publish();
                self.shared.set_settled();
            }
            if let Some(beyond) = self.pending.beyond.pop() {
                // Who asked may have gone.
                let _ = beyond.done.send(());
            }
        }
        Ok(None)
    }

    /// Writes the group. If there is no room, takes back what was written of it, and tries again
    /// until there is, or the log closes.
    fn write(&mut self) -> Result<Written, Error> {
        let offset = self.active.offset();
        let held_before = self.space.held;
        loop {
            let Active { file, segment, .. } = &self.active;
            match self.disk.write_at(file, &self.group.buffer, offset) {
                Ok(()) => {
                    self.set_held(held_before);
                    return Ok(Written::Whole);
                }
                Err(error) if is_no_space(&error) => {
                    file.set_len(offset).map_err(Error::io("truncate", &segment.path))?;
                }
                Err(error) => return Err(Error::io("write", &segment.path)(error)),
            }
            self.set_held(Some(Held::Disk));
            let wait = Wait::ForDisk(self.space.next_retry());
            if self.queue.take(wait, &mut self.pending) == Tide::Closing {
                return Ok(Written::GaveUp);
            }
        }
    }

    /// Syncs the group; then, and only then, it is durable.
    fn commit(&mut self) -> Result<(), Error> {
        let began = self.clock.now();
        let Active { file, segment, .. } = &self.active;
        self.disk.sync_data(file).map_err(Error::io("sync", &segment.path))?;
        let seconds = self.clock.now().since(began).as_secs_f64();
        self.shared.metrics.sync_seconds.observe(seconds);
        let bytes = self.group.bytes();
        self.active.end += bytes;
        self.shared.add_bytes(bytes);
        self.publish();
        self.group.settle(&self.queue, &self.shared.metrics);
        self.shared.set_settled();
        Ok(())
    }

    fn publish(&self) {
        let at = self.clock.now().max(self.shared.durable().at);
        self.shared.publish(Durable { end: LogPosition(self.active.end), at });
    }

    fn set_held(&mut self, held: Option<Held>) {
        if held == self.space.held {
            return;
        }
        match held {
            Some(Held::Full) => warn!(
                "The log has reached its limit of {} bytes: sockets are held until the readers \
                 have caught up.",
                self.config.bytes_max
            ),
            Some(Held::Disk) => warn!(
                "The disk has no more than the reserve of {} bytes free: sockets are held until \
                 it has.",
                self.config.disk_reserve_bytes
            ),
            None => info!("The log has room again: sockets go on."),
        }
        self.space.retry = SPACE_RETRY_FIRST;
        self.space.held = held;
        self.shared.set_held(held);
    }
}

impl Space {
    fn next_retry(&mut self) -> Duration {
        let retry = self.retry;
        self.retry = (retry * 2).min(SPACE_RETRY_MAX);
        retry
    }
}

/// How a write ended.
enum Written {
    Whole,
    GaveUp,
}

impl Drop for Appender {
    /// However it ends: nobody waits for it any longer, and what was not written says retry.
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!("The log's appender panicked; nothing more is acknowledged.");
            (self.fail_stop)(&Error::Panicked { thread: "appender" });
        }
        self.queue.abandon();
        self.spares.close();
        self.shared.finish();
    }
}
