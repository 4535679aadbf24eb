//! The broker's sessions behind *judge's* port: in snapshots, and made again from the log.

use std::error::Error;

use bellwire_broker::SharedSessions;
use bellwire_ingest::ports::Sessions;
use bellwire_model::Timestamp;

/// The broker's sessions, as *judge* keeps them.
#[derive(Debug)]
pub(super) struct LoggedSessions(pub(super) SharedSessions);

impl Sessions for LoggedSessions {
    fn image(&self) -> Vec<u8> {
        self.0.image()
    }

    fn restore(&self, image: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.0.restore(image)?)
    }

    fn replay(&self, changes: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.0.replay(changes)?)
    }

    fn recovered(&self, now: Timestamp) {
        self.0.recovered(now);
    }
}
