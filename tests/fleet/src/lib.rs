//! A simulated device fleet over real MQTT, and the proof that nothing it was promised is missing.
//!
//! Each publish carries an ordinary metric `n`: a number unique per device, ascending from 1. What
//! the service acknowledges is written down ([`AckLog`]), and [`verify()`] holds that against the
//! database: every acknowledged `n` once, every other at most once.
//!
//! The parts, in the order of a publish's journey: a *source* makes messages (`load` for [`run`],
//! [`FreezerFleet`], [`replay_csv`], [`probe()`]); a `link` puts many of them into one write and
//! remembers them in its `window`; an acknowledgement settles one, and the source notes it in its
//! account.
//!
//! **Invariant:** no room of the service is known here: whatever this proves, it proves from
//! outside, over MQTT and SQL.

mod acks;
mod backoff;
pub mod bench;
mod calendar;
mod client;
mod config;
mod error;
mod fleet;
pub mod freezer;
mod freezers;
mod histogram;
mod link;
mod load;
mod pace;
mod packet;
mod payload;
mod probe;
mod published;
mod random;
mod ranges;
mod replay;
mod rumqtt;
pub mod sink;
mod socket;
mod source;
mod tally;
mod terms;
mod verify;
mod window;

pub use acks::{AckLog, DeviceAcks};
pub use config::{Bound, Driver, Faults, FleetConfig, Login, Protocol, Surroundings};
pub use error::{FleetError, LinkError};
pub use fleet::{FleetReport, run};
pub use freezers::{Failure, FreezerConfig, FreezerFleet};
pub use histogram::Histogram;
pub use packet::PacketError;
pub use probe::{ProbeConfig, probe};
pub use published::{Published, PublishedLog};
pub use ranges::{RangeError, RangeSet};
pub use replay::{ReplayConfig, replay_csv};
pub use tally::Progress;
pub use verify::{Report, verify, verify_within};
