//! A door in front of PostgreSQL that reads the protocol and breaks it at a chosen place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bellwire_store::testing::TestDatabase;
use bellwire_store::{Config, Secret};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// What is to go wrong next. Each happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// COMMIT does not reach the server.
    LoseCommit,
    /// COMMIT reaches the server, its answer does not come back.
    LoseAnswer,
    /// The client is cut off at COMMIT; the server gets it when [`Proxy::release`] is called.
    DelayCommit,
    /// The connection is cut at the second message of COPY data.
    CutCopy,
    /// The second message of COPY data and all after it are swallowed, the connection stays.
    SwallowCopy,
}

#[derive(Debug, Default)]
struct Shared {
    fault: Mutex<Option<Fault>>,
    released: Notify,
}

impl Shared {
    /// Whether `fault` is due; it is not any more.
    fn take(&self, fault: Fault) -> bool {
        let mut due = self.fault.lock().expect("no panic while held");
        let is_due = *due == Some(fault);
        if is_due {
            *due = None;
        }
        is_due
    }
}

/// The door.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// The same database, through the door.
    pub(crate) database: TestDatabase,
    shared: Arc<Shared>,
    _dir: TempDir,
}

impl Proxy {
    pub(crate) fn before(database: &TestDatabase) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).expect("a socket");
        let (head, upstream) = database.url.split_once("host=").expect("a socket's folder");
        let upstream = Path::new(upstream).join(".s.PGSQL.5432");
        let shared = Arc::new(Shared::default());
        let tracker = TaskTracker::new();
        tracker.spawn(accept(tracker.clone(), listener, upstream, Arc::clone(&shared)));
        let url = format!("{head}host={}", dir.path().display());
        let config = Config { url: Some(Secret::new(url.as_str())), ..Config::default() };
        Self { database: TestDatabase { url, config }, shared, _dir: dir }
    }

    /// Arms `fault`.
    pub(crate) fn arm(&self, fault: Fault) {
        *self.shared.fault.lock().expect("no panic while held") = Some(fault);
    }

    /// Whether the armed fault has happened.
    pub(crate) fn has_happened(&self) -> bool {
        self.shared.fault.lock().expect("no panic while held").is_none()
    }

    /// Lets a delayed COMMIT through.
    pub(crate) fn release(&self) {
        self.shared.released.notify_one();
    }
}

async fn accept(
    tracker: TaskTracker,
    listener: UnixListener,
    upstream: PathBuf,
    shared: Arc<Shared>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = UnixStream::connect(&upstream).await else { continue };
        let shared = Arc::clone(&shared);
        tracker.spawn(async move {
            let (client_in, client_out) = client.into_split();
            let (mut server_in, mut server_out) = server.into_split();
            // Whichever ends drops the client's side.
            let held = tokio::select! {
                held = forth(client_in, &mut server_out, &shared) => held,
                _ = back(&mut server_in, client_out, &shared) => None,
            };
            if let Some(commit) = held {
                shared.released.notified().await;
                server_out.write_all(&commit).await.expect("the server is there");
                // The server must find the connection standing when it answers.
                let mut answer = [0; 1024];
                let _ = server_in.read(&mut answer).await;
            }
        });
    }
}

/// Passes messages to the server until the client leaves or a fault cuts it off; gives a COMMIT
/// that is to be passed on later.
async fn forth(
    mut client: OwnedReadHalf,
    server: &mut OwnedWriteHalf,
    shared: &Shared,
) -> Option<Vec<u8>> {
    // The startup message has no type.
    let startup = message(&mut client, 0).await.ok()?;
    server.write_all(&startup).await.ok()?;
    let mut n_copy_data = 0;
    let mut swallows = false;
    loop {
        let message = message(&mut client, 1).await.ok()?;
        if message.starts_with(b"Q") && message.ends_with(b"COMMIT\0") {
            n_copy_data = 0;
            if shared.take(Fault::LoseCommit) {
                return None;
            }
            if shared.take(Fault::DelayCommit) {
                return Some(message);
            }
        }
        if message.starts_with(b"d") {
            n_copy_data += 1;
            if n_copy_data == 2 && shared.take(Fault::CutCopy) {
                return None;
            }
            swallows |= n_copy_data == 2 && shared.take(Fault::SwallowCopy);
        }
        if !swallows {
            server.write_all(&message).await.ok()?;
        }
    }
}

/// Passes messages to the client until the server leaves or the answer to COMMIT is to be lost.
async fn back(
    server: &mut OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let message = message(server, 1).await?;
        if message.starts_with(b"C")
            && message.ends_with(b"COMMIT\0")
            && shared.take(Fault::LoseAnswer)
        {
            return Ok(());
        }
        client.write_all(&message).await?;
    }
}

/// One message: a type of `type_bytes` bytes, a length that counts itself, and the rest.
async fn message(from: &mut OwnedReadHalf, type_bytes: usize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; type_bytes + 4];
    from.read_exact(&mut message).await?;
    let length = message[type_bytes..].try_into().map(u32::from_be_bytes).expect("four bytes");
    let length = usize::try_from(length).expect("fits");
    message.resize(type_bytes + length, 0);
    from.read_exact(&mut message[type_bytes + 4..]).await?;
    Ok(message)
}
