//! How a bridge stands, for those who ask.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a bridge stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BridgeStatus {
    /// It has not been connected yet, and nothing is known against it.
    Connecting,
    /// It is connected, and subscribed to everything.
    Connected,
    /// It is connected, but not subscribed to everything: why.
    Incomplete(String),
    /// It is not connected: why.
    Away(String),
}

/// How a bridge stands, shared with it.
#[derive(Debug)]
pub(crate) struct SharedStatus(Mutex<BridgeStatus>);

impl Default for SharedStatus {
    fn default() -> Self {
        Self(Mutex::new(BridgeStatus::Connecting))
    }
}

impl SharedStatus {
    pub(crate) fn get(&self) -> BridgeStatus {
        self.status().clone()
    }

    /// Says how it stands now; true if that is new.
    pub(crate) fn set(&self, status: BridgeStatus) -> bool {
        let mut current = self.status();
        let is_new = *current != status;
        *current = status;
        is_new
    }

    fn status(&self) -> MutexGuard<'_, BridgeStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
