//! Listens, takes connections up to the limit, and ends them in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bellwire_model::{Clock, Delivery};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::access::Gatekeeper;
use crate::config::{Config, Limits};
use crate::connection;
use crate::desk::Shared;
use crate::error::Error;
use crate::handle::BrokerHandle;
use crate::mailbox::Stop;
use crate::peer::Peer;
use crate::sessions::SharedSessions;
use crate::upkeep;

/// Connections the system may keep for us between two looks.
const BACKLOG: u32 = 4096;
/// Pause after the system could not hand a connection over, for want of descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where telemetry goes: the port this room needs.
pub trait Inlet: Send + Sync + 'static {
    /// Whether publishes on `topic`, a valid topic name, are telemetry and go to the log. Called
    /// once per change of topic of a connection, between reading and parsing: it must be quick,
    /// must not block, and must answer the same for the same topic.
    fn claims(&self, topic: &str) -> bool;

    /// Takes a delivery; pending while the log has no room. The connection is not read from
    /// meanwhile, and its keepalive is suspended.
    ///
    /// # Cancel safety
    /// The broker drops this future when the connection ends before there is room. The delivery
    /// must then either be taken whole or not at all; its receipt may be dropped.
    fn submit(&self, delivery: Delivery) -> impl Future<Output = ()> + Send;
}

/// The MQTT server, listening.
#[derive(Debug)]
pub struct Broker<I> {
    listeners: Vec<TcpListener>,
    shared: Arc<Shared<I>>,
    tracker: TaskTracker,
    /// One permit per connection: the limit, and the way to wait for all of them.
    permits: Arc<Semaphore>,
}

impl<I: Inlet> Broker<I> {
    /// Checks `config` and listens on every address; clients that come wait for [`Broker::run`].
    /// `sessions` has recovered.
    ///
    /// # Errors
    /// [`Error::Listen`], which names the address, and the errors of [`Config::check`].
    #[expect(clippy::unused_async, reason = "sockets are bound inside a runtime; say so by type")]
    pub async fn bind(
        config: Config,
        sessions: &SharedSessions,
        inlet: Arc<I>,
        gatekeeper: Arc<dyn Gatekeeper>,
        clock: Arc<dyn Clock>,
        tracker: TaskTracker,
    ) -> Result<Self, Error> {
        let limits = config.limits()?;
        let listeners =
            config.listen.iter().map(|&address| listen(address)).collect::<Result<_, _>>()?;
        let permits = Arc::new(Semaphore::new(limits.connections_max as usize));
        let shared = Shared {
            inlet,
            gatekeeper,
            hub: Arc::clone(&sessions.hub),
            limits: Arc::new(limits),
            metrics: sessions.metrics.clone(),
            started_at: clock.now(),
            clock,
        };
        Ok(Self { listeners, shared: Arc::new(shared), tracker, permits })
    }

    /// Where it listens, in the order of the configuration; port 0 is replaced by the one taken.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// A way to publish and to look in from elsewhere in the service.
    #[must_use]
    pub fn handle(&self) -> BrokerHandle {
        BrokerHandle::new(Arc::clone(&self.shared.hub))
    }

    /// Takes connections until `shutdown`. Then stops reading, waits up to `shutdown_timeout_ms`
    /// for unsettled receipts, writes the last acknowledgements, tells MQTT 5 clients that the
    /// server shuts down, and returns when every connection has ended. No will is published then.
    ///
    /// # Cancel safety
    /// Dropped, it takes no more connections; those it has go on.
    pub async fn run(self, shutdown: CancellationToken) {
        for address in self.local_addrs() {
            info!(%address, "Listening for MQTT on {address}.");
        }
        let upkeep = upkeep::run(Arc::clone(&self.shared), shutdown.clone());
        self.tracker.spawn(upkeep);
        let mut is_full = false;
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, &mut is_full),
                Err(error) => {
                    self.shared.metrics.accept_errors.inc();
                    warn!(%error, "Cannot take a connection.");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
        self.end().await;
    }

    /// The next connection of any listener.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        std::future::poll_fn(|cx| {
            for listener in &self.listeners {
                if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, is_full: &mut bool) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.shared.metrics.connections_refused.inc();
            if !*is_full {
                let limit = self.shared.limits.connections_max;
                warn!(limit, %peer, "Refusing connections: there are {limit}.");
            }
            *is_full = true;
            return;
        };
        *is_full = false;
        if let Err(error) = tune(&stream, &self.shared.limits) {
            info!(%peer, %error, "Connection ended before it began.");
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.tracker.spawn(connection::serve(stream, Peer::at(peer), shared, permit));
    }

    /// Ends every connection.
    async fn end(self) {
        let Self { listeners, shared, permits, .. } = self;
        drop(listeners);
        let limits = &shared.limits;
        shared.hub.stop(Stop::Settled);
        let all = || permits.acquire_many(limits.connections_max);
        if timeout(limits.shutdown_timeout, all()).await.is_err() {
            let n_connections = shared.hub.n_connections();
            warn!(n_connections, "Closing {n_connections} connections with publishes unsettled.");
            shared.hub.stop(Stop::Now);
            // Each has `close_timeout` to hear of it; twice that is for a busy machine.
            if timeout(2 * limits.close_timeout, all()).await.is_err() {
                warn!("Leaving connections that do not end.");
            }
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source| Error::Listen { address, source })
}

/// No delay for small packets; ask after silent peers.
fn tune(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(limits.tcp_keepalive)
        .with_interval(limits.tcp_keepalive.min(Duration::from_secs(15)));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
