//! The driver over a pipe, in time that passes when everything waits.

use std::sync::Mutex;
use std::time::Duration;

use bellwire_model::Timestamp;
use futures_util::FutureExt as _;
use prometheus::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use super::*;
use crate::config::Config;
use crate::door::turnstile::Turnstile;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::refusals::Refusals;

/// Has as much room as it has permits, and keeps what it takes.
#[derive(Debug)]
struct Log {
    room: Semaphore,
    taken: Mutex<Vec<Delivery>>,
}

impl Inlet for Log {
    fn claims(&self, topic: &str) -> bool {
        topic.starts_with("t/")
    }

    async fn submit(&self, delivery: Delivery) {
        self.room.acquire().await.map(SemaphorePermit::forget).expect("never closed");
        self.taken.lock().expect("not poisoned").push(delivery);
    }
}

#[derive(Debug)]
struct Epoch;

impl bellwire_model::Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// One served connection, and the client's end of it.
struct Served {
    client: DuplexStream,
    shared: Arc<Shared<Log>>,
    tracker: TaskTracker,
    began: Instant,
}

impl Served {
    fn new(room: usize) -> Self {
        Self::with(&Config::default(), room)
    }

    fn with(config: &Config, room: usize) -> Self {
        let limits = Arc::new(config.limits().expect("in range"));
        let metrics = Metrics::register(&Registry::new()).expect("fresh registry");
        let shared = Arc::new(Shared {
            inlet: Arc::new(Log { room: Semaphore::new(room), taken: Mutex::default() }),
            gatekeeper: Arc::new(crate::access::OpenDoor),
            hub: Arc::new(Hub::new(&limits, metrics.clone())),
            limits: Arc::clone(&limits),
            metrics,
            started_at: Timestamp::EPOCH,
            clock: Arc::new(Epoch),
            closings: Mutex::new(Refusals::of_closings(Instant::now().into_std())),
        });
        let (client, server) = duplex(1024);
        let tracker = TaskTracker::new();
        let turnstile =
            Arc::new(Turnstile::new(limits.door.clone(), 1, shared.metrics.door.clone()));
        let turn = turnstile.turn().now_or_never().expect("the first");
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let pass = turnstile.enter(turn, address).expect("the first");
        tracker.spawn(serve(server, Peer::at(address), Arc::clone(&shared), pass));
        Self { client, shared, tracker, began: Instant::now() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.expect("the broker reads");
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        self.client.read_exact(&mut read).await.expect("the broker writes");
        assert_eq!(read, bytes);
    }

    /// Waits for the end; gives what came before it and when that was, in seconds.
    async fn end(&mut self) -> (Vec<u8>, u64) {
        let mut read = Vec::new();
        self.client.read_to_end(&mut read).await.expect("the broker closes");
        (read, self.began.elapsed().as_secs())
    }

    fn n_closed(&self, kind: CloseKind) -> u64 {
        self.shared.metrics.closed(kind).get()
    }
}

const CONNECT_V3: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x0A\0\x01c";
const CONNECT_V5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\x0A\0\0\x01c";
/// With the will `t/w`.
const CONNECT_WILL: &[u8] = b"\x10\x15\0\x04MQTT\x04\x06\0\x0A\0\x01c\0\x03t/w\0\x01x";
const PUBLISH: &[u8] = b"\x32\x07\0\x03t/a\0\x01";

/// Lets time pass, which is paused: timers on the way fire, and nothing really waits.
async fn pass(time: Duration) {
    let passed = tokio::time::timeout(time, std::future::pending::<()>()).await;
    assert!(passed.is_err(), "pending never ends");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stranger_is_closed_after_the_connect_timeout() {
    let mut served = Served::new(0);
    served.send(&CONNECT_V3[..3]).await;
    assert_eq!(served.end().await, (vec![], 10));
    assert_eq!(served.n_closed(CloseKind::ConnectTimeout), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_after_one_and_a_half_keepalives() {
    let mut served = Served::new(0);
    pass(Duration::from_secs(9)).await;
    served.send(CONNECT_V5).await;
    pass(Duration::from_secs(14)).await;
    served.send(b"\xC0\0").await;
    let (read, at_s) = served.end().await;
    assert_eq!(at_s, 9 + 14 + 15);
    assert_eq!(read[read.len() - 5..], [0xD0, 0, 0xE0, 1, 0x8D]);
}

#[tokio::test(start_paused = true)]
async fn keepalive_is_suspended_while_the_log_has_no_room() {
    let mut served = Served::new(0);
    served.send(&[CONNECT_V3, PUBLISH].concat()).await;
    served.expect(&[0x20, 2, 0, 0]).await;
    pass(Duration::from_secs(1000)).await;
    assert_eq!(served.shared.metrics.connections_held.get(), 1);
    served.shared.inlet.room.add_permits(1);
    // Taken, and not on disk for longer than the keepalive allows.
    pass(Duration::from_secs(1000)).await;
    assert_eq!(served.shared.metrics.connections_held.get(), 0);
    let taken = served.shared.inlet.taken.lock().expect("not poisoned").pop().expect("a delivery");
    taken.receipt.settle(Outcome::Durable);
    served.expect(&[0x40, 2, 0, 1]).await;
    assert_eq!(served.end().await, (vec![], 2000 + 15), "then it counts again");
}

#[tokio::test(start_paused = true)]
async fn a_client_lost_while_held_fires_no_will() {
    let mut served = Served::new(0);
    served.send(&[CONNECT_WILL, PUBLISH].concat()).await;
    served.expect(&[0x20, 2, 0, 0]).await;
    pass(Duration::from_secs(1)).await;
    let client = ClientId::new("c").expect("valid");
    let session = served.shared.hub.session(&client).expect("it is connected");
    session.attach(&served.shared.hub.join());
    served.end().await;
    drop(served.client);
    served.tracker.close();
    served.tracker.wait().await;
    assert_eq!(served.shared.metrics.closed(CloseKind::TakenOver).get(), 1);
    assert_eq!(served.shared.metrics.wills_published.get(), 0);
    assert!(served.shared.inlet.taken.lock().expect("not poisoned").is_empty());
    assert_eq!(served.shared.metrics.connections_held.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_will_that_finds_no_room_is_given_up_and_counted() {
    let mut served = Served::new(0);
    served.send(CONNECT_WILL).await;
    served.expect(&[0x20, 2, 0, 0]).await;
    drop(served.client);
    served.tracker.close();
    served.tracker.wait().await;
    assert_eq!(served.began.elapsed().as_secs(), 5, "shutdown_timeout_ms");
    assert_eq!(served.shared.metrics.wills_published.get(), 1);
    assert_eq!(served.shared.metrics.publishes_lost.get(), 1);
    assert_eq!(served.shared.metrics.connections.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connect_byte_by_byte_has_no_more_time_than_another() {
    let mut served = Served::new(0);
    for &byte in CONNECT_V3.iter().take(9) {
        served.send(&[byte]).await;
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(served.end().await, (vec![], 10));
    assert_eq!(served.n_closed(CloseKind::ConnectTimeout), 1);
}

#[tokio::test(start_paused = true)]
async fn who_publishes_too_much_waits_and_neither_loses_nor_is_lost() {
    let mut config = Config::default();
    config.rate.publishes_per_second_max = 1;
    config.rate.publishes_burst = 10;
    let mut served = Served::with(&config, 1000);
    // A keepalive of 10 s.
    served.send(CONNECT_V3).await;
    served.expect(&[0x20, 2, 0, 0]).await;
    let publishes: Vec<u8> =
        (0..50_u8).flat_map(|n| [&b"\x32\x07\0\x03t/a\0"[..], &[n + 1]].concat()).collect();
    served.send(&publishes).await;
    pass(Duration::from_millis(1)).await;
    let metrics = served.shared.metrics.door.clone();
    assert_eq!((metrics.throttled.get(), metrics.throttles.get()), (1, 1));
    let taken = || {
        let taken = served.shared.inlet.taken.lock().expect("not poisoned");
        taken.iter().map(|delivery| delivery.publishes.len()).sum::<usize>()
    };
    // It was read at once, 512 bytes at a time; the debt is what counts.
    assert_eq!(taken(), 50);
    for delivery in served.shared.inlet.taken.lock().expect("not poisoned").drain(..) {
        delivery.receipt.settle(Outcome::Durable);
    }
    let acks: Vec<u8> = (0..50_u8).flat_map(|n| [0x40, 2, 0, n + 1]).collect();
    served.expect(&acks).await;
    served.send(b"\xC0\0").await;
    pass(Duration::from_secs(39)).await;
    assert_eq!(metrics.throttled.get(), 1, "40 publishes of debt, one a second");
    pass(Duration::from_secs(3)).await;
    assert_eq!(metrics.throttled.get(), 0);
    served.expect(&[0xD0, 0]).await;
    let (rest, at_s) = served.end().await;
    assert_eq!(rest, b"", "then the keepalive counts again");
    assert!((55..57).contains(&at_s), "{at_s}");
}
