//! Alerts: the rule language, and the state machine that turns readings into transitions.
//!
//! A rules file is parsed into a [`RuleSet`], which an [`Engine`] runs; around it [`Handled`] follows what
//! operators do with alerts, and what mutes and escalates them. The engine is a pure
//! function of the calls it gets: what *judge* reads from the log goes in, [`Transition`]s come
//! out, and the same log gives the same transitions whenever and wherever it is read.
//!
//! **Invariant:** no I/O, no async, no clock, no randomness. Wall-clock time enters only as
//! `received_at` of records, and of ticks.
//!
//! [`Transition`]: bellwire_model::Transition

pub mod backtest;
pub mod engine;
pub mod error;
mod handling;
mod lang;
pub mod metrics;
pub mod rules;
mod selection;
mod suggest;

pub use engine::snapshot::SnapshotError;
pub use engine::{Engine, Stats};
pub use error::RuleError;
pub use handling::{ActionAnswer, Handled, HandlingStats, Handlings, LATCHED_MAX, SILENCES_MAX};
pub use lang::functions::function_reference;
pub use lang::group::aggregate_reference;
pub use lang::words::{Word, Words, words};
pub use metrics::Metrics;
pub use rules::one::{RULE_BYTES_MAX, read_one, text_of};
pub use rules::rule::Rule;
pub use rules::{FILE_BYTES_MAX, RULES_MAX, RuleSet};
pub use selection::{Selection, SelectionError};
pub use suggest::nearest;
