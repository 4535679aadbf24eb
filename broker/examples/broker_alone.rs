//! The broker without a log: every receipt is settled at once. To try clients and conformance
//! suites on.
//!
//! `cargo run -p bellwire-broker --example broker_alone -- [127.0.0.1:1883]`, until Ctrl-C.

use std::sync::Arc;

use bellwire_broker::access::OpenDoor;
use bellwire_broker::{Broker, Config, Inlet, Metrics, SharedSessions};
use bellwire_model::{Clock, Delivery, Outcome, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Debug)]
struct SettlesAll;

impl Inlet for SettlesAll {
    fn claims(&self, topic: &str) -> bool {
        topic.starts_with("devices/")
    }

    async fn submit(&self, delivery: Delivery) {
        delivery.receipt.settle(Outcome::Durable);
    }
}

impl Clock for SettlesAll {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let metrics = Metrics::register(&prometheus::Registry::new())?;
    let tracker = TaskTracker::new();
    let sessions = SharedSessions::new(&config, metrics)?;
    let (inlet, door, clock) = (Arc::new(SettlesAll), Arc::new(OpenDoor), Arc::new(SettlesAll));
    let broker = Broker::bind(config, &sessions, inlet, door, clock, tracker.clone()).await?;
    println!("listening on {:?}", broker.local_addrs());
    let shutdown = CancellationToken::new();
    tracker.spawn(broker.run(shutdown.clone()));
    tracker.close();
    tokio::signal::ctrl_c().await?;
    shutdown.cancel();
    tracker.wait().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    if let Some(address) = std::env::args().nth(1) {
        config.listen = vec![address.parse()?];
    }
    tokio::runtime::Runtime::new()?.block_on(serve(config))
}
