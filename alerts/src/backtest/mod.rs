//! Backtest: what rules would have said to readings that are there already.
//!
//! A [`Driver`] runs the live engine over readings in order of time; an [`Account`] counts its
//! [`Transition`](bellwire_model::Transition)s by rule and device, and puts them together to
//! [`Episode`]s; [`compare`] says how the episodes of two runs differ. All of it is pure: where the
//! readings come from and where the answer goes is for the caller to know.

mod account;
mod difference;
mod driver;
mod effective;
mod episode;

pub use account::{Account, DeviceAccount, EPISODES_MAX, Report, RuleAccount, Tally};
pub use difference::{Difference, compare};
pub use driver::Driver;
pub use effective::effective;
pub use episode::{Ending, Episode};

use crate::RuleSet;
use crate::rules::rule::NoData;

/// Whether any rule asks how long a metric of a device has been silent: then a reading of any other
/// metric matters too, since it is what makes the device known.
#[must_use]
pub fn needs_every_metric(rules: &RuleSet) -> bool {
    rules.rules().iter().any(|rule| !rule.deadlines.is_empty() || rule.no_data != NoData::Keep)
}
