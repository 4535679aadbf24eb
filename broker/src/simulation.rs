//! Two clients exchange QoS 2 messages through a broker that crashes, without sockets and in steps of
//! a seeded dice: whatever happens, each message arrives once, and all arrive.
//!
//! A crash loses what the log has not made durable, and every connection. What the broker knows
//! afterwards is an image that was taken at some time, and the log's changes since then made again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bellwire_model::{Clock, Delivery, Outcome, Timestamp};
use prometheus::Registry;

use crate::access::{Grant, OpenDoor};
use crate::config::{Config, Limits};
use crate::desk::{Desk, Shared};
use crate::flow::{Handled, Ready};
use crate::hub::Hub;
use crate::listener::Inlet;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::ops::Effects;
use crate::refusals::Refusals;
use crate::session::acks::Ticket;
use crate::session::{Event, Session};

const N_MESSAGES: u16 = 12;
/// How many publishes are on their way at a time.
const IN_FLIGHT: usize = 4;

/// xorshift64*, Vigna 2016.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

#[derive(Debug)]
struct Nowhere;

impl Inlet for Nowhere {
    fn claims(&self, _: &str) -> bool {
        false
    }

    async fn submit(&self, _: Delivery) {}
}

impl Clock for Nowhere {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// What waits for the log to become durable.
struct Entry {
    bytes: Vec<u8>,
    effects: Option<Effects>,
    settle: Option<(Arc<Mailbox>, Ticket)>,
}

/// A broker, its log, and the last image of its sessions.
struct Broker {
    limits: Arc<Limits>,
    metrics: Metrics,
    hub: Arc<Hub>,
    durable: Vec<Vec<u8>>,
    queue: VecDeque<Entry>,
    image: (Vec<u8>, usize),
}

/// One connection, on both sides of its session.
struct Connection {
    session: Session,
    desk: Desk<Nowhere>,
    opened: std::time::Instant,
}

impl Broker {
    fn new() -> Self {
        let config = Config { inflight_messages_max: 3, ..Config::default() };
        let limits = Arc::new(config.limits().expect("in range"));
        let metrics = Metrics::register(&Registry::new()).expect("fresh registry");
        let hub = Arc::new(Hub::new(&limits, metrics.clone()));
        let (durable, queue, image) = (Vec::new(), VecDeque::new(), (Vec::new(), 0));
        Self { limits, metrics, hub, durable, queue, image }
    }

    fn open(&self) -> Connection {
        let opened = tokio::time::Instant::now().into_std();
        let shared = Shared {
            inlet: Arc::new(Nowhere),
            gatekeeper: Arc::new(OpenDoor),
            hub: Arc::clone(&self.hub),
            limits: Arc::clone(&self.limits),
            metrics: self.metrics.clone(),
            clock: Arc::new(Nowhere),
            started_at: Timestamp::EPOCH,
            closings: Mutex::new(Refusals::of_closings(opened)),
        };
        let session = Session::new(Arc::clone(&self.limits), opened);
        let mut desk = Desk::open(Arc::new(shared));
        desk.grant = Some(Grant::everything());
        Connection { session, desk, opened }
    }

    /// Makes the first `n` entries durable.
    fn sync(&mut self, n: usize) {
        for entry in self.queue.drain(..n) {
            self.durable.push(entry.bytes);
            if let Some(effects) = entry.effects {
                effects.settle(Outcome::Durable);
            }
            if let Some((mailbox, ticket)) = entry.settle {
                mailbox.settle(ticket, Outcome::Durable);
            }
        }
    }

    fn take_image(&mut self) {
        self.image = (self.hub.image(), self.durable.len());
    }

    fn crash(&mut self) {
        self.queue.clear();
        self.hub = Arc::new(Hub::new(&self.limits, self.metrics.clone()));
        let (image, from) = &self.image;
        self.hub.restore(image).expect("an image");
        for changes in &self.durable[*from..] {
            self.hub.replay(changes).expect("changes");
        }
        self.hub.recovered(Timestamp::EPOCH);
    }
}

impl Connection {
    /// Gives the session what the client sends; gives what it sends back.
    fn exchange(&mut self, mut input: &[u8], broker: &mut Broker) -> Vec<u8> {
        loop {
            let (read_bytes, event) = self.session.receive(input, self.opened, &mut self.desk);
            input = &input[read_bytes..];
            self.submit(broker);
            match event {
                Some(Event::Connect(connect)) => {
                    let client = connect.client_id.clone().expect("it has one");
                    let (present, _) = self.desk.begin(&connect, &client, 600).expect("room");
                    self.session.accept(*connect, &client, present, 600);
                }
                Some(Event::Close(close)) => panic!("{close}"),
                None => break,
            }
        }
        self.poll(broker)
    }

    fn submit(&mut self, broker: &mut Broker) {
        let (batch, mut effects) = (self.session.take_batch(), self.desk.take_effects());
        let ticket = batch.and_then(|batch| batch.ticket);
        if ticket.is_some() || effects.is_some() {
            let bytes = effects.as_mut().map(Effects::take_bytes).unwrap_or_default();
            let settle = ticket.map(|ticket| (Arc::clone(&self.desk.mailbox), ticket));
            broker.queue.push_back(Entry { bytes, effects, settle });
        }
    }

    /// Acts on what was settled and on what waits; gives what is sent.
    fn poll(&mut self, broker: &mut Broker) -> Vec<u8> {
        let mut settled = Vec::new();
        self.desk.mailbox.collect(Waker::noop(), &mut settled);
        for (ticket, outcome) in settled {
            self.session.settle(ticket, outcome);
        }
        self.session.release();
        let Self { session, desk, .. } = self;
        desk.send(session.in_flight_max(), &mut |ready: Ready<'_>, now| -> Handled {
            session.deliver(ready, now)
        });
        self.submit(broker);
        let output = self.session.output().to_vec();
        self.session.sent(output.len());
        output
    }
}

/// A client of MQTT 3.1.1 whose session, like ours, outlives its connections.
#[derive(Default)]
struct Client {
    name: u8,
    connection: Option<Connection>,
    /// Whether the broker has acknowledged its subscription.
    subscribed: bool,
    /// What it sent and is not over: released, or not.
    sent: BTreeMap<u16, bool>,
    n_sent: u16,
    /// QoS 2 messages that it has and that are not released.
    received: BTreeSet<u16>,
    got: Vec<u8>,
    /// What came and has not been read.
    inbox: Vec<u8>,
}

impl Client {
    /// Connects and sends again what is not over.
    fn connect(&mut self, broker: &mut Broker) {
        self.inbox.clear();
        let mut bytes = vec![0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 0, 0, 1, self.name];
        if self.name == b's' && !self.subscribed {
            bytes.extend([0x82, 6, 0, 1, 0, 1, b'm', 2]);
        }
        for (&id, &released) in &self.sent {
            if released {
                bytes.extend([0x62, 2, 0, id as u8]);
            } else {
                bytes.extend([0x3C, 6, 0, 1, b'm', 0, id as u8, id as u8]);
            }
        }
        let mut connection = broker.open();
        self.inbox = connection.exchange(&bytes, broker);
        self.connection = Some(connection);
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.inbox.clear();
    }

    /// Publishes one more.
    fn publish(&mut self, broker: &mut Broker) {
        let Some(connection) = &mut self.connection else { return };
        if self.n_sent < N_MESSAGES && self.sent.len() < IN_FLIGHT {
            self.n_sent += 1;
            let id = self.n_sent as u8;
            self.sent.insert(self.n_sent, false);
            let packet = [0x34, 6, 0, 1, b'm', 0, id, id];
            self.inbox.extend(connection.exchange(&packet, broker));
        }
    }

    /// Has the broker send what it can, and reads one packet.
    fn step(&mut self, broker: &mut Broker) {
        let Some(connection) = &mut self.connection else { return };
        self.inbox.extend(connection.poll(broker));
        if self.inbox.len() < 2 {
            return;
        }
        let length = 2 + usize::from(self.inbox[1]);
        let packet: Vec<u8> = self.inbox.drain(..length).collect();
        if let Some(answer) = self.read(&packet) {
            let connection = self.connection.as_mut().expect("it is connected");
            self.inbox.extend(connection.exchange(&answer, broker));
        }
    }

    fn read(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        match packet {
            [0x50, 2, 0, id] => {
                self.sent.entry(u16::from(*id)).and_modify(|released| *released = true);
                Some(vec![0x62, 2, 0, *id])
            }
            [0x70, 2, 0, id] => {
                self.sent.remove(&u16::from(*id));
                None
            }
            [0x34 | 0x3C, 6, 0, 1, b'm', high, low, payload] => {
                if self.received.insert(u16::from_be_bytes([*high, *low])) {
                    self.got.push(*payload);
                }
                Some(vec![0x50, 2, *high, *low])
            }
            [0x62, 2, high, low] => {
                self.received.remove(&u16::from_be_bytes([*high, *low]));
                Some(vec![0x70, 2, *high, *low])
            }
            [0x90, 3, 0, 1, 2] => {
                self.subscribed = true;
                None
            }
            [0x20, 2, _, 0] => None,
            other => panic!("{other:x?}"),
        }
    }
}

/// One history: random steps, then calm until nothing moves any more.
fn run(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut broker = Broker::new();
    let mut publisher = Client { name: b'p', ..Client::default() };
    let mut subscriber = Client { name: b's', ..Client::default() };
    // Only what comes after the subscription is acknowledged must arrive.
    subscriber.connect(&mut broker);
    while !subscriber.subscribed {
        broker.sync(broker.queue.len());
        subscriber.step(&mut broker);
    }
    publisher.connect(&mut broker);
    for _ in 0..400 {
        match dice.below(24) {
            0 => publisher.connect(&mut broker),
            1 => subscriber.connect(&mut broker),
            2 => publisher.disconnect(),
            3 => subscriber.disconnect(),
            4 => broker.take_image(),
            5 => {
                broker.crash();
                publisher.disconnect();
                subscriber.disconnect();
            }
            6..10 => publisher.publish(&mut broker),
            10..15 => broker.sync(dice.below(broker.queue.len() + 1)),
            15..19 => publisher.step(&mut broker),
            _ => subscriber.step(&mut broker),
        }
    }
    publisher.connect(&mut broker);
    subscriber.connect(&mut broker);
    for _ in 0..300 {
        publisher.publish(&mut broker);
        broker.sync(broker.queue.len());
        publisher.step(&mut broker);
        subscriber.step(&mut broker);
    }
    let expected: Vec<u8> = (1..=N_MESSAGES as u8).collect();
    let mut got = subscriber.got.clone();
    got.sort_unstable();
    assert_eq!(got, expected, "seed {seed}: each message once, and all");
    assert!(publisher.sent.is_empty(), "seed {seed}: everything published is over");
    assert!(subscriber.received.is_empty(), "seed {seed}: everything received is over");
}

/// `BELLWIRE_TEST_SEEDS` says how many histories.
#[test]
fn qos_2_messages_arrive_once_whatever_crashes_and_breaks() {
    let seeds = std::env::var("BELLWIRE_TEST_SEEDS").ok().and_then(|it| it.parse().ok());
    for seed in 1..=seeds.unwrap_or(500) {
        run(seed);
    }
}

/// What has not been heard of for that long is forgotten.
#[test]
fn a_session_ends_when_its_time_is_over_also_after_a_crash() {
    let mut broker = Broker::new();
    let mut subscriber = Client { name: b's', ..Client::default() };
    subscriber.connect(&mut broker);
    broker.sync(broker.queue.len());
    assert_eq!((broker.hub.n_kept(), broker.hub.n_subscriptions()), (1, 1));
    broker.crash();
    assert_eq!((broker.hub.n_kept(), broker.hub.n_subscriptions()), (1, 1));
    let at = |secs| Timestamp::EPOCH + Duration::from_secs(secs);
    let mut effects = Effects::default();
    assert!(broker.hub.expire(at(599), &mut effects).is_empty());
    assert_eq!(broker.hub.expire(at(600), &mut effects).len(), 1);
    assert_eq!((broker.hub.n_kept(), broker.hub.n_subscriptions()), (0, 0));
    let bytes = effects.take_bytes();
    broker.durable.push(bytes);
    broker.crash();
    assert_eq!(broker.hub.n_kept(), 0, "its end is in the log");
}
