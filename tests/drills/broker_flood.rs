//! Clients that mean harm flood the broker: strangers who say nothing, who guess passwords, and who send
//! what is no MQTT; and devices gone wild that publish as fast as they can, what nobody can read, what is
//! too large and in others' names. The fleet goes on beside them, and every account balances.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::{Drill, RULES, credentials};
use crate::support::load::Load;
use crate::support::raw::{connect, packet, publish};
use crate::support::service::{Service, Settings, poll, spawn};

/// Where the flood comes from: another source than the fleet.
const FROM: &str = "127.0.0.66:0";
/// Strangers of each kind at once.
const STRANGERS: usize = 60;
/// What the service may hold beyond what it held before.
const GROWTH_BYTES_MAX: u64 = 200 << 20;

/// What a stranger sends before it waits to be sent away; the last is no MQTT at all.
static GREETINGS: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let mut endless = packet(0x10, &[]);
    endless.splice(1.., [0xFF, 0xFF, 0xFF, 0x7F]);
    [
        Vec::new(),
        connect(4, "guess", "oven-1", "bwd_guessed"),
        endless,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50),
    ]
});

/// A flood that goes on until it is stopped.
struct Flood {
    stop: Arc<AtomicBool>,
    n_sent_away: Arc<AtomicU64>,
    running: Vec<JoinHandle<()>>,
}

impl Flood {
    fn begin(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let n_sent_away = Arc::new(AtomicU64::new(0));
        let strangers = (0..STRANGERS).flat_map(|_| 0..GREETINGS.len());
        let running = strangers.map(|kind| {
            let (stop, n_sent_away) = (Arc::clone(&stop), Arc::clone(&n_sent_away));
            spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    stranger(address, &GREETINGS[kind]).await;
                    n_sent_away.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let running = running.collect();
        Self { stop, n_sent_away, running }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.running {
            task.await.unwrap();
        }
        self.n_sent_away.load(Ordering::Relaxed)
    }
}

/// Connects from the flood's address.
async fn dial(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(FROM.parse().unwrap())?;
    socket.connect(address).await
}

/// One that comes, says so much, and stays until it is sent away.
async fn stranger(address: SocketAddr, greeting: &[u8]) {
    let mut pulse = poll();
    pulse.tick().await;
    let Ok(mut stream) = dial(address).await else {
        pulse.tick().await;
        return;
    };
    let _sent_away = stream.write_all(greeting).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    pulse.tick().await;
}

/// A device that is let in and publishes without end, `payloads` in turn, as fast as it is read; how many
/// were acknowledged when it is told to stop.
struct Wild {
    stop: Arc<AtomicBool>,
    running: JoinHandle<u64>,
}

impl Wild {
    fn begin(address: SocketAddr, name: &'static str, token: &str, payloads: &[Vec<u8>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, payloads) = (Arc::clone(&stop), payloads.to_vec());
        let hello = connect(4, name, name, token);
        let running = spawn(async move {
            let (mut n, mut acknowledged) = (0, 0);
            let mut pulse = poll();
            while !told.load(Ordering::Relaxed) {
                acknowledged += connection(address, &hello, name, &payloads, &mut n, &told).await;
                pulse.tick().await;
            }
            acknowledged
        });
        Self { stop, running }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.unwrap()
    }
}

/// One connection of a wild device, until it ends or is told to; how many it had acknowledged.
async fn connection(
    address: SocketAddr,
    hello: &[u8],
    name: &str,
    payloads: &[Vec<u8>],
    n: &mut u64,
    told: &AtomicBool,
) -> u64 {
    let Ok(mut stream) = dial(address).await else { return 0 };
    let mut connack = [0; 4];
    let greeted = stream.write_all(hello).await.is_ok();
    if !greeted || stream.read_exact(&mut connack).await.is_err() || connack[3] != 0 {
        return 0;
    }
    let topic = format!("devices/{name}/telemetry");
    let mut acknowledged = 0;
    while !told.load(Ordering::Relaxed) {
        // A hundred at once, and then their acknowledgements.
        let mut bytes = Vec::new();
        for id in 1..=100 {
            let mut payload = payloads[usize::try_from(*n).unwrap() % payloads.len()].clone();
            *n += 1;
            payload.extend(format!("{{\"wild\": {n}}}").as_bytes());
            bytes.extend(publish(id, topic.as_bytes(), &payload));
        }
        if stream.write_all(&bytes).await.is_err() {
            break;
        }
        for _ in 0..100 {
            if stream.read_exact(&mut [0; 4]).await.is_err() {
                return acknowledged;
            }
            acknowledged += 1;
        }
    }
    acknowledged
}

/// One that publishes what it may not: too large, and in another's name. Each ends its connection.
async fn trespasser(address: SocketAddr, token: &str) -> u64 {
    let mut n_ended = 0;
    let large = publish(1, b"devices/large/telemetry", &vec![b'1'; 2 << 20]);
    let foreign = publish(1, b"devices/oven-1/telemetry", b"{\"temperature\": 99}");
    for bytes in [&large, &foreign].repeat(5) {
        let mut stream = dial(address).await.unwrap();
        stream.write_all(&connect(4, "large", "large", token)).await.unwrap();
        let _sent_away = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        assert!(answer.len() <= 4, "nothing is acknowledged: {answer:?}");
        n_ended += 1;
    }
    n_ended
}

/// Bytes of memory that the service holds.
fn resident_bytes(service: &Service) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// What a device's account must come to: `n` received, or up to a connection's worth more, which was on
/// its way.
async fn account_of(service: &Service, device: &str, fate: &str, n: u64) {
    let path = format!("/api/v1/devices/{device}/audit");
    let audit = service.wait_for(&path, |audit| audit["received"].as_u64() >= Some(n)).await;
    let count = |key: &str| audit[key].as_u64().unwrap();
    let sum = count("stored") + count("duplicate") + count("quarantined") + count("refused");
    assert_eq!(count("received"), sum, "{audit}");
    assert_eq!(count(fate), sum, "{audit}");
    assert!(sum <= n + 100, "{n} were acknowledged: {audit}");
    assert_eq!(audit["seq"]["gaps"], json!([]), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_flood() {
    let settings = Settings { rules: Some(RULES.to_owned()), ..Settings::guarded() }
        .set("BELLWIRE_MQTT_CONNECT_TIMEOUT_MS", 1_000)
        .set("BELLWIRE_MQTT_DOOR_UNLIMITED_SOURCES", "127.0.0.1/32")
        .set("BELLWIRE_MQTT_DOOR_HANDSHAKES_PER_SOURCE_MAX", 50)
        .set("BELLWIRE_MQTT_RATE_PUBLISHES_PER_SECOND_MAX", 2_000)
        .set("BELLWIRE_MQTT_RATE_PUBLISHES_BURST", 2_000);
    let service = Service::start(settings).await;
    let (login, oven) = credentials(&service).await;
    let mut tokens = Vec::new();
    for device in ["wild", "garbled", "large"] {
        tokens.push(service.run(&["device", "add", device]).await);
    }
    let mut fleet = Load::config(&service, "fleet", super::rate());
    fleet.login = Some(login);
    let mut drill = Drill::begin_as(service, fleet, Some(oven)).await;

    let address: SocketAddr = drill.service.mqtt().parse().unwrap();
    let before = resident_bytes(&drill.service);
    let flood = Flood::begin(address);
    let wild = Wild::begin(address, "wild", &tokens[0], &[Vec::new()]);
    let garbled = [b"{".to_vec(), b"\xFF\x00".to_vec(), b"[[[[".repeat(500)];
    let garbled = Wild::begin(address, "garbled", &tokens[1], &garbled);
    drill.say("the flood begins");
    drill.goes_on("beside the flood").await;
    let n_ended = trespasser(address, &tokens[2]).await;
    drill.goes_on("beside the flood, and trespassers").await;
    drill.pages("BellwireQuarantineRising").await;
    let held = resident_bytes(&drill.service).saturating_sub(before);
    assert!(held < GROWTH_BYTES_MAX, "{held} bytes more than before");
    let (n_wild, n_garbled) = (wild.end().await, garbled.end().await);
    let n_sent_away = flood.end().await;
    drill.say(&format!(
        "the flood ends: {n_sent_away} strangers and {n_ended} trespassers were sent away, {n_wild} \
         publishes of a wild device were taken and {n_garbled} set aside; {} MB more memory",
        held >> 20
    ));
    assert!(n_sent_away > 0 && n_wild > 0 && n_garbled > 0);
    account_of(&drill.service, "wild", "stored", n_wild).await;
    account_of(&drill.service, "garbled", "quarantined", n_garbled).await;
    let (status, _) = drill.service.get("/api/v1/devices/large/audit").await;
    assert_eq!(status, 404, "nothing of it was taken");
    drill.end(&["Refus", "refused", "Closing", "handshake", "attempts"]).await;
}
