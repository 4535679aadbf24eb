//! Broker → log: a delivery becomes an entry; while the log has no room, the socket waits here.

use std::sync::Arc;

use bellwire_broker::Inlet;
use bellwire_broker::bridge::BridgeInlet;
use bellwire_ingest::log::{Entry, Log};
use bellwire_ingest::topics::SharedClaims;
use bellwire_model::Delivery;

use super::refused::Refused;

/// The log, as the broker sees it.
#[derive(Debug)]
pub struct LogInlet {
    log: Arc<dyn Log>,
    claims: SharedClaims,
    refused: Refused,
}

impl LogInlet {
    /// An inlet into `log`; what it does not take is counted.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, claims: SharedClaims, refused: Refused) -> Self {
        Self { log, claims, refused }
    }
}

impl Inlet for LogInlet {
    fn claims(&self, topic: &str) -> bool {
        self.claims.claims(topic)
    }

    fn claims_version(&self) -> u64 {
        self.claims.version()
    }

    fn device_of<'a>(&self, topic: &'a str) -> Option<&'a str> {
        self.claims.device(topic)
    }

    fn refused(&self, topic: &str) {
        if let Some(device) = self.device_of(topic) {
            self.refused.note(device);
        }
    }

    async fn submit(&self, delivery: Delivery) {
        if let Err(entry) = self.log.try_append(Entry::publishes(delivery)) {
            self.log.append(entry).await;
        }
    }
}

impl BridgeInlet for LogInlet {
    fn filters(&self) -> Vec<String> {
        self.claims.filters()
    }
}
