//! The one way a room learns what time it is: asking the clock that `src` handed it.

use crate::Timestamp;

/// Tells the time. Real in the service, moved by hand in tests.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock, UTC. It may step back; whoever needs order must keep its own maximum.
    fn now(&self) -> Timestamp;
}
