//! Users' tests of their rules: readings in, alerts that are expected out (docs/guides/rules.md).
//!
//! [`file`] reads a test file with [`fields`] and [`series`], [`run`] gives its readings to the live
//! engine and says what is not as expected.

mod expected;
pub(crate) mod fields;
pub(crate) mod file;
pub(crate) mod run;
mod series;
