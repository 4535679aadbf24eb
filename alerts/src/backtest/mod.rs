//! Backtest: what rules would have said to readings that are there already.
//!
//! A [`Driver`] runs the live engine over readings in order of time; an [`Account`] counts its
//! [`Transition`](bellwire_model::Transition)s by rule and device, and puts them together to
//! [`Episode`]s; [`compare`] says how the episodes of two runs differ. All of it is pure: where the
//! readings come from and where the answer goes is for the caller to know.

mod account;
mod difference;
mod driver;
mod episode;

pub use account::{Account, DeviceAccount, EPISODES_MAX, Report, RuleAccount, Tally};
pub use difference::{Difference, compare};
pub use driver::Driver;
pub use episode::{Ending, Episode};
