//! A door in front of a database: it can be shut, go silent, or cut connections at the worst places.
//!
//! Clients come over TCP; the database is reached through its Unix socket. Only connections that
//! write (`bellwire keep …`) are cut by a [`Cut`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bellwire_store::testing::TestDatabase;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use super::service::spawn;

/// Where a writer's connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After so many bytes of what the client sends, wherever that is.
    Bytes(u64),
    /// After so many bytes of COPY data, the last message cut short.
    CopyBytes(u64),
    /// At the so many-th COMMIT (from 0), which does not reach the server.
    Commit(u64),
    /// After the so many-th COMMIT (from 0) has reached the server; its answer does not come back.
    Answer(u64),
}

/// What the door does with those who come.
#[derive(Clone, Debug)]
enum Door {
    /// Lets them through until the token is cancelled.
    Open(CancellationToken),
    /// Refuses connections.
    Shut,
    /// Takes connections and does not answer.
    Silent,
}

#[derive(Debug)]
struct Shared {
    door: Mutex<Door>,
    cuts: Mutex<VecDeque<Cut>>,
    n_cut: AtomicUsize,
    upstream: PathBuf,
}

/// The door.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    database: String,
    shared: Arc<Shared>,
    listening: Mutex<CancellationToken>,
}

impl Proxy {
    /// An open door before `database`.
    pub(crate) async fn before(database: &TestDatabase) -> Self {
        let (head, folder) = database.url.split_once("?host=").unwrap();
        let (_, name) = head.rsplit_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            door: Mutex::new(Door::Shut),
            cuts: Mutex::default(),
            n_cut: AtomicUsize::new(0),
            upstream: Path::new(folder).join(".s.PGSQL.5432"),
        });
        let listening = Mutex::new(CancellationToken::new());
        let proxy = Self { address, database: name.to_owned(), shared, listening };
        proxy.listen(listener, Door::Open(CancellationToken::new()));
        proxy
    }

    /// The database's URL through this door.
    pub(crate) fn url(&self) -> String {
        // The door reads what is said.
        format!("postgres://bellwire@{}/{}?sslmode=disable", self.address, self.database)
    }

    /// Cuts all connections and refuses new ones.
    pub(crate) fn shut(&self) {
        self.leave(Door::Shut);
        self.listening.lock().unwrap().cancel();
    }

    /// Swallows what comes on all connections and new ones, which stay open, as a dead network
    /// does.
    pub(crate) fn go_silent(&self) {
        self.leave(Door::Silent);
    }

    /// Lets everyone through again; connections that met silence are cut.
    pub(crate) async fn open(&self) {
        self.listening.lock().unwrap().cancel();
        let mut pulse = super::service::poll();
        let listener = loop {
            pulse.tick().await;
            if let Ok(listener) = TcpListener::bind(self.address).await {
                break listener;
            }
        };
        self.listen(listener, Door::Open(CancellationToken::new()));
    }

    /// Arms `cuts`: each connection of a writer from the next on has one of them.
    pub(crate) fn arm(&self, cuts: impl IntoIterator<Item = Cut>) {
        self.shared.cuts.lock().unwrap().extend(cuts);
    }

    /// How many cuts have been made.
    pub(crate) fn n_cut(&self) -> usize {
        self.shared.n_cut.load(Ordering::Relaxed)
    }

    /// Cuts all connections once; new ones are let through.
    pub(crate) fn cut_all(&self) {
        self.leave(Door::Open(CancellationToken::new()));
    }

    fn leave(&self, next: Door) {
        let before = std::mem::replace(&mut *self.shared.door.lock().unwrap(), next);
        if let Door::Open(token) = before {
            token.cancel();
        }
    }

    fn listen(&self, listener: TcpListener, door: Door) {
        *self.shared.door.lock().unwrap() = door;
        let listening = CancellationToken::new();
        *self.listening.lock().unwrap() = listening.clone();
        spawn(accept(listener, Arc::clone(&self.shared), listening));
    }
}

/// Takes connections until `listening` is cancelled; then their silence ends too.
async fn accept(listener: TcpListener, shared: Arc<Shared>, listening: CancellationToken) {
    loop {
        let client = tokio::select! {
            () = listening.cancelled() => return,
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let (shared, listening) = (Arc::clone(&shared), listening.clone());
        spawn(async move { serve(client, &shared, &listening).await });
    }
}

/// One connection's life.
async fn serve(mut client: TcpStream, shared: &Shared, listening: &CancellationToken) {
    let door = shared.door.lock().unwrap().clone();
    if let Door::Open(open) = door {
        client.set_nodelay(true).unwrap();
        let Ok(mut server) = UnixStream::connect(&shared.upstream).await else { return };
        tokio::select! {
            () = pass(&mut client, &mut server, shared) => return,
            () = open.cancelled() => {}
        }
        // Silence concerns the network: the server sees no end either.
        if matches!(*shared.door.lock().unwrap(), Door::Silent) {
            swallow(&mut client, listening).await;
        }
        return;
    }
    if matches!(door, Door::Silent) {
        swallow(&mut client, listening).await;
    }
}

/// Reads and forgets, until silence is over.
async fn swallow(client: &mut TcpStream, listening: &CancellationToken) {
    let mut buffer = [0; 4096];
    let reading = async { while client.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
    tokio::select! {
        () = reading => {}
        () = listening.cancelled() => {}
    }
}

/// Passes both ways until one side ends or the cut comes.
async fn pass(client: &mut TcpStream, server: &mut UnixStream, shared: &Shared) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        _ = forth(&mut from_client, &mut to_server, shared) => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Passes the client's messages on until it leaves or is cut off.
async fn forth(
    client: &mut (impl AsyncRead + Unpin),
    server: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
) -> std::io::Result<()> {
    let startup = message(client, 0).await?;
    server.write_all(&startup).await?;
    let writes = startup.windows(13).any(|part| part == b"bellwire keep");
    let cut = if writes { shared.cuts.lock().unwrap().pop_front() } else { None };
    let (mut n_bytes, mut n_copied, mut n_commits) = (0, 0, 0);
    loop {
        let message = message(client, 1).await?;
        let is_commit = message.starts_with(b"Q") && message.ends_with(b"COMMIT\0");
        let length = message.len() as u64;
        let keeps = match cut {
            Some(Cut::Bytes(limit)) if n_bytes + length > limit => limit - n_bytes,
            Some(Cut::CopyBytes(limit))
                if message.starts_with(b"d") && n_copied + length > limit =>
            {
                limit - n_copied
            }
            Some(Cut::Commit(nth)) if is_commit && n_commits == nth => 0,
            _ => length,
        };
        server.write_all(&message[..usize::try_from(keeps).unwrap()]).await?;
        if keeps < length || (is_commit && cut == Some(Cut::Answer(n_commits))) {
            shared.n_cut.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        n_bytes += length;
        n_copied += if message.starts_with(b"d") { length } else { 0 };
        n_commits += u64::from(is_commit);
    }
}

/// One message: a type of `type_bytes` bytes, a length that counts itself, and the rest.
async fn message(
    from: &mut (impl AsyncRead + Unpin),
    type_bytes: usize,
) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; type_bytes + 4];
    from.read_exact(&mut message).await?;
    let length = message[type_bytes..].try_into().map(u32::from_be_bytes).unwrap();
    message.resize(type_bytes + usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut message[type_bytes + 4..]).await?;
    Ok(message)
}
