//! The log, and its two readers.
//!
//! A delivery is appended to the [`log`]; when it is on disk its receipt is settled. *Judge*
//! follows the durable end, decodes, finds repetitions and asks the alert rules; *keep* takes what
//! *judge* decoded, or reads it again from disk when it is behind, and hands it to the database in
//! batches.
//!
//! **Invariant:** this room knows neither MQTT nor SQL nor rules: `src` connects it to them.

pub mod decode;
pub mod group;
pub mod journal;
pub mod ledger;
pub mod present;
pub mod repetition;
pub mod seq;
pub mod snapshot;
pub mod topics;
mod wire;
