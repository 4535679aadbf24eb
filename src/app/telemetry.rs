//! HTTP → log: posts become a delivery like any other, and whoever sent them waits until it is durable.

use std::sync::Arc;
use std::time::Duration;

use bellwire_api::ports::{Post, Posts, Telemetry, TelemetryError, TelemetryFuture};
use bellwire_broker::BrokerHandle;
use bellwire_ingest::log::{Entry, Log};
use bellwire_model::{ClientId, Delivery, Outcome, PublishBatch, PublishRef, QoS};
use tokio::time::timeout;

use super::durably;

/// How long a client waits for room in the log, and for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Whom the log names as the client of posts without a key.
const CLIENT: &str = "http";

/// The log, as HTTP sees it.
#[derive(Debug)]
pub(super) struct HttpInlet {
    log: Arc<dyn Log>,
    broker: BrokerHandle,
}

impl HttpInlet {
    /// An inlet into `log`; what is durable is passed on to subscribers by `broker`.
    pub(super) fn new(log: Arc<dyn Log>, broker: BrokerHandle) -> Self {
        Self { log, broker }
    }

    async fn submit(&self, Posts { key, posts }: Posts) -> Result<(), TelemetryError> {
        let topics: Vec<String> = posts.iter().map(topic).collect();
        let mut publishes = PublishBatch::default();
        for ((topic, post), packet_id) in topics.iter().zip(&posts).zip(1..) {
            publishes.push(&PublishRef {
                topic,
                payload: &post.payload,
                qos: QoS::AtLeastOnce,
                // The repetition of a publish is one that says so, with the same client and number.
                dup: key.is_some(),
                retain: false,
                packet_id,
            });
        }
        let client = match &key {
            Some(key) => ClientId::new(&format!("{CLIENT}/{key}")),
            None => ClientId::new(CLIENT),
        };
        let client = client.map_err(|_| TelemetryError::Refused)?;
        let (receipt, settled) = durably::receipt();
        let delivery = Delivery { client, publishes, session: Vec::new(), receipt };
        let taken = async {
            self.log.append(Entry::publishes(delivery)).await;
            settled.await
        };
        match timeout(PATIENCE, taken).await {
            Ok(Ok(Outcome::Durable)) => {}
            Ok(Ok(Outcome::Rejected)) => return Err(TelemetryError::Refused),
            Ok(Ok(Outcome::Retry) | Err(_)) | Err(_) => return Err(TelemetryError::Later),
        }
        for (topic, post) in topics.iter().zip(&posts) {
            // It is a topic name, since a device's name is a level of one.
            let _subscribers = self.broker.publish(topic, &post.payload, QoS::AtLeastOnce);
        }
        Ok(())
    }
}

fn topic(post: &Post) -> String {
    format!("devices/{}/telemetry", post.device)
}

impl Telemetry for HttpInlet {
    fn take(&self, posts: Posts) -> TelemetryFuture<'_> {
        Box::pin(self.submit(posts))
    }
}
