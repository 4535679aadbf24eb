//! A sink, a clock that stands still, and a way to wait for a state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwire_fleet::sink::{Acks, Received, Seen, Sink, SinkConfig};
use bellwire_fleet::{Bound, FleetConfig, FleetReport, Surroundings};
use bellwire_model::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A sink and what a fleet needs to publish to it.
pub(crate) struct Bench {
    pub(crate) sink: Sink,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop_sink: CancellationToken,
    pub(crate) surroundings: Surroundings,
}

impl Bench {
    pub(crate) async fn start(config: SinkConfig) -> Self {
        let (tasks, stop_sink) = (TaskTracker::new(), CancellationToken::new());
        let sink = Sink::start(config, &tasks, stop_sink.clone()).await.expect("a sink listens");
        let clock = Arc::new(Still(Timestamp::from_secs(1_764_000_000)));
        let surroundings = Surroundings::new(clock, CancellationToken::new());
        Self { sink, tasks, stop_sink, surroundings }
    }

    /// At an address that no outgoing connection has for its own, so that the port stays free while
    /// nobody listens.
    pub(crate) async fn start_apart(last_byte: u8) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, last_byte], 0));
        Self::start(SinkConfig { listen, ..SinkConfig::default() }).await
    }

    pub(crate) async fn acknowledging(acks: Acks) -> Self {
        Self::start(SinkConfig { acks, ..SinkConfig::default() }).await
    }

    pub(crate) fn address(&self) -> String {
        self.sink.address().to_string()
    }

    /// Runs a fleet to its end.
    pub(crate) async fn run(&self, config: FleetConfig) -> FleetReport {
        let config = FleetConfig { address: self.address(), ..config };
        let running = bellwire_fleet::run(config, self.surroundings.clone());
        tokio::time::timeout(PATIENCE, running).await.expect("ends in time").expect("runs")
    }

    /// Ends the sink; gives what it has seen.
    pub(crate) async fn finish(self) -> Seen {
        self.stop_sink.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("the sink ends");
        self.sink.seen()
    }
}

/// Three devices over two connections, as fast as acknowledgements come.
pub(crate) fn small(messages: u64) -> FleetConfig {
    FleetConfig {
        devices: 3,
        connections: 2,
        rate: None,
        in_flight: 8,
        bound: Bound::Messages(messages),
        ..FleetConfig::default()
    }
}

/// The `n` of a payload, where it has one.
pub(crate) fn n_of(received: &Received) -> Option<u64> {
    let text = std::str::from_utf8(&received.payload).ok()?;
    let (_, n) = text.strip_suffix('}')?.rsplit_once("\"n\":")?;
    n.parse().ok()
}

/// Waits for a state of the sink.
pub(crate) async fn wait_until(sink: &Sink, reached: impl Fn(&Seen) -> bool + Send + Sync) {
    tokio::time::timeout(PATIENCE, sink.wait_until(reached)).await.expect("reached in time");
}
