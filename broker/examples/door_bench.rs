//! What it costs to come in, and to stay: handshakes per second and per CPU-second, and user memory
//! of an idle connection that is subscribed to its own command topic, for each transport.
//!
//! `cargo run --release -p bellwire-broker --example door_bench -- [seconds] [idle connections]`
//!
//! The clients are a process of their own, and so is the broker of each transport: its memory and
//! CPU time are those of this one transport.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwire_broker::access::OpenDoor;
use bellwire_broker::{Broker, Config, Inlet, Metrics, SharedSessions, TlsConfig, Transport};
use bellwire_model::{Clock, Delivery, Outcome, Timestamp};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Connections that a client process opens at a time.
const AT_ONCE: usize = 16;

#[derive(Debug)]
struct SettlesAll;

impl Inlet for SettlesAll {
    fn claims(&self, topic: &str) -> bool {
        topic.ends_with("/telemetry")
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

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [role, kind, address, cert, n] = arguments.as_slice() {
        let client = Client::new(kind, address.parse()?, cert)?;
        return match role.as_str() {
            "connect" => runtime.block_on(connect_for(client, n.parse()?)),
            _ => runtime.block_on(stay(client, n.parse()?)),
        };
    }
    if let [seconds, n_idle, kind] = arguments.as_slice() {
        return runtime.block_on(bench(seconds.parse()?, n_idle.parse()?, kind));
    }
    println!("kind          connects/s   CPU-ms each   KB per idle connection");
    for kind in ["tcp", "tls", "tls-resumed", "ws", "wss"] {
        let seconds = arguments.first().map_or("3", String::as_str);
        let n_idle = arguments.get(1).map_or("2000", String::as_str);
        let itself = std::env::current_exe()?;
        Command::new(itself).args([seconds, n_idle, kind]).status()?;
    }
    Ok(())
}

/// Starts a broker, and clients of one kind: first those that stay, while its memory is fresh.
async fn bench(seconds: u64, n_idle: u64, kind: &str) -> Result<(), Failure> {
    let dir = std::env::temp_dir().join(format!("bellwire-door-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let any = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let mut config = Config {
        listen: any.clone(),
        tls_listen: any.clone(),
        websocket_listen: any.clone(),
        websocket_tls_listen: any,
        connections_max: 100_000,
        tls: TlsConfig {
            cert_file: Some(cert.clone()),
            key_file: Some(key),
            ..TlsConfig::default()
        },
        ..Config::default()
    };
    config.door.connects_per_second_max = 0;
    let metrics = Metrics::register(&prometheus::Registry::new())?;
    let tracker = TaskTracker::new();
    let sessions = SharedSessions::new(&config, metrics)?;
    let (inlet, door, clock) = (Arc::new(SettlesAll), Arc::new(OpenDoor), Arc::new(SettlesAll));
    let broker = Broker::bind(config, &sessions, inlet, door, clock, tracker.clone()).await?;
    let address = broker.addresses(match kind {
        "tcp" => Transport::Tcp,
        "ws" => Transport::WebSocket,
        "wss" => Transport::WebSocketTls,
        _ => Transport::Tls,
    })[0];
    let handle = broker.handle();
    let shutdown = CancellationToken::new();
    tracker.spawn(broker.run(shutdown.clone()));
    // What is made once is no connection's.
    clients("connect", kind, address, &cert, 1)?.1.wait()?;
    let before = resident_kb();
    let (_, mut child) = clients("stay", kind, address, &cert, n_idle)?;
    let idle_kb = (resident_kb() - before) / n_idle as f64;
    drop(child.stdin.take());
    child.wait()?;
    while handle.connections() > 0 {
        tokio::task::yield_now().await;
    }
    let before = cpu_ms();
    let n: f64 = clients("connect", kind, address, &cert, seconds)?.0.trim().parse()?;
    let each_ms = (cpu_ms() - before) / n;
    println!("{kind:12}  {:10.0}   {each_ms:11.3}   {idle_kb:10.1}", n / seconds as f64);
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Runs clients; gives the first line that they say, and them.
fn clients(
    role: &str,
    kind: &str,
    address: SocketAddr,
    cert: &Path,
    n: u64,
) -> Result<(String, Child), Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([role, kind, &address.to_string()])
        .arg(cert)
        .arg(n.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    tokio::task::block_in_place(|| BufReader::new(stdout).read_line(&mut line))?;
    Ok((line, child))
}

#[derive(Clone)]
struct Client {
    kind: String,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Client {
    fn new(kind: &str, address: SocketAddr, cert: &str) -> Result<Self, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(cert)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if kind != "tls-resumed" {
            tls.resumption = Resumption::disabled();
        }
        Ok(Self { kind: kind.to_owned(), address, tls: Arc::new(tls) })
    }

    /// Connects with MQTT and subscribes to the client's commands; the stream stays open as long as
    /// what is returned.
    async fn connect(&self, n: u64) -> Result<Box<dyn Send>, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = || ServerName::try_from("localhost");
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        match self.kind.as_str() {
            "tcp" => enter(stream, n).await,
            "tls" | "tls-resumed" => enter(tls.connect(name()?, stream).await?, n).await,
            "ws" => enter_websocket(stream, n).await,
            _ => enter_websocket(tls.connect(name()?, stream).await?, n).await,
        }
    }
}

fn hello(n: u64) -> Vec<u8> {
    let id = format!("{n:08}");
    let filter = format!("devices/{id}/commands");
    let mut bytes = b"\x10\x14\0\x04MQTT\x04\x02\0\0\0\x08".to_vec();
    bytes.extend(id.as_bytes());
    bytes.extend([0x82, 5 + filter.len() as u8, 0, 1, 0, filter.len() as u8]);
    bytes.extend(filter.as_bytes());
    bytes.push(1);
    bytes
}

/// CONNACK and SUBACK.
const ANSWER: [u8; 9] = [0x20, 2, 0, 0, 0x90, 3, 0, 1, 1];

async fn enter<S>(mut stream: S, n: u64) -> Result<Box<dyn Send>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    stream.write_all(&hello(n)).await?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    if answer == ANSWER { Ok(Box::new(stream)) } else { Err("refused".into()) }
}

async fn enter_websocket<S>(stream: S, n: u64) -> Result<Box<dyn Send>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    use futures_util::{SinkExt as _, StreamExt as _};
    let mut request = "ws://localhost/mqtt".into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse()?);
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    socket.send(Message::Binary(hello(n).into())).await?;
    let mut read = 0;
    while read < ANSWER.len() {
        read += socket.next().await.ok_or("ended")??.len();
    }
    Ok(Box::new(socket))
}

/// Connects and leaves, over and over; says how often.
async fn connect_for(client: Client, seconds: u64) -> Result<(), Failure> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let n = Arc::new(AtomicU64::new(0));
    let tasks = TaskTracker::new();
    for _ in 0..AT_ONCE {
        let (client, n) = (client.clone(), Arc::clone(&n));
        tasks.spawn(async move {
            while Instant::now() < end {
                if let Err(error) = client.connect(n.fetch_add(1, Ordering::Relaxed)).await {
                    eprintln!("{error}");
                }
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    say(&n.load(Ordering::Relaxed).to_string())
}

/// Opens `n` connections, says so, and keeps them until stdin ends.
async fn stay(client: Client, n: u64) -> Result<(), Failure> {
    let mut streams = Vec::new();
    for number in 0..n {
        streams.push(client.connect(number).await?);
    }
    say("ready")?;
    tokio::task::block_in_place(|| std::io::stdin().read_line(&mut String::new()))?;
    Ok(())
}

fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// CPU time of this process so far, in milliseconds.
fn cpu_ms() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let nanos = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e6
}

/// Memory that this process has, in KB.
fn resident_kb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|it| it.split_whitespace().next()?.parse().ok()).expect("Linux says it")
}
