//! *Judge*: follows the log's durable end, whatever the database does.
//!
//! [`core`] is a pure function of the log; [`driver`] is the thread that feeds it.

pub mod core;
pub mod driver;

pub use core::Judge;
pub use driver::{JudgeConfig, JudgeParts, JudgeThread};
