//! *Judge*: follows the log's durable end, whatever the database does.
//!
//! `core` is a pure function of the log; `driver` is the thread that feeds it.

mod core;
mod driver;
mod labels;

pub use core::Judge;
pub use driver::{JudgeConfig, JudgeError, JudgeParts, JudgeThread};
