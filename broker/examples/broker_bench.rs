//! What a pipelined QoS 1 publish costs the broker alone: the log is replaced by an inlet that
//! settles every receipt, at once or from a thread of its own as a log does.
//!
//! `cargo run --release -p bellwire-broker --example broker_bench -- [thread|inline] [seconds] [connections] [in-flight]`
//!
//! Publishes of 120 bytes over loopback, by default 32 in flight on 100 connections. CPU time is that
//! of the broker's threads, by the kernel's account.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use bellwire_broker::access::OpenDoor;
use bellwire_broker::{Broker, Config, Inlet, Metrics, SharedSessions};
use bellwire_model::{Clock, Delivery, Outcome, Receipt, Timestamp};
use support::cpu_time;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How much the load generator keeps going.
#[derive(Clone, Copy)]
struct Load {
    n_connections: usize,
    n_in_flight: u16,
}

const PACKET_BYTES: usize = 120;

#[derive(Debug)]
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// Settles receipts in the call, or hands them to a thread.
struct Settler(Option<SyncSender<Receipt>>);

impl Inlet for Settler {
    fn claims(&self, topic: &str) -> bool {
        topic.starts_with("devices/")
    }

    async fn submit(&self, delivery: Delivery) {
        match &self.0 {
            Some(thread) => thread.send(delivery.receipt).expect("the thread lives"),
            None => delivery.receipt.settle(Outcome::Durable),
        }
    }
}

fn settle_all(receipts: &Receiver<Receipt>) {
    while let Ok(first) = receipts.recv() {
        first.settle(Outcome::Durable);
        receipts.try_iter().for_each(|receipt| receipt.settle(Outcome::Durable));
    }
}

fn publishes(connection: usize, n: u16) -> Vec<u8> {
    let topic = format!("devices/device-{connection:03}/telemetry");
    let mut bytes = Vec::new();
    for packet_id in 1..=n {
        let payload_bytes = PACKET_BYTES - 2 - 2 - topic.len() - 2;
        bytes.extend([0x32, u8::try_from(PACKET_BYTES - 2).expect("short")]);
        bytes.extend(u16::try_from(topic.len()).expect("short").to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend(packet_id.to_be_bytes());
        bytes.extend(std::iter::repeat_n(b'x', payload_bytes));
    }
    bytes
}

fn connect(address: SocketAddr, connection: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the broker listens");
    stream.set_nodelay(true).expect("a socket");
    let id = format!("bench-{connection:03}");
    let mut packet = vec![0x10, u8::try_from(12 + id.len()).expect("short")];
    packet.extend(b"\0\x04MQTT\x04\x02\0\0\0");
    packet.push(u8::try_from(id.len()).expect("short"));
    packet.extend(id.as_bytes());
    stream.write_all(&packet).expect("the broker reads");
    stream.read_exact(&mut [0; 4]).expect("CONNACK");
    stream
}

/// Publishes until `end`; gives how many were acknowledged, and the CPU time that took.
fn generate(load: Load, address: SocketAddr, end: Instant) -> (u64, Duration) {
    let mut clients: Vec<_> = (0..load.n_connections)
        .map(|it| (connect(address, it), publishes(it, load.n_in_flight)))
        .collect();
    for (stream, publishes) in &mut clients {
        stream.write_all(publishes).expect("the broker reads");
    }
    let mut acks = vec![0; 4 * usize::from(load.n_in_flight)];
    let mut n_acknowledged = 0;
    while Instant::now() < end {
        for (stream, publishes) in &mut clients {
            stream.read_exact(&mut acks).expect("acknowledgements");
            n_acknowledged += u64::from(load.n_in_flight);
            stream.write_all(publishes).expect("the broker reads");
        }
    }
    (n_acknowledged, cpu_time("load"))
}

async fn serve(inlet: Settler, load: Load, seconds: u64) {
    let registry = prometheus::Registry::new();
    let metrics = Metrics::register(&registry).expect("a fresh registry");
    let config =
        Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Config::default() };
    // What the limits would leave is not what is measured.
    let config = config.without_limits_per_client();
    let tracker = TaskTracker::new();
    let sessions = SharedSessions::new(&config, metrics).expect("valid");
    let (inlet, door, clock) = (Arc::new(inlet), Arc::new(OpenDoor), Arc::new(Epoch));
    let broker = Broker::bind(config, &sessions, inlet, door, clock, tracker.clone())
        .await
        .expect("a free port");
    let address = broker.local_addrs()[0];
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tracker.spawn(broker.run(shutdown));
    let end = Instant::now() + Duration::from_secs(seconds);
    let generator = thread::Builder::new().name("load".into());
    let generator = generator.spawn(move || generate(load, address, end)).expect("a thread");
    let before = cpu_time("broker");
    let (n_acknowledged, load_cpu) =
        tokio::task::spawn_blocking(move || generator.join().expect("it ends")).await.expect("ok");
    let cpu = cpu_time("broker") - before;
    println!(
        "{:.0} acknowledged/s, broker {:.2} CPU-s per million (load generator {:.2})",
        n_acknowledged as f64 / seconds as f64,
        cpu.as_secs_f64() * 1e6 / n_acknowledged as f64,
        load_cpu.as_secs_f64() * 1e6 / n_acknowledged as f64,
    );
    for family in registry.gather() {
        let value = family.get_metric()[0].get_counter().get_value();
        if family.name().ends_with("writes_total") || family.name().ends_with("deliveries_total") {
            println!("{} {value:.0}", family.name());
        }
    }
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let inline = arguments.next().is_some_and(|mode| mode == "inline");
    let seconds = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(5);
    let n_connections = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(100);
    let n_in_flight = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(32);
    let load = Load { n_connections, n_in_flight };
    let (sender, receiver) = sync_channel(1024);
    let inlet = Settler((!inline).then_some(sender));
    let log = thread::Builder::new().name("log".into());
    let log = log.spawn(move || settle_all(&receiver)).expect("a thread");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_name("broker").enable_all().build();
    runtime.expect("a runtime").block_on(serve(inlet, load, seconds));
    log.join().expect("it ends with the broker");
}
