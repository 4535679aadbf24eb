//! One value of one metric of one device at one instant.

use std::sync::Arc;

use crate::{DeviceKey, LogPosition, MetricKey, Timestamp};

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A finite number; booleans are 1 and 0.
    Number(f64),
    /// A short text, at most [`Value::TEXT_BYTES_MAX`] bytes.
    Text(Arc<str>),
}

impl Value {
    /// The longest text a reading may carry.
    pub const TEXT_BYTES_MAX: usize = 1024;

    /// The number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

/// One value of one metric of one device at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whose.
    pub device: DeviceKey,
    /// Of what.
    pub metric: MetricKey,
    /// Event time: when the device says it was read, or when we received it if it does not say.
    pub at: Timestamp,
    /// What was read.
    pub value: Value,
}

/// All readings that one payload gives for one instant of one device: judged together.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Whose; the same in all `readings`.
    pub device: DeviceKey,
    /// Event time; the same in all `readings`.
    pub at: Timestamp,
    /// When we received it; never decreasing in log order.
    pub received_at: Timestamp,
    /// The log record it came in.
    pub position: LogPosition,
    /// The device's own counter, where the payload has one.
    pub seq: Option<u64>,
    /// At most one per metric.
    pub readings: &'a [Reading],
}
