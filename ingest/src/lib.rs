//! The log, and its two readers: judge and keep.

pub mod log;
