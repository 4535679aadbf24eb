//! A broker that only acknowledges: the floor that a real one is measured against, and a partner
//! for tests that misbehaves where it is told to.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::packet;

const READ_BYTES: usize = 64 * 1024;

/// How a sink behaves.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What it does about acknowledgements.
    pub acks: Acks,
    /// After these many publishes over all connections (each counted when it is received), the
    /// connection that brought it is closed, with nothing of the same read acknowledged.
    pub cut_after: BTreeSet<u64>,
    /// Whether it remembers what it received.
    pub memory: Memory,
    /// The Receive Maximum that a version 5 client is told; 0 is none.
    pub receive_maximum: u16,
}

impl Default for SinkConfig {
    /// On a free port of the loopback; acknowledges and remembers everything.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            acks: Acks::All,
            cut_after: BTreeSet::new(),
            memory: Memory::Everything,
            receive_maximum: 0,
        }
    }
}

/// What a sink acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Every QoS 1 publish, at once.
    All,
    /// The first so many, and none after them.
    First(u64),
}

/// What a sink remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Every publish, whole.
    Everything,
    /// How many.
    Counts,
}

/// One publish as a sink received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who.
    pub client: String,
    /// Which connection over all clients, from 0.
    pub connection: u64,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// 0 with QoS 0.
    pub packet_id: u16,
    /// Whether the client says it may be a repetition.
    pub dup: bool,
    /// Whether it was acknowledged.
    pub acknowledged: bool,
}

/// What a sink has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: u64,
    /// Publishes received.
    pub publishes: u64,
    /// Publishes acknowledged.
    pub acknowledged: u64,
    /// The publishes, if it remembers everything.
    pub received: Vec<Received>,
}

/// A broker that only acknowledges. It ends with the token it was started with.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    config: SinkConfig,
    seen: Mutex<Seen>,
    changed: Notify,
}

impl Sink {
    /// Listens and serves until `stop` is cancelled.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn start(
        config: SinkConfig,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { config, seen: Mutex::default(), changed: Notify::new() });
        tasks.spawn(accept(listener, Arc::clone(&state), tasks.clone(), stop));
        Ok(Self { address, state })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.state.lock().clone()
    }

    /// Waits until it has seen what `reached` asks for.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn wait_until(&self, reached: impl Fn(&Seen) -> bool + Send + Sync) {
        loop {
            let changed = self.state.changed.notified();
            if reached(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(
    listener: TcpListener,
    state: Arc<State>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let connection = {
            let mut seen = state.lock();
            seen.connections += 1;
            seen.connections - 1
        };
        let (state, stop) = (Arc::clone(&state), stop.clone());
        tasks.spawn(async move {
            let mut client = Client { state, connection, id: String::new(), version: 4 };
            tokio::select! {
                // A device that hangs up or is cut off is no news.
                _ = client.serve(stream) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

struct Client {
    state: Arc<State>,
    connection: u64,
    id: String,
    version: u8,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Cut,
}

impl Client {
    async fn serve(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut inbox = vec![0; READ_BYTES];
        let mut filled = 0;
        let mut out = Vec::new();
        loop {
            let bytes = stream.read(&mut inbox[filled..]).await?;
            if bytes == 0 {
                return Ok(());
            }
            filled += bytes;
            let (taken, goes) = self.take(&inbox[..filled], &mut out)?;
            if goes == Goes::Cut {
                self.state.changed.notify_waiters();
                return Ok(());
            }
            inbox.copy_within(taken..filled, 0);
            filled -= taken;
            stream.write_all(&out).await?;
            out.clear();
            self.state.changed.notify_waiters();
        }
    }

    /// Takes all whole packets; gives how many bytes they were.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<(usize, Goes)> {
        let state = Arc::clone(&self.state);
        let mut seen = state.lock();
        let mut taken = 0;
        let mut goes = Goes::On;
        let before = seen.received.len();
        let mut owed = Vec::new();
        while let [first, rest @ ..] = &bytes[taken..] {
            let length = packet::variable(rest).map_err(io::Error::other)?;
            let Some((length, length_bytes)) = length else { break };
            let Some(body) = rest.get(length_bytes..length_bytes + length) else { break };
            taken += 1 + length_bytes + length;
            match first >> 4 {
                1 => self.greet(body, out)?,
                3 => {
                    let packet_id = self.receive(*first, body, &mut seen)?;
                    seen.publishes += 1;
                    if packet_id != 0 {
                        owed.push((packet_id, seen.received.len()));
                    }
                    if state.config.cut_after.contains(&seen.publishes) {
                        goes = Goes::Cut;
                        break;
                    }
                }
                12 => out.extend_from_slice(&[0xd0, 0]),
                _ => {}
            }
        }
        if goes == Goes::On {
            acknowledge(&state.config, &mut seen, before, &owed, out);
        }
        Ok((taken, goes))
    }

    fn greet(&mut self, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
        self.version = *body.get(6).ok_or_else(short)?;
        let mut rest = body.get(10..).ok_or_else(short)?;
        if self.version == 5 {
            let properties = packet::variable(rest).map_err(io::Error::other)?;
            let (length, length_bytes) = properties.ok_or_else(short)?;
            rest = rest.get(length_bytes + length..).ok_or_else(short)?;
        }
        self.id = text(rest).ok_or_else(short)?.0;
        let [high, low] = self.state.config.receive_maximum.to_be_bytes();
        match (self.version, self.state.config.receive_maximum) {
            (5, 0) => out.extend_from_slice(&[0x20, 3, 0, 0, 0]),
            (5, _) => out.extend_from_slice(&[0x20, 6, 0, 0, 3, 0x21, high, low]),
            _ => out.extend_from_slice(&[0x20, 2, 0, 0]),
        }
        Ok(())
    }

    /// Takes one publish; gives its packet identifier.
    fn receive(&self, first: u8, body: &[u8], seen: &mut Seen) -> io::Result<u16> {
        let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let with_id = first & 0x06 != 0;
        if self.state.config.memory == Memory::Counts {
            let [high, low, ..] = body else { return Err(short()) };
            let at = 2 + usize::from(u16::from_be_bytes([*high, *low]));
            let id = body.get(at..at + 2).filter(|_| with_id);
            return Ok(id.map_or(0, |id| u16::from_be_bytes([id[0], id[1]])));
        }
        let (topic, mut rest) = text(body).ok_or_else(short)?;
        let mut packet_id = 0;
        if with_id {
            let [high, low, after @ ..] = rest else { return Err(short()) };
            packet_id = u16::from_be_bytes([*high, *low]);
            rest = after;
        }
        if self.version == 5 {
            // No properties: our encoder and rumqttc send none.
            rest = rest.get(1..).ok_or_else(short)?;
        }
        seen.received.push(Received {
            client: self.id.clone(),
            connection: self.connection,
            topic,
            payload: rest.to_vec(),
            packet_id,
            dup: first & 0x08 != 0,
            acknowledged: false,
        });
        Ok(packet_id)
    }
}

/// Acknowledges what one read brought: `owed` are packet identifiers, and where each publish stands
/// in memory, from 1.
fn acknowledge(
    config: &SinkConfig,
    seen: &mut Seen,
    before: usize,
    owed: &[(u16, usize)],
    out: &mut Vec<u8>,
) {
    let left = match config.acks {
        Acks::All => usize::MAX,
        Acks::First(n) => {
            usize::try_from(n.saturating_sub(seen.acknowledged)).unwrap_or(usize::MAX)
        }
    };
    for (packet_id, place) in owed.iter().take(left) {
        let [high, low] = packet_id.to_be_bytes();
        out.extend_from_slice(&[0x40, 2, high, low]);
        seen.acknowledged += 1;
        if *place > before {
            seen.received[place - 1].acknowledged = true;
        }
    }
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let [high, low, rest @ ..] = bytes else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let text = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some((text.to_owned(), &rest[length..]))
}
