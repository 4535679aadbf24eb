//! What it costs to let a client in: connects over TCP with user and token, reads CONNACK,
//! disconnects; and what a topic and a filter cost the rules.
//!
//! `cargo run --release -p bellwire-broker --example connect_bench -- [seconds] [threads] [accounts]`
//!
//! CPU time is that of the broker's threads, by the kernel's account.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bellwire_broker::access::{
    AccessMetrics, Account, Acl, Changes, Gatekeeper, Guard, Hello, NotRegistered, OpenDoor,
    Principal, Registrar, Registration, Scope, SecretHash, Standing,
};
use bellwire_broker::{Broker, Config, Inlet, Metrics, Peer, SharedSessions};
use bellwire_model::{Clock, Delivery, DeviceId, Outcome, Timestamp, TopicFilter};
use support::cpu_time;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Debug)]
struct Nothing;

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

impl Inlet for Nothing {
    fn claims(&self, _topic: &str) -> bool {
        true
    }

    async fn submit(&self, delivery: Delivery) {
        delivery.receipt.settle(Outcome::Durable);
    }
}

impl Registrar for Nothing {
    fn register<'a>(
        &'a self,
        _registration: &'a Registration,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotRegistered>> + Send + 'a>> {
        Box::pin(std::future::ready(Err(NotRegistered::Refused)))
    }
}

fn name(n: usize) -> String {
    format!("device-{n:06}")
}

fn token(n: usize) -> String {
    format!("bwd_{n:048x}")
}

fn guard(n_accounts: usize) -> Guard {
    let metrics = AccessMetrics::register(&prometheus::Registry::new()).expect("a new registry");
    let acl = Arc::new(Acl::strict(Vec::new()));
    let guard = Guard::new(acl, Arc::new(Nothing), Arc::new(Nothing), metrics);
    let account = |n| Account {
        principal: Principal::Device(DeviceId::new(&name(n)).expect("an id")),
        speaks_for: Vec::new(),
        standing: Standing::Active,
        secret: Some(SecretHash::of(token(n).as_bytes())),
        previous: None,
    };
    let accounts = (0..n_accounts).map(account).collect();
    let changes = Changes { scope: Scope::All, accounts, provisioning: Vec::new() };
    let gone = guard.apply(changes);
    assert!(gone.is_empty(), "nobody is connected");
    guard
}

fn hello(n: usize) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\xC2\0\x3C".to_vec();
    for text in [name(n), name(n), token(n)] {
        body.extend(u16::try_from(text.len()).expect("short").to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut packet = vec![0x10, u8::try_from(body.len()).expect("short")];
    packet.extend(body);
    packet
}

/// Connects one after the other until `end`; gives how many came in.
fn connects(address: SocketAddr, first: usize, step: usize, n: usize, end: Instant) -> u64 {
    let mut n_admitted = 0;
    let mut device = first;
    while Instant::now() < end {
        let mut stream = TcpStream::connect(address).expect("the broker listens");
        stream.write_all(&hello(device)).expect("the broker reads");
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).expect("CONNACK");
        assert_eq!(connack, [0x20, 2, 0, 0]);
        stream.write_all(&[0xE0, 0]).expect("the broker reads");
        n_admitted += 1;
        device = (device + step) % n;
    }
    n_admitted
}

async fn measure(what: &str, door: Arc<dyn Gatekeeper>, load: Load) {
    let metrics = Metrics::register(&prometheus::Registry::new()).expect("a new registry");
    let mut config =
        Config { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Config::default() };
    config.door.connects_per_second_max = 0;
    let tracker = TaskTracker::new();
    let sessions = SharedSessions::new(&config, metrics).expect("valid");
    let (inlet, clock) = (Arc::new(Nothing), Arc::new(Nothing));
    let broker = Broker::bind(config, &sessions, inlet, door, clock, tracker.clone())
        .await
        .expect("a free port");
    let address = broker.local_addrs()[0];
    let shutdown = CancellationToken::new();
    tracker.spawn(broker.run(shutdown.clone()));
    let end = Instant::now() + Duration::from_secs(load.seconds);
    let (before, Load { n_threads, n_accounts, .. }) = (cpu_time("broker"), load);
    let clients: Vec<_> = (0..n_threads)
        .map(|first| {
            let client = thread::Builder::new().name("load".into());
            let run = move || connects(address, first, n_threads, n_accounts, end);
            client.spawn(run).expect("a thread")
        })
        .collect();
    let joining = move || clients.into_iter().map(|it| it.join().expect("it ends")).sum::<u64>();
    let n_admitted = tokio::task::spawn_blocking(joining).await.expect("it ends");
    let cpu = cpu_time("broker") - before;
    println!(
        "{what}: {:.0} connects/s, {:.1} µs of CPU each in the broker",
        n_admitted as f64 / load.seconds as f64,
        cpu.as_secs_f64() * 1e6 / n_admitted as f64,
    );
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
}

/// Nanoseconds of one `work`.
fn nanos(mut work: impl FnMut(usize)) -> f64 {
    const TIMES: usize = 200_000;
    let begun = Instant::now();
    (0..TIMES).for_each(&mut work);
    begun.elapsed().as_secs_f64() * 1e9 / TIMES as f64
}

/// What the decisions alone cost.
async fn decisions(guard: &Guard, n_accounts: usize) {
    let peer = Peer::at(([127, 0, 0, 1], 1).into());
    let token = token(7 % n_accounts);
    let name = name(7 % n_accounts);
    let hello =
        Hello { client: None, user: Some(&name), password: Some(token.as_bytes()), peer: &peer };
    let grant = guard.admit(hello).await.expect("admitted");
    let begun = Instant::now();
    for _ in 0..200_000 {
        guard.admit(hello).await.expect("admitted");
    }
    let admit = begun.elapsed().as_secs_f64() * 1e9 / 200_000.0;
    let own = format!("devices/{name}/telemetry/temperature");
    let publish = nanos(|_| assert!(grant.may_publish(&own)));
    let denied = nanos(|_| assert!(!grant.may_publish("devices/another/telemetry")));
    let filter = TopicFilter::new(&format!("devices/{name}/commands/#")).expect("a filter");
    let subscribe = nanos(|_| assert!(grant.may_subscribe(&filter)));
    println!(
        "admission {admit:.0} ns; may publish: own {publish:.0} ns, another's {denied:.0} ns; may \
         subscribe {subscribe:.0} ns"
    );
}

/// How much load there is.
#[derive(Clone, Copy)]
struct Load {
    seconds: u64,
    n_threads: usize,
    n_accounts: usize,
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|it| it.parse::<usize>());
    let mut number = |default| arguments.next().and_then(Result::ok).unwrap_or(default);
    let seconds = u64::try_from(number(3)).expect("few");
    let load = Load { seconds, n_threads: number(4), n_accounts: number(10_000) };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).thread_name("broker").enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let guard = Arc::new(guard(load.n_accounts));
        decisions(&guard, load.n_accounts).await;
        measure("with credentials", Arc::<Guard>::clone(&guard), load).await;
        measure("without", Arc::new(OpenDoor), load).await;
    });
}
