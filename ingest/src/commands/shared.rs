//! Commands as *judge* has them, for those who show and bring them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Commands;

/// Commands that *judge* changes and others look at. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedCommands {
    commands: Arc<Mutex<Commands>>,
    changed: watch::Sender<u64>,
}

impl Default for SharedCommands {
    fn default() -> Self {
        Self { commands: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl SharedCommands {
    /// Looks at them or changes them; *judge* waits meanwhile.
    pub fn with<R>(&self, look: impl FnOnce(&mut Commands) -> R) -> R {
        // Each change is made whole before anything in it can fail.
        look(&mut self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// *Judge* has changed some: whoever waits looks again.
    pub fn tell(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Tells of changes; take it before looking.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
