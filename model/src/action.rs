//! Actions: what operators ask of alerts and silences, and what came of it.

use std::fmt;
use std::sync::Arc;

use crate::words::words;
use crate::{Alert, AlertId, LogPosition, Matchers, Silence, SilenceId, Timestamp};

/// An action's identity: the same again is the same action, and done once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub u128);

impl fmt::Debug for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionId({:032x})", self.0)
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Which.
    pub id: ActionId,
    /// A hash of what is asked: another action with this id is a mistake.
    pub request: u64,
    /// Who asks.
    pub author: Arc<str>,
    /// What for.
    pub deed: Deed,
}

impl Action {
    /// The most alerts in one action.
    pub const ALERTS_MAX: usize = 1_000;
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Something with alerts.
    Alerts {
        /// Which: at most [`Action::ALERTS_MAX`], each once.
        ids: Vec<AlertId>,
        /// What.
        what: AlertDeed,
        /// The place of the latest transition that whoever asks has seen: an alert whose rule has
        /// spoken since is not touched.
        seen: Option<(LogPosition, u32)>,
        /// What he says to it.
        comment: Option<Arc<str>>,
    },
    /// A silence is to be as this says, whether it is new or not.
    Silence(Box<SilenceDraft>),
    /// A silence is to end now, or not to begin.
    Expire {
        /// Which.
        id: SilenceId,
        /// Only if it is at this version.
        version: Option<u32>,
    },
}

/// What is to be done with an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertDeed {
    /// Whoever asks has it.
    Acknowledge,
    /// Nobody has it any more.
    Unacknowledge,
    /// This one is to see to it; `None`: nobody.
    Assign(Option<Arc<str>>),
    /// Nothing, but something is said.
    Comment,
    /// Nobody is told of it until then, by our clock.
    Snooze(Timestamp),
    /// That ends now.
    Unsnooze,
}

/// How a silence is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceDraft {
    /// Which: an unknown one is made.
    pub id: SilenceId,
    /// Only if it is at this version; 0: only if it is not there.
    pub version: Option<u32>,
    /// Which alerts.
    pub matchers: Matchers,
    /// From when on; `None`: from now on, or as it was.
    pub starts_at: Option<Timestamp>,
    /// Until when.
    pub ends_at: Timestamp,
    /// Only at these hours, in this time zone.
    pub schedule: Option<(Arc<str>, Arc<str>)>,
    /// Why.
    pub reason: Arc<str>,
}

words! {
    /// What came of an action for one alert.
    AlertOutcome {
        /// It is done.
        Done = "done",
        /// There is no open alert of this id.
        NotOpen = "not_open",
        /// It has not fired: there is nothing to acknowledge.
        Pending = "pending",
        /// Somebody has it already.
        Acknowledged = "already_acknowledged",
        /// Nobody has it.
        NotAcknowledged = "not_acknowledged",
        /// Its rule has said something that whoever asked has not seen.
        Changed = "changed",
        /// It is not snoozed.
        NotSnoozed = "not_snoozed",
        /// That time is over.
        TooLate = "too_late",
        /// It is over: all that can be done is to acknowledge it.
        Over = "over",
    }
}

/// What came of an action for a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SilenceOutcome {
    /// It is done.
    Done,
    /// There is no such silence.
    NotFound,
    /// It is at this version.
    Changed(u32),
    /// It is over: make a new one.
    Over,
    /// Its end is over, or not behind its start.
    EndsTooEarly,
    /// There are as many as there may be.
    Full,
    /// Its schedule is not understood.
    BadSchedule,
}

/// What an action replaces: how it stood right before.
#[derive(Clone, Debug, PartialEq)]
pub enum Prior {
    /// The alert that it named.
    Alert(Box<Alert>),
    /// The silence.
    Silence(Arc<Silence>),
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionOutcome {
    /// For each alert, in the order they were named.
    Alerts(Vec<(AlertId, AlertOutcome)>),
    /// For the silence.
    Silence(SilenceId, SilenceOutcome),
    /// Another action had this id: nothing was done.
    IdReused,
}
