//! What appender, readers and remover know together: the segments, the durable end, the floor.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bellwire_model::{LogId, LogPosition, Timestamp};
use tokio::sync::watch;

use super::error::Closed;
use super::metrics::Metrics;
use super::segment::Segment;
use super::{Held, lock};

/// How far the log is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Every record that begins before it is on disk.
    pub end: LogPosition,
    /// When that became so; never decreasing. After start-up, the start-up.
    pub at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) log: LogId,
    pub(super) dir: PathBuf,
    pub(super) metrics: Metrics,
    /// In log order, never empty; the last is the one being written.
    segments: Mutex<VecDeque<Arc<Segment>>>,
    /// The durable end again: readers look at it before every read.
    end: AtomicU64,
    /// How far receipts are settled.
    settled: AtomicU64,
    /// Bytes of frames in `segments`.
    bytes: AtomicU64,
    held: AtomicU8,
    follow: Mutex<Follow>,
    moved: Condvar,
    watch: watch::Receiver<Durable>,
}

#[derive(Debug)]
struct Follow {
    durable: Durable,
    n_waiting: usize,
    /// Dropped when the end moves no more.
    watch: Option<watch::Sender<Durable>>,
}

impl Shared {
    /// `segments` are a recovered log's, with `bytes` of frames up to `durable`.
    pub(super) fn new(
        (log, dir): (LogId, PathBuf),
        segments: VecDeque<Arc<Segment>>,
        bytes: u64,
        durable: Durable,
        metrics: Metrics,
    ) -> Self {
        let (sender, watch) = watch::channel(durable);
        metrics.segments.set(segments.len() as i64);
        metrics.log_bytes.set(bytes.cast_signed());
        Self {
            log,
            dir,
            metrics,
            segments: Mutex::new(segments),
            end: AtomicU64::new(durable.end.0),
            settled: AtomicU64::new(durable.end.0),
            bytes: AtomicU64::new(bytes),
            held: AtomicU8::new(0),
            follow: Mutex::new(Follow { durable, n_waiting: 0, watch: Some(sender) }),
            moved: Condvar::new(),
            watch,
        }
    }

    /// Moves the durable end: readers may read up to it, followers wake.
    pub(super) fn publish(&self, durable: Durable) {
        self.end.store(durable.end.0, Ordering::Release);
        let mut follow = lock(&self.follow);
        follow.durable = durable;
        if let Some(watch) = &follow.watch {
            watch.send_replace(durable);
        }
        if follow.n_waiting > 0 {
            self.moved.notify_all();
        }
    }

    /// The receipts of all that is durable are settled.
    pub(super) fn set_settled(&self) {
        self.settled.store(self.end(), Ordering::Release);
    }

    pub(super) fn settled(&self) -> LogPosition {
        LogPosition(self.settled.load(Ordering::Acquire))
    }

    /// The end moves no more: followers see [`Closed`].
    pub(super) fn finish(&self) {
        lock(&self.follow).watch = None;
        self.moved.notify_all();
    }

    pub(super) fn durable(&self) -> Durable {
        lock(&self.follow).durable
    }

    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(super) fn follow(&self) -> watch::Receiver<Durable> {
        self.watch.clone()
    }

    pub(super) fn wait_durable(
        &self,
        after: LogPosition,
        timeout: Duration,
    ) -> Result<Durable, Closed> {
        let mut follow = lock(&self.follow);
        if follow.durable.end <= after && follow.watch.is_some() {
            follow.n_waiting += 1;
            let behind =
                |follow: &mut Follow| follow.durable.end <= after && follow.watch.is_some();
            let waited = self.moved.wait_timeout_while(follow, timeout, behind);
            follow = waited.unwrap_or_else(PoisonError::into_inner).0;
            follow.n_waiting -= 1;
        }
        if follow.durable.end <= after && follow.watch.is_none() {
            return Err(Closed);
        }
        Ok(follow.durable)
    }

    pub(super) fn held(&self) -> Option<Held> {
        match self.held.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Held::Full),
            _ => Some(Held::Disk),
        }
    }

    pub(super) fn set_held(&self, held: Option<Held>) {
        let byte = match held {
            None => 0,
            Some(Held::Full) => 1,
            Some(Held::Disk) => 2,
        };
        self.held.store(byte, Ordering::Relaxed);
        self.metrics.set_held(held);
    }

    /// Bytes of frames on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        let total = self.bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.metrics.log_bytes.set(total.cast_signed());
    }

    /// Where the oldest records that are still there begin.
    pub(super) fn floor(&self) -> LogPosition {
        LogPosition(lock(&self.segments).front().map_or(0, |segment| segment.gap_from))
    }

    /// Adds the segment to be written from now on, and seals the one before at `end`.
    pub(super) fn push_segment(&self, segment: Arc<Segment>, end: u64) {
        let mut segments = lock(&self.segments);
        if let Some(last) = segments.back() {
            last.seal(end);
        }
        segments.push_back(segment);
        self.metrics.segments.set(segments.len() as i64);
    }

    /// The segment that has `position`, or the first one behind it; none if the one that has it
    /// is still to come.
    pub(super) fn segment_at(&self, position: u64) -> Option<Arc<Segment>> {
        let segments = lock(&self.segments);
        let ends_behind =
            |segment: &Arc<Segment>| segment.sealed_end().is_none_or(|end| end > position);
        let index = segments.partition_point(|segment| !ends_behind(segment));
        segments.get(index).map(Arc::clone)
    }

    /// Forgets the oldest segment if all of it lies below `floor`, and gives it to who removes it.
    pub(super) fn pop_below(&self, floor: LogPosition) -> Option<Arc<Segment>> {
        let mut segments = lock(&self.segments);
        let end = segments.front()?.sealed_end()?;
        if end > floor.0 {
            return None;
        }
        let segment = segments.pop_front()?;
        self.metrics.segments.set(segments.len() as i64);
        drop(segments);
        let bytes = end - segment.base;
        let left = self.bytes.fetch_sub(bytes, Ordering::AcqRel) - bytes;
        self.metrics.log_bytes.set(left.cast_signed());
        Some(segment)
    }
}
