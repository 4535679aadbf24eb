//! What this room asks of others: the present, the history, and how well the service is.
//!
//! `src` implements these over *judge*'s memory, the journal and the database. Nothing here knows
//! SQL or HTTP.

mod audit;
mod backtests;
mod channels;
mod commands;
mod handling;
mod nothing;
mod people;
mod provider;
mod registry;
mod rules;
mod shelf;
mod telemetry;
mod witness;

use std::error::Error;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{
    Alert, AlertId, AlertState, Cursor, DeviceId, DeviceLedger, Labels, LogId, LogPosition,
    MetricName, Quarantined, RejectReason, RuleName, Target, Timestamp, Transition, Value,
};

pub use audit::{AuditEnded, AuditFuture, AuditLog, AuditPage, AuditQuery};
pub use backtests::{
    BacktestError, BacktestFuture, BacktestLines, BacktestRequest, Backtests, Tried,
};
pub use channels::{
    ChannelInfo, Channels, DeliveriesQuery, DeliveryInfo, NoChannels, TestError, TestFuture,
    TestResult,
};
pub use commands::{
    CommandPage, Commands, CommandsError, CommandsFuture, CommandsQuery, Extent, Given, NewCommand,
    NoCommands,
};
pub use handling::{
    ActionAnswer, ActionFuture, ActionRequest, AlertHandling, HandlingError, SilenceInfo,
};
pub use people::{Activity, PeopleStore, PeopleStoreError};
pub use provider::{Attempt, Identity, Provider, ProviderError, ProviderFuture};
pub(crate) use registry::Nobody;
pub use registry::{
    ChangedDevice, Chooser, DeviceFilter, DeviceInfo, DeviceRegistry, LabelMap, LabelSources,
    RegistryError, RegistryFuture, Seen, SelectionError,
};
pub use rules::{
    AlertFate, ChangedBy, ChangedRule, Known, LastChange, NewRule, RuleCheck, RuleDeed, RuleDetail,
    RuleInfo, RuleMistake, RuleSource, RuleTestMismatch, RuleTestOutcome, RuleTests,
    RuleTestsOutcome, RuleTrial, RuleVersion, RuleWord, RuleWords, Rules, RulesError, RulesFuture,
};
pub use shelf::{
    Left, LeftReason, MappingMistake, MappingTrial, ReplayMode, Replayed, Shelf, ShelfError,
    ShelfFuture, TrialReading, TriedMapping,
};
pub use telemetry::{Post, Posts, Telemetry, TelemetryError, TelemetryFuture};
pub use witness::{AnsweredRequest, RequestWitness, TransitionWitness};

/// The answer of a port that may have to wait. Dropping it gives the question up.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, PortError>> + Send + 'a>>;

/// Why a port has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The database cannot be reached now; asking later may help.
    #[error("database is away")]
    DatabaseAway,
    /// `after` is none of this port's page tokens.
    #[error("not a page token")]
    BadPage,
    /// Anything else: a fault of ours, logged where it is handled.
    #[error("query failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// Everything this room asks of others.
#[derive(Clone, Debug)]
pub struct Ports {
    /// What is known without the database.
    pub present: Arc<dyn Present>,
    /// What has been kept.
    pub history: Arc<dyn History>,
    /// How well the service is.
    pub health: Arc<dyn Health>,
    /// Tries rules on history.
    pub backtests: Arc<dyn Backtests>,
    /// The rules.
    pub rules: Arc<dyn Rules>,
    /// Takes telemetry.
    pub telemetry: Arc<dyn Telemetry>,
    /// Reads quarantined payloads again.
    pub shelf: Arc<dyn Shelf>,
    /// Gives commands to devices.
    pub commands: Arc<dyn Commands>,
    /// What operators do with alerts.
    pub handling: Arc<dyn AlertHandling>,
    /// The registry of devices.
    pub registry: Arc<dyn DeviceRegistry>,
    /// Where alerts are sent to.
    pub channels: Arc<dyn Channels>,
    /// Who may come in; everybody if absent.
    pub people: Option<Arc<dyn PeopleStore>>,
    /// The audit log.
    pub audit: Arc<dyn AuditLog>,
    /// An OpenID provider that people may sign in by.
    pub provider: Option<Arc<dyn Provider>>,
    /// Who is told of each request that was answered; nobody if absent.
    pub witness: Option<Arc<dyn RequestWitness>>,
}

/// The latest reading of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestReading {
    /// Of what.
    pub metric: MetricName,
    /// Event time.
    pub at: Timestamp,
    /// What was read.
    pub value: Value,
    /// In which unit, if its payloads say it.
    pub unit: Option<Arc<str>>,
}

/// The latest readings of some devices, by device and metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatestReadings {
    /// By ascending name; of each, how many of `readings` are its.
    pub devices: Vec<(DeviceId, usize)>,
    /// Those of the first device, then those of the next.
    pub readings: Vec<LatestReading>,
}

/// What is known in memory: always there, never waits.
///
/// Called on the runtime's threads: answer within about a millisecond. (Open alerts are not
/// asked for here: [`Hub`](crate::Hub) holds them.)
pub trait Present: Send + Sync + Debug {
    /// One device, if it is known.
    fn device(&self, device: &DeviceId) -> Option<DeviceInfo>;
    /// The latest reading of each metric of a device, if the device is known.
    fn latest(&self, device: &DeviceId) -> Option<Vec<LatestReading>>;
    /// The latest readings, of `metric` or of each, of the first `limit` devices after `after`, in
    /// order of their ids. Devices that have none come with none.
    fn latest_of_all(
        &self,
        metric: Option<&MetricName>,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> LatestReadings;
}

/// Which labels devices have, for those who ask for readings and alerts by them.
///
/// Called on the runtime's threads and on *judge's*: it never waits.
pub trait DeviceLabels: Send + Sync + Debug {
    /// The labels of `device` that count now; none if it is not known.
    fn labels(&self, device: &DeviceId) -> Labels;
}

/// No labels.
impl DeviceLabels for () {
    fn labels(&self, _: &DeviceId) -> Labels {
        Labels::default()
    }
}

/// A part of a longer list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Handed back as `after` it gives the next part; absent at the end. At most 512 bytes of the
    /// port's own making, not beginning with `open:`.
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), next: None }
    }
}

/// Which readings are wanted: ascending by `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingsQuery {
    /// Whose.
    pub device: DeviceId,
    /// Of what; of everything if absent.
    pub metric: Option<MetricName>,
    /// From this event time on, inclusive.
    pub from: Timestamp,
    /// Up to this event time, exclusive.
    pub to: Timestamp,
    /// The most rows of one page, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// One reading of the device that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingRow {
    /// Event time.
    pub at: Timestamp,
    /// Of what.
    pub metric: MetricName,
    /// What was read.
    pub value: Value,
}

/// Which readings are wanted, gathered into buckets of event time: ascending by `at`, then group, then
/// metric. Buckets are whole, also where the range begins or ends within one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketsQuery {
    /// Whose; all devices together if absent.
    pub device: Option<DeviceId>,
    /// Of what; of every metric with numbers if absent, where `by` is too.
    pub metric: Option<MetricName>,
    /// By which label the devices are grouped; not at all if absent. Only of all devices together.
    pub by: Option<Box<str>>,
    /// From this event time on, inclusive.
    pub from: Timestamp,
    /// Up to this event time, exclusive.
    pub to: Timestamp,
    /// How long a bucket is: whole seconds. Buckets are aligned to the Unix epoch.
    pub bucket: Duration,
    /// The most rows of one page, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// The numbers of one metric in one bucket; buckets without readings are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketRow {
    /// When the bucket begins.
    pub at: Timestamp,
    /// The label's value, where the devices are grouped by one and have it.
    pub group: Option<Box<str>>,
    /// Of what.
    pub metric: MetricName,
    /// Their mean.
    pub avg: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many, at least 1.
    pub count: u64,
    /// The earliest; of several at one instant the least.
    pub first: f64,
    /// The latest; of several at one instant the greatest.
    pub last: f64,
}

/// Which alerts are wanted: latest `since` first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertsQuery {
    /// In one of these states; never empty.
    pub states: Vec<AlertState>,
    /// Of this device only.
    pub device: Option<Target>,
    /// Of this rule only.
    pub rule: Option<RuleName>,
    /// That are handled so.
    pub handled: Handled,
    /// The most rows of one page, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// How alerts are handled; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// Whether somebody has acknowledged them.
    pub acknowledged: Option<bool>,
    /// Whether a silence mutes them.
    pub silenced: Option<bool>,
    /// Whether they are over and kept in sight.
    pub latched: Option<bool>,
    /// Who is to see to them.
    pub assigned_to: Option<String>,
}

impl Handled {
    /// Whether an alert is handled so.
    #[must_use]
    pub fn is_met_by(&self, alert: &Alert) -> bool {
        let handling = alert.handling.as_deref();
        let is = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        let assigned_to = handling.and_then(|it| it.assigned_to.as_deref());
        is(self.acknowledged, handling.is_some_and(|it| it.acknowledged.is_some()))
            && is(self.silenced, handling.is_some_and(|it| !it.silenced_by.is_empty()))
            && is(self.latched, handling.is_some_and(|it| it.latched))
            && self.assigned_to.as_deref().is_none_or(|wanted| assigned_to == Some(wanted))
    }
}

/// An alert and how it came to stand there.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertHistory {
    /// As it stands after the last transition.
    pub alert: Alert,
    /// Its transitions, in order.
    pub transitions: Vec<Transition>,
}

/// Which quarantined payloads are wanted: latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineQuery {
    /// Of this device only.
    pub device: Option<DeviceId>,
    /// For this reason only.
    pub reason: Option<RejectReason>,
    /// On this topic only; if it ends with `/#`, on this and those below.
    pub topic: Option<String>,
    /// Received then or later.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
    /// These only: record and ordinal.
    pub places: Option<Vec<(LogPosition, u32)>>,
    /// The most rows of one page, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// What has been kept: the database, and the journal for what it has not yet.
pub trait History: Send + Sync + Debug {
    /// Readings, one by one.
    fn readings(&self, query: ReadingsQuery) -> PortFuture<'_, Page<ReadingRow>>;
    /// Readings, gathered.
    fn buckets(&self, query: BucketsQuery) -> PortFuture<'_, Page<BucketRow>>;
    /// Alerts, ended ones too.
    fn alerts(&self, query: AlertsQuery) -> PortFuture<'_, Page<Alert>>;
    /// One alert, if there is such a one.
    fn alert(&self, id: AlertId) -> PortFuture<'_, Option<AlertHistory>>;
    /// The first `limit` transitions at `from` or after it, in order of place.
    ///
    /// It must see every transition that was handed to [`Hub::transition`] before the call:
    /// read the journal as well as the database. Fewer than `limit` means there were no more.
    ///
    /// [`Hub::transition`]: crate::Hub::transition
    fn transitions(&self, from: Place, limit: usize) -> PortFuture<'_, Vec<Transition>>;
    /// Payloads that could not be read.
    fn quarantine(&self, query: QuarantineQuery) -> PortFuture<'_, Page<Quarantined>>;
    /// A device's account, if the device is known. May be answered from memory.
    fn ledger(&self, device: DeviceId) -> PortFuture<'_, Option<DeviceLedger>>;
    /// The accounts of at most `limit` devices by ascending name, those after `after` only.
    fn ledgers(
        &self,
        after: Option<DeviceId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(DeviceId, DeviceLedger)>>;
}

/// How well the service, or a part of it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthStatus {
    /// All is well.
    Ok,
    /// It does its work, but something is missing.
    Degraded,
    /// It cannot do its work: send traffic elsewhere.
    Unavailable,
}

impl HealthStatus {
    /// The stable, lower-case word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How well one part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which part: `database`, `log`.
    pub name: &'static str,
    /// How well it is.
    pub status: HealthStatus,
    /// For a person.
    pub detail: String,
}

/// Which database there is, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// How readings are stored: `plain`, `timescale`.
    pub mode: &'static str,
    /// PostgreSQL's version.
    pub postgresql: String,
    /// TimescaleDB's version, if readings are stored in it.
    pub timescaledb: Option<String>,
    /// The version of our tables.
    pub schema: u32,
}

/// Whether the service can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// All in all.
    pub status: HealthStatus,
    /// Part by part.
    pub checks: Vec<Check>,
    /// The database that answered last; none before one has.
    pub database: Option<DatabaseInfo>,
}

/// Says how well the service is.
pub trait Health: Send + Sync + Debug {
    /// Whether the service can do its work now. Must not wait.
    fn readiness(&self) -> Readiness;
}

/// A place among all transitions of one log. As a bound it is inclusive: "from here on".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// A log record.
    pub position: LogPosition,
    /// Which of its transitions, from 0.
    pub ordinal: u32,
}

impl Place {
    /// The place of a transition.
    #[must_use]
    pub const fn of(transition: &Transition) -> Self {
        Self { position: transition.position, ordinal: transition.ordinal }
    }

    /// The first place after this one.
    #[must_use]
    pub const fn after(self) -> Self {
        Self { position: self.position, ordinal: self.ordinal.saturating_add(1) }
    }

    /// The first place that a client with this cursor has not seen.
    ///
    /// An ordinal of `u32::MAX`, which no transition has, means all of the record; with position
    /// 0, where a record could begin, it means nothing at all.
    #[must_use]
    pub const fn unseen(cursor: &Cursor) -> Self {
        match (cursor.position.0, cursor.ordinal) {
            (0, u32::MAX) => Self { position: LogPosition::ZERO, ordinal: 0 },
            (position, u32::MAX) => {
                Self { position: LogPosition(position.saturating_add(1)), ordinal: 0 }
            }
            (_, ordinal) => Self { position: cursor.position, ordinal: ordinal + 1 },
        }
    }

    /// The cursor of a client that has seen everything before this place.
    #[must_use]
    pub const fn cursor(self, log: LogId) -> Cursor {
        match (self.position.0, self.ordinal) {
            (position, 0) => {
                let position = LogPosition(position.saturating_sub(1));
                Cursor { log, position, ordinal: u32::MAX }
            }
            (_, ordinal) => Cursor { log, position: self.position, ordinal: ordinal - 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_the_place_it_was_made_from() {
        for (position, ordinal) in [(0, 0), (0, 1), (9, 0), (9, 5), (u64::MAX, 0)] {
            let place = Place { position: LogPosition(position), ordinal };
            assert_eq!(Place::unseen(&place.cursor(LogId(7))), place);
        }
    }

    #[test]
    fn a_transition_is_seen_by_its_own_cursor_and_not_by_the_one_before() {
        let place = Place { position: LogPosition(40), ordinal: 3 };
        let own = Cursor { log: LogId(7), position: place.position, ordinal: place.ordinal };
        assert!(Place::unseen(&own) > place);
        assert_eq!(Place::unseen(&place.cursor(LogId(7))), place);
    }
}
