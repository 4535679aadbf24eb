//! The whole broker without sockets, for bytes that no client should send: what it answers must be
//! MQTT, and what it keeps must be bounded. For tests, and for the fuzz targets in `fuzz/`.
//!
//! A connection is played from a script: its bytes, in pieces, and then the end of the stream. It
//! never waits for anything, so it runs to its end in microseconds.

#[cfg(test)]
mod allocations;
mod answers;
mod dice;
mod mutations;
mod packets;
mod script;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use bellwire_model::{Clock, Delivery, Outcome, Timestamp};
use prometheus::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

use crate::access::OpenDoor;
use crate::config::Config;
use crate::connection::serve;
use crate::listener::{Broker, Inlet};
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::sessions::SharedSessions;

pub use dice::Dice;
pub use mutations::{Stream, mutated_stream};
pub use script::Script;

/// Settles every delivery at once: most are durable, some are not, by the device's name.
#[derive(Debug)]
struct QuickLog;

impl Inlet for QuickLog {
    fn claims(&self, topic: &str) -> bool {
        topic.starts_with("t/")
    }

    async fn submit(&self, delivery: Delivery) {
        let said = |word: &str| {
            let mut publishes = delivery.publishes.iter().filter_map(Result::ok);
            publishes.any(|publish| publish.topic.ends_with(word))
        };
        let outcome = if said("/retry") {
            Outcome::Retry
        } else if said("/reject") {
            Outcome::Rejected
        } else {
            Outcome::Durable
        };
        delivery.receipt.settle(outcome);
    }
}

#[derive(Debug)]
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// A broker whose connections are scripts.
#[derive(Debug)]
pub struct Arena {
    runtime: Runtime,
    sessions: SharedSessions,
    broker: Broker<QuickLog>,
}

impl Arena {
    /// A broker with nobody in it. Its limits are the default ones, but for a smaller packet size:
    /// memory that a packet may rightly take would hide what it may not.
    ///
    /// # Panics
    /// If the system gives no event queue.
    #[must_use]
    pub fn new() -> Self {
        let config = Config { listen: Vec::new(), packet_bytes_max: 4096, ..Config::default() };
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let metrics = Metrics::register(&Registry::new()).expect("a fresh registry");
        let sessions = SharedSessions::new(&config, metrics).expect("the defaults are in range");
        let broker = runtime.block_on(Broker::bind(
            config,
            &sessions,
            Arc::new(QuickLog),
            Arc::new(OpenDoor),
            Arc::new(Epoch),
            TaskTracker::new(),
        ));
        Self { runtime, sessions, broker: broker.expect("the defaults are in range") }
    }

    /// Plays a connection to its end; gives how many bytes the broker looked at before that.
    ///
    /// # Panics
    /// If what it answers is not MQTT; the answer is in the message.
    pub fn play(&self, script: &mut Script<'_>) -> u64 {
        let received = &self.broker.shared().metrics.received_bytes;
        let before = received.get();
        self.runtime.block_on(self.serve(&mut *script));
        if let Err(what) = answers::check(script.answer()) {
            panic!("{what}; the answer is {:x?}", script.answer());
        }
        received.get() - before
    }

    /// Serves a connection as if a listener had taken it.
    fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let turnstile = self.broker.turnstile();
        let turn = self.runtime.block_on(turnstile.turn());
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let pass = turnstile.enter(turn, address).expect("there are not that many");
        serve(stream, Peer::at(address), Arc::clone(self.broker.shared()), pass)
    }
}

impl Arena {
    /// Writes down what outlives connections, reads it into a new broker, and gives whether that has
    /// as many sessions.
    ///
    /// # Panics
    /// If what was written cannot be read.
    #[must_use]
    pub fn is_as_good_after_a_restart(&self) -> bool {
        let next = Self::new();
        next.sessions.restore(&self.sessions.image()).expect("what was written is read");
        next.sessions.n_kept() == self.sessions.n_kept()
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// Fuzz target: any bytes from someone who has just connected.
pub fn stranger(bytes: &[u8]) {
    Arena::new().play(&mut Script::whole(bytes));
}

/// Fuzz target: any bytes from a client that was let in; the first byte chooses the version.
pub fn client(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let connect = if first & 1 == 0 { packets::CONNECT_V3 } else { packets::CONNECT_V5 };
    Arena::new().play(&mut Script::whole(&[connect, rest].concat()));
}

/// Fuzz target: well-formed packets with faults; the first eight bytes are the seed.
pub fn mutated(bytes: &[u8]) {
    let Some((seed, _)) = bytes.split_first_chunk() else { return };
    let mut dice = Dice::new(u64::from_be_bytes(*seed));
    let stream = mutated_stream(&mut dice);
    Arena::new().play(&mut Script::in_pieces(&stream.bytes, &mut dice));
}
