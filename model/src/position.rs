//! Where something lies in the log: the order that everything else agrees on.

use std::fmt;
use std::str::FromStr;

/// A log's identity, made at random when the log is. Another log's positions mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub u128);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

impl FromStr for LogId {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(CursorError);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| CursorError)
    }
}

/// A byte offset in the log, counted from its birth; it never goes back and never repeats.
///
/// As a *place*, the first byte of a record. As an *end*, one past the last byte: every record
/// that begins before it is included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition(pub u64);

impl LogPosition {
    /// The beginning of every log.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place of one transition: clients come back with it and get what they missed.
///
/// Its text is `{log}-{position}-{ordinal}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The log it speaks of.
    pub log: LogId,
    /// The record that caused the transition.
    pub position: LogPosition,
    /// Which of that record's transitions, from 0.
    pub ordinal: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.log, self.position, self.ordinal)
    }
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a cursor: expected `{log}-{position}-{ordinal}`")
    }
}

impl std::error::Error for CursorError {}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.split('-');
        let (Some(log), Some(position), Some(ordinal), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CursorError);
        };
        Ok(Self {
            log: log.parse()?,
            position: LogPosition(position.parse().map_err(|_| CursorError)?),
            ordinal: ordinal.parse().map_err(|_| CursorError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_writes() {
        let cursor = Cursor { log: LogId(0xab), position: LogPosition(17), ordinal: 2 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "1-2-3", "x", "000000000000000000000000000000ab-1", "-1-2-3"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(CursorError), "{wrong}");
        }
    }
}
