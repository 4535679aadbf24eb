//! A bad network before a service: it delays, it hands bytes on in odd pieces, and it cuts connections
//! wherever they are, or lets them hang in silence first. What it does is by a seed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::dice::Dice;
use super::service::spawn;

/// Half of the connections are cut after fewer bytes than this to the client, and half after fewer than
/// that: whoever only ever got little could never get a long answer whole.
const BYTES_MAX: [u64; 2] = [60_000, 3_000_000];
/// Bytes that go on together, at most.
const PIECE_BYTES_MAX: u64 = 3_000;
/// How long a connection hangs, if it does, before it is cut: longer than clients wait.
const SILENCE: Duration = Duration::from_secs(2);

/// The network.
#[derive(Debug)]
pub(crate) struct Lossy {
    address: SocketAddr,
    counts: Arc<Counts>,
}

/// Connections that came through.
#[derive(Debug, Default)]
struct Counts {
    n_taken: AtomicUsize,
    n_cut: AtomicUsize,
}

impl Lossy {
    /// Before whatever listens at `host:port`, now or later.
    pub(crate) async fn before(address: &str, dice: Dice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let counts = Arc::new(Counts::default());
        let lossy = Self { address: listener.local_addr().unwrap(), counts: Arc::clone(&counts) };
        spawn(accept(listener, address.to_owned(), dice, counts));
        lossy
    }

    /// Where clients connect, `host:port`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections came through, for a while at least.
    pub(crate) fn n_taken(&self) -> usize {
        self.counts.n_taken.load(Ordering::Relaxed)
    }

    /// How many of them were cut.
    pub(crate) fn n_cut(&self) -> usize {
        self.counts.n_cut.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, to: String, mut dice: Dice, counts: Arc<Counts>) {
    loop {
        let client = listener.accept().await.unwrap().0;
        // Nobody there: the client sees its connection end.
        let Ok(server) = TcpStream::connect(&to).await else { continue };
        let (dice, counts) = (dice.fork(), Arc::clone(&counts));
        counts.n_taken.fetch_add(1, Ordering::Relaxed);
        spawn(async move {
            if pass(client, server, dice).await.is_some() {
                counts.n_cut.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Passes both ways until one side ends; `Some` if it was cut here.
async fn pass(mut client: TcpStream, mut server: TcpStream, mut dice: Dice) -> Option<()> {
    client.set_nodelay(true).ok()?;
    server.set_nodelay(true).ok()?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let most = BYTES_MAX[usize::try_from(dice.below(2)).unwrap()];
    let mut left = 1 + dice.below(most);
    let back = async {
        let mut buffer = [0; 16 * 1024];
        loop {
            let most = usize::try_from(1 + dice.below(PIECE_BYTES_MAX.min(left))).unwrap();
            let n = from_server.read(&mut buffer[..most]).await.ok().filter(|n| *n > 0)?;
            to_client.write_all(&buffer[..n]).await.ok()?;
            left -= n as u64;
            if left == 0 {
                break;
            }
            if dice.below(8) == 0 {
                hold(Duration::from_millis(dice.below(5))).await;
            }
        }
        if dice.below(8) == 0 {
            hold(SILENCE).await;
        }
        Some(())
    };
    tokio::select! {
        cut = back => cut,
        _ = tokio::io::copy(&mut from_client, &mut to_server) => None,
    }
}

/// A network that passes nothing on for so long.
async fn hold(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}
