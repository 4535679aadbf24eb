//! The port for trying rules on history.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use bellwire_model::{DeviceId, RuleName, Timestamp};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::PortError;

/// How a rule is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// As it is in force.
    InForce,
    /// As this text of one rule says, with the labels in force.
    Draft(String),
    /// As this text of a rules file says.
    File(String),
}

/// What is to be tried, and how much of it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacktestRequest {
    /// Which rule.
    pub rule: RuleName,
    /// How it is to be.
    pub rules: Tried,
    /// Readings from this event time on, inclusive; from the first if absent.
    pub from: Option<Timestamp>,
    /// Readings up to this event time, exclusive; to the last if absent.
    pub to: Option<Timestamp>,
    /// Readings of this device; of all if absent.
    pub device: Option<DeviceId>,
    /// The most readings that are judged.
    pub readings_max: u64,
    /// How long it may take.
    pub time_max: Duration,
}

/// Lines of JSON, each with its line end: any number of `progress` and `transition`, then one `summary` or
/// one `error`. The backtest ends when this is dropped, and waits while it is not read.
pub type BacktestLines = mpsc::Receiver<Bytes>;

/// Why a backtest does not begin.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// Another one runs.
    #[error("another backtest runs")]
    Busy,
    /// There is no such rule; the text says which was probably meant.
    #[error("{0}")]
    NoSuchRule(String),
    /// The rules have mistakes; the text shows each with its place.
    #[error("{0}")]
    WrongRules(String),
    /// There are more readings than it may judge; the text says how many.
    #[error("{0}")]
    TooMany(String),
    /// It could not be asked.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The answer of this port, which may have to wait.
pub type BacktestFuture<'a> =
    Pin<Box<dyn Future<Output = Result<BacktestLines, BacktestError>> + Send + 'a>>;

/// Tries rules on history.
pub trait Backtests: Send + Sync + Debug {
    /// Begins a backtest; ready when the readings can be had.
    fn begin(&self, request: BacktestRequest) -> BacktestFuture<'_>;
}
