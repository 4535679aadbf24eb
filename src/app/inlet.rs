//! Broker → log: a delivery becomes an entry; while the log has no room, the socket waits here.

use std::sync::Arc;

use bellwire_broker::Inlet;
use bellwire_broker::bridge::BridgeInlet;
use bellwire_ingest::log::{Entry, Log};
use bellwire_ingest::topics::SharedClaims;
use bellwire_model::Delivery;

/// The log, as the broker sees it.
#[derive(Debug)]
pub struct LogInlet {
    log: Arc<dyn Log>,
    claims: SharedClaims,
}

impl LogInlet {
    /// An inlet into `log`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, claims: SharedClaims) -> Self {
        Self { log, claims }
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
