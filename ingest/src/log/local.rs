//! The log on our own disk: opens, recovers, starts the threads, closes.

use std::fmt;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bellwire_model::{Clock, LogId, LogPosition, Timestamp};
use tokio::sync::watch;
use tracing::{info, warn};

use super::active::{Active, Blank};
use super::appender::{Appender, Space};
use super::catalog::{self, Catalog};
use super::config::Config;
use super::disk::{Disk, OsDisk, sync_dir, write_zeros};
use super::entry::Entry;
use super::error::{Closed, Error, ReadError};
use super::group::Group;
use super::meta::{Lock, Meta};
use super::metrics::Metrics;
use super::queue::{Beyond, Pending, Queue};
use super::reader::SegmentReader;
use super::recover::recover;
use super::segment::{HEADER_BYTES, Header};
use super::shared::{Durable, Shared};
use super::spares::{Spares, SparesThread};
use super::{Appending, Held, Log, LogReader, lock};
use crate::dirs::make_private;

/// Called once when the log can no longer promise anything, before it tells anyone: the service
/// ends the process here.
pub type FailStop = Arc<dyn Fn(&Error) + Send + Sync>;

/// No position beyond this is given out: PostgreSQL's `bigint` must hold it, with room to grow.
const POSITION_MAX: u64 = 1 << 62;

/// What a [`LocalLog`] is opened with.
pub struct Options {
    /// Its directory; made if it is not there.
    pub dir: PathBuf,
    /// Its limits.
    pub config: Config,
    /// Gives `received_at`.
    pub clock: Arc<dyn Clock>,
    /// [`OsDisk`] but for tests.
    pub disk: Arc<dyn Disk>,
    /// Told when a write or sync has failed.
    pub fail_stop: FailStop,
    /// Where it counts.
    pub metrics: Metrics,
}

impl Options {
    /// On the machine's disk, with default limits.
    #[must_use]
    pub fn new(dir: &Path, clock: Arc<dyn Clock>, fail_stop: FailStop, metrics: Metrics) -> Self {
        let (dir, config) = (dir.to_owned(), Config::default());
        Self { dir, config, clock, disk: Arc::new(OsDisk), fail_stop, metrics }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("dir", &self.dir).field("config", &self.config).finish()
    }
}

/// The log on our own disk. Dropping it is [`Log::close`].
#[derive(Debug)]
pub struct LocalLog {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    spares: Arc<Spares>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: Lock,
}

impl LocalLog {
    /// Opens the log in a directory, or begins a new one; recovers its end. Blocks for as long as
    /// it takes to read one segment and the headers of all.
    ///
    /// # Errors
    /// [`Error`] says what is wrong and with which file. Only the torn end of the last write is
    /// mended without asking.
    pub fn open(options: Options) -> Result<Self, Error> {
        options.config.check()?;
        let dir = &options.dir;
        make_dir(dir)?;
        let lock = Lock::take(dir)?;
        let (meta, paths) = identify(&options)?;
        let Catalog { segments, last: (file, header), bytes } =
            catalog::open(dir, &paths, meta.log)?;
        let segment = Arc::clone(segments.back().expect("a catalog has at least one segment"));
        let recovered =
            recover(&*options.disk, &file, (&segment, &header), options.config.segment_bytes)?;
        sync_dir(dir).map_err(Error::io("sync", dir))?;
        report(&options.metrics, recovered.cut_bytes, recovered.end);

        let bytes = bytes + (recovered.end - header.base);
        let received_at = recovered.received_at;
        let at = options.clock.now().max(received_at);
        let durable = Durable { end: LogPosition(recovered.end), at };
        let identity = (meta.log, dir.clone());
        let shared = Shared::new(identity, segments, bytes, durable, options.metrics.clone());
        let room_bytes = options.config.segment_room_bytes();
        let active = Active::new(meta.log, segment, file, recovered.end, room_bytes);
        Self::start(options, Arc::new(shared), active, received_at, lock)
    }

    fn start(
        options: Options,
        shared: Arc<Shared>,
        active: Active,
        received_at: Timestamp,
        lock: Lock,
    ) -> Result<Self, Error> {
        let Options { config, clock, disk, fail_stop, metrics, .. } = options;
        let queue_bytes = u32::try_from(config.queue_bytes).unwrap_or(u32::MAX);
        let queue = Arc::new(Queue::new(queue_bytes, metrics.queue_bytes.clone()));
        let spares = Arc::new(Spares::default());
        let spares_thread = SparesThread {
            spares: Arc::clone(&spares),
            shared: Arc::clone(&shared),
            queue: Arc::clone(&queue),
            disk: Arc::clone(&disk),
            config: config.clone(),
        };
        let appender = Appender {
            shared: Arc::clone(&shared),
            queue: Arc::clone(&queue),
            spares: Arc::clone(&spares),
            disk,
            clock,
            config,
            fail_stop,
            active,
            received_at,
            pending: Pending::default(),
            group: Group::default(),
            space: Space::default(),
        };
        let log = Self { shared, queue, spares, threads: Mutex::default(), _lock: lock };
        log.spawn("log-appender", move || appender.run())?;
        log.spawn("log-spares", move || spares_thread.run())?;
        Ok(log)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.map_err(Error::io("start a thread for", &self.shared.dir))?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// Reads every record from the floor to the durable end and checks it.
    ///
    /// # Errors
    /// [`ReadError::BadFrame`] names the first one that is damaged; [`ReadError::Io`].
    pub fn verify(&self) -> Result<Verified, ReadError> {
        const BUDGET_BYTES: usize = 1 << 20;
        let end = self.durable().end;
        let mut reader = self.reader(self.floor());
        let mut verified = Verified { n_records: 0, bytes: 0 };
        while let Some(chunk) = reader.read(end, BUDGET_BYTES)? {
            verified.n_records += chunk.frames().count() as u64;
            verified.bytes += chunk.end().0 - chunk.start().0;
        }
        Ok(verified)
    }
}

/// What [`LocalLog::verify`] has read and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records.
    pub n_records: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

impl Log for LocalLog {
    fn id(&self) -> LogId {
        self.shared.log
    }

    fn try_append(&self, entry: Entry) -> Result<(), Entry> {
        self.queue.try_push(entry)
    }

    fn append(&self, entry: Entry) -> Appending<'_> {
        Box::pin(self.queue.push_when_room(entry))
    }

    fn durable(&self) -> Durable {
        self.shared.durable()
    }

    fn settled(&self) -> LogPosition {
        self.shared.settled()
    }

    fn wait_durable(&self, after: LogPosition, timeout: Duration) -> Result<Durable, Closed> {
        self.shared.wait_durable(after, timeout)
    }

    fn follow(&self) -> watch::Receiver<Durable> {
        self.shared.follow()
    }

    fn reader(&self, from: LogPosition) -> LogReader {
        LogReader::new(SegmentReader::new(Arc::clone(&self.shared), from))
    }

    fn floor(&self) -> LogPosition {
        self.shared.floor()
    }

    fn set_floor(&self, position: LogPosition) {
        self.spares.set_floor(position);
    }

    fn ensure_beyond(&self, position: LogPosition) -> Result<(), Error> {
        if position.0 >= POSITION_MAX {
            return Err(Error::NoPositionBeyond { position, limit: LogPosition(POSITION_MAX) });
        }
        let (done, answer) = sync_channel(1);
        self.queue.push_beyond(Beyond { position, done });
        answer.recv().map_err(|_| Error::Closed(Closed))
    }

    fn held(&self) -> Option<Held> {
        self.shared.held()
    }

    fn close(&self) {
        self.queue.close();
        // Locked while joining, so that a second caller waits as well.
        for thread in lock(&self.threads).drain(..) {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    make_private(dir).map_err(Error::io("create", dir))?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    sync_dir(parent).map_err(Error::io("sync", parent))
}

/// Which log is in the directory, and its segments; begins a new one if there is none.
fn identify(options: &Options) -> Result<(Meta, Vec<PathBuf>), Error> {
    let dir = &options.dir;
    let paths = catalog::list(dir)?;
    match Meta::read(dir)? {
        Some(_) if paths.is_empty() => Err(Error::SegmentsMissing { dir: dir.clone() }),
        Some(meta) => Ok((meta, paths)),
        None if is_unbegun(&paths)? => {
            let meta = begin(options)?;
            Ok((meta, catalog::list(dir)?))
        }
        None => Err(Error::MetaMissing { dir: dir.clone() }),
    }
}

/// Whether there is nothing but, at most, the empty first segment of a log whose meta file was
/// not written before we crashed.
fn is_unbegun(paths: &[PathBuf]) -> Result<bool, Error> {
    let path = match paths {
        [] => return Ok(true),
        [path] => path,
        _ => return Ok(false),
    };
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let size = file.metadata().map_err(Error::io("look at", path))?.len();
    let mut bytes = vec![0; size.saturating_sub(HEADER_BYTES) as usize];
    file.read_exact_at(&mut bytes, HEADER_BYTES.min(size)).map_err(Error::io("read", path))?;
    Ok(super::segment::base_of(path) == Some(0) && bytes.iter().all(|&byte| byte == 0))
}

/// Begins a new log: first its empty segment, then the meta file that makes it one.
fn begin(options: &Options) -> Result<Meta, Error> {
    let Options { dir, config, disk, .. } = options;
    let meta = Meta::random()?;
    let header =
        Header { log: meta.log, base: 0, previous: None, received_at: options.clock.now() };
    let blank = Blank::reserve(&**disk, dir.join("next.tmp"), config.segment_bytes)?;
    write_zeros(&**disk, &blank.file, 0, config.segment_bytes)
        .map_err(Error::io("write", &blank.path))?;
    blank.write_header(&**disk, &header)?.into_segment(&**disk, dir, 0)?;
    meta.write(dir)?;
    info!(log.id = %meta.log, "Began a new log in `{}`.", dir.display());
    Ok(meta)
}

fn report(metrics: &Metrics, cut_bytes: u64, end: u64) {
    metrics.recovery_cut_bytes.set(cut_bytes.cast_signed());
    if cut_bytes > 0 {
        warn!(
            cut_bytes,
            "The last write was torn: {cut_bytes} bytes behind {end} are cut off, none of them acknowledged."
        );
    }
}
