//! How alerts are handled, as bytes: actions as records of the log say them, and what the journal needs.

mod action;
mod wire;

pub(crate) use action::{read, write};
pub(crate) use wire::{WireHandling, WireSilence, WireStep, labels_of, wire_labels};
