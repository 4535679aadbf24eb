//! The words Bellwire is written in: what every room may say to another, and nothing that acts.
//!
//! A reading's journey in these words: a client's PUBLISH packets become a [`Delivery`]; once the
//! log has it at a [`LogPosition`] its [`Receipt`] is settled [`Outcome::Durable`]; *judge* turns
//! it into [`Observation`]s and those into [`Transition`]s; *keep* writes its [`Reading`]s in a
//! [`KeepBatch`].
//!
//! **Invariant:** no I/O, no async, no clock, no serde. Time is always an argument.

pub mod action;
pub mod alert;
pub mod audit;
pub mod batch;
pub mod clock;
pub mod command;
pub mod handling;
pub mod id;
pub mod ledger;
pub mod matcher;
pub mod names;
pub mod network;
pub mod position;
pub mod presence;
pub mod publish;
pub mod reading;
pub mod registry;
pub mod reject;
pub mod skew;
pub mod source;
pub mod target;
pub mod time;
pub mod topic;
mod words;

pub use action::{
    Action, ActionId, ActionOutcome, AlertDeed, AlertOutcome, Deed, Prior, SilenceDraft,
    SilenceOutcome,
};
pub use alert::{Alert, AlertId, AlertState, Correction, Severity, StageTimes, Transition};
pub use audit::{AuditDeed, AuditEntry, AuditOutcome};
pub use batch::{KeepBatch, LedgerFlush, Quarantined};
pub use clock::Clock;
pub use command::{Answer, Command, CommandId, CommandState, Reply};
pub use handling::{Acknowledgement, Handling, Silence, SilenceId, Step, StepKind};
pub use id::{ClientId, DeviceId, IdError, MetricName, RuleName, ServiceName};
pub use ledger::{DeviceLedger, SeqLedger};
pub use matcher::{MatchOp, Matcher, MatcherError, Matchers};
pub use names::{DeviceKey, MetricKey, Names, SharedNames};
pub use network::{Network, NetworkError};
pub use position::{Cursor, LogId, LogPosition};
pub use presence::Presence;
pub use publish::{Delivery, Outcome, PublishBatch, PublishRef, QoS, Receipt};
pub use reading::{Observation, Reading, Value};
pub use registry::{Base, DevicePatch, Label, Labels, Noted, Profile, Registry, SharedRegistry};
pub use reject::RejectReason;
pub use skew::ClockSkew;
pub use source::Source;
pub use target::Target;
pub use time::Timestamp;
pub use topic::{TopicError, TopicFilter, check_topic};
