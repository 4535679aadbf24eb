//! Drives the dispatcher: follows transitions, sends what is due, and writes down what was told.
//!
//! One task. It waits for nobody: every message is on its way beside the others, at most
//! [`IN_FLIGHT_MAX`](crate::dispatch::IN_FLIGHT_MAX) to one receiver, and what is not due stays in the
//! dispatcher's state.

mod run;
mod shared;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwire_model::{Clock, LogId, LogPosition, Transition};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::config::{ChannelConfig, RouteConfig};
use crate::deliveries::{Delivery, DeliveryLog};
use crate::dispatch::{Dispatch, Image, News, Plan};
use crate::metrics::{Metrics, OneChannel};
use crate::outbox::{Cursor, Outbox, OutboxError};
use crate::setup::Setup;
use run::Sending;
use shared::{Channel, Shared};
pub use shared::{ChannelState, ChannelStatus, Handle, TestAnswer};

/// Tests of channels that may wait to begin.
const ASKED_MAX: usize = 16;

/// A place among all transitions of one log. As a bound it is inclusive: "from here on".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// A log record.
    pub position: LogPosition,
    /// Which of its transitions, from 0.
    pub ordinal: u32,
}

/// Why transitions cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What has them is away: later.
    #[error("the transitions cannot be had now")]
    Away,
    /// Anything else; tried again too.
    #[error("failed to read transitions")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where transitions come from.
pub trait Source: Send + 'static {
    /// The first `limit` transitions at `from` or behind it, in order. Fewer mean that there were no
    /// more. None may be left out.
    fn read(
        &mut self,
        from: Place,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Transition>, SourceError>> + Send;

    /// Waits until there may be more than there was.
    ///
    /// # Cancel safety
    /// Safe.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}

/// Told of attempts to send, as traces want to know of them. It must not wait.
pub trait Witness: Send + Sync + std::fmt::Debug {
    /// An attempt has ended.
    fn attempted(&self, delivery: &Delivery);
}

/// Where to begin if nothing is remembered.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// The first place to read.
    pub place: Place,
    /// What fires as of then.
    pub alerts: Vec<News>,
}

/// Everything that sending needs.
#[derive(Debug)]
pub struct Parts<S> {
    /// The folder of what must not be forgotten.
    pub dir: PathBuf,
    /// To whom; not empty.
    pub channels: Vec<ChannelConfig>,
    /// Who is told of what; empty: everybody of everything.
    pub routes: Vec<RouteConfig>,
    /// Where operators reach the console.
    pub public_url: Option<String>,
    /// Whose places these are.
    pub log: LogId,
    /// What happens.
    pub source: S,
    /// Where to begin if nothing is remembered.
    pub beginning: Beginning,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
    /// Who is told of each attempt; nobody if absent.
    pub witness: Option<Arc<dyn Witness>>,
}

/// Why sending cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A channel or route cannot work.
    #[error("{0}")]
    Config(String),
    /// The folder cannot be used.
    #[error("the outbox cannot be used")]
    Outbox(#[from] OutboxError),
    /// The delivery log cannot be read.
    #[error("the delivery log cannot be read")]
    Deliveries(#[source] std::io::Error),
}

/// Forgets what was told to whom, where there is no channel any more: whoever makes one later is told
/// what fires then, not what happened meanwhile.
///
/// # Errors
/// If there is something, and it cannot be removed.
pub fn forget(dir: &Path) -> Result<(), OutboxError> {
    Outbox::forget(dir)
}

/// Sends what is due, until it is told to stop.
#[derive(Debug)]
pub struct Notifier<S> {
    dispatch: Dispatch,
    receivers: Vec<crate::setup::Receiver>,
    /// The channel of each receiver, as others see it.
    channel_of: Vec<usize>,
    counts: Vec<OneChannel>,
    cursor: Cursor,
    source: S,
    reading: Reading,
    outbox: Outbox,
    saving: Saving,
    shared: Arc<Shared>,
    asked: mpsc::Receiver<trial::Ask>,
    in_flight: FuturesUnordered<Sending>,
    n_tests: usize,
    public_url: Option<Arc<str>>,
    clock: Arc<dyn Clock>,
    /// What time it was when it was last asked for, and when that was.
    time: (bellwire_model::Timestamp, Instant),
    metrics: Metrics,
    witness: Option<Arc<dyn Witness>>,
    shown_at: Instant,
}

/// How it is with reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// There may be more, to be read not before this.
    Behind(Instant),
    /// All was read.
    AtEnd,
}

/// How it is with writing down.
#[derive(Clone, Copy, Debug)]
struct Saving {
    /// Something changed since the last time.
    is_due: bool,
    not_before: Instant,
    fails: bool,
}

impl<S: Source> Notifier<S> {
    /// Goes on from what is remembered, or begins with what fires now.
    ///
    /// # Errors
    /// If the configuration cannot work, or the folder not be used.
    pub fn open(parts: Parts<S>) -> Result<(Self, Handle), StartError> {
        let setup = Setup::new(&parts.channels, &parts.routes).map_err(StartError::Config)?;
        let outbox = Outbox::open(&parts.dir)?;
        let deliveries = DeliveryLog::open(outbox.dir()).map_err(StartError::Deliveries)?;
        let now = parts.clock.now();
        let (dispatch, cursor) = match remembered(&outbox, parts.log, &setup.plan, now)? {
            Some(remembered) => remembered,
            None => begin(&parts.beginning, parts.log, &setup.plan, now),
        };
        let channels: Vec<Channel> =
            parts.channels.iter().map(|config| Channel::new(config, &deliveries)).collect();
        let index_of =
            |name: &str| channels.iter().position(|it| it.is_named(name)).unwrap_or_default();
        let channel_of = setup.receivers.iter().map(|it| index_of(&it.channel)).collect();
        let counts = parts.channels.iter().map(|it| parts.metrics.of(&it.name)).collect();
        let (asking, asked) = mpsc::channel(ASKED_MAX);
        let shared = Arc::new(Shared::new(channels, deliveries));
        let handle = Handle::new(Arc::clone(&shared), asking);
        let start = Instant::now();
        let public_url = parts.public_url.as_deref().map(|url| url.trim_end_matches('/').into());
        let notifier = Self {
            dispatch,
            receivers: setup.receivers,
            channel_of,
            counts,
            cursor,
            source: parts.source,
            reading: Reading::Behind(start),
            outbox,
            saving: Saving { is_due: true, not_before: start, fails: false },
            shared,
            asked,
            in_flight: FuturesUnordered::new(),
            n_tests: 0,
            public_url,
            clock: parts.clock,
            time: (now, start),
            metrics: parts.metrics,
            witness: parts.witness,
            shown_at: start,
        };
        Ok((notifier, handle))
    }
}

/// What was told so far, if it is of this log and can be read.
fn remembered(
    outbox: &Outbox,
    log: LogId,
    plan: &Arc<Plan>,
    now: bellwire_model::Timestamp,
) -> Result<Option<(Dispatch, Cursor)>, OutboxError> {
    let (cursor, image) = match outbox.read() {
        Ok(None) => return Ok(None),
        Ok(Some(found)) => found,
        Err(damaged @ OutboxError::Damaged { .. }) => {
            let aside = outbox.set_aside()?;
            error!(
                error = &damaged as &dyn std::error::Error,
                "What was told to whom is lost (kept as {}): everybody is told again what fires.",
                aside.display()
            );
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if cursor.log != log {
        warn!("What was told to whom is of another log: everybody is told again what fires.");
        return Ok(None);
    }
    let restored = Image::from_bytes(&image).and_then(|image| image.restore(Arc::clone(plan), now));
    match restored {
        Ok(dispatch) => Ok(Some((dispatch, cursor))),
        Err(error) => {
            let aside = outbox.set_aside()?;
            error!(
                error = &error as &dyn std::error::Error,
                "What was told to whom cannot be read (kept as {}): everybody is told again what fires.",
                aside.display()
            );
            Ok(None)
        }
    }
}

fn begin(
    beginning: &Beginning,
    log: LogId,
    plan: &Arc<Plan>,
    now: bellwire_model::Timestamp,
) -> (Dispatch, Cursor) {
    let mut dispatch = Dispatch::new(Arc::clone(plan));
    for news in &beginning.alerts {
        dispatch.take(news.clone(), now);
    }
    if dispatch.n_alerts() > 0 {
        info!("{} alerts fire that nobody was told of.", dispatch.n_alerts());
    }
    let Place { position, ordinal } = beginning.place;
    (dispatch, Cursor { log, position, ordinal })
}
