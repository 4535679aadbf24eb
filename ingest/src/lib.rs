//! The log, and its two readers.
//!
//! A delivery is appended to the [`log`]; when it is on disk its receipt is settled. *Judge*
//! follows the durable end, decodes, finds repetitions and asks the alert rules; *keep* takes what
//! *judge* decoded, or reads it again from disk when it is behind, and hands it to the database in
//! batches.
//!
//! **Invariant:** this room knows neither MQTT nor SQL nor rules: `src` connects it to them.

pub mod audit;
mod backoff;
pub mod commands;
pub mod decode;
mod dirs;
pub mod group;
mod handling;
pub mod handoff;
pub mod journal;
pub mod judge;
pub mod keep;
pub mod ledger;
pub mod log;
pub mod mapping;
pub mod metrics;
pub mod nodes;
mod poison;
pub mod policy;
pub mod ports;
pub mod present;
pub mod repetition;
pub mod replay;
mod reread;
pub mod seq;
pub mod skew;
pub mod snapshot;
mod snapshots;
pub mod sparkplug;
pub mod topics;
pub mod trial;
mod unpack;
mod wire;
