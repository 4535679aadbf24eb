//! Listens, takes connections up to the limit, and ends them in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bellwire_model::{Clock, Delivery};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::access::Gatekeeper;
use crate::config::{Config, Limits};
use crate::desk::Shared;
use crate::door::turnstile::{Turn, Turnstile};
use crate::door::{Callers, Door, TlsHandle, Transport, Way};
use crate::error::Error;
use crate::handle::BrokerHandle;
use crate::mailbox::Stop;
use crate::refusals::Refusals;
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
    /// must not block, and must answer the same for the same topic and version.
    fn claims(&self, topic: &str) -> bool;

    /// Changes whenever [`Inlet::claims`] may answer otherwise than before: connections remember the
    /// answer for the topic of their last publish.
    fn claims_version(&self) -> u64 {
        0
    }

    /// The device that a topic of telemetry names, not yet checked to be a valid name. A client without
    /// credentials that publishes there and has that name itself is taken for the device.
    fn device_of<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let _ = topic;
        None
    }

    /// A publish on `topic`, one of telemetry, was refused: the client may not publish there. Called
    /// between reading and parsing: it must be quick, and must not block.
    fn refused(&self, topic: &str) {
        let _ = topic;
    }

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
    listeners: Vec<Listener>,
    door: Door<I>,
}

/// One address, and what is spoken there.
#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    way: Way,
}

impl<I: Inlet> Broker<I> {
    /// Checks `config` and listens on every address; clients that come wait for [`Broker::run`].
    /// `sessions` has recovered.
    ///
    /// # Errors
    /// [`Error::Listen`], which names the address, [`Error::Tls`], and the errors of
    /// [`Config::check`].
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
        let listeners = open_all(&config)?;
        let metrics = &sessions.metrics.door;
        let tls = match listeners.iter().any(|it| it.way.transport.has_tls()) {
            true => Some(TlsHandle::open(&config.tls, &[], metrics.tls.clone())?),
            false => None,
        };
        let turnstile =
            Turnstile::new(limits.door.clone(), limits.connections_max, metrics.clone());
        let shared = Shared {
            inlet,
            gatekeeper,
            hub: Arc::clone(&sessions.hub),
            limits: Arc::new(limits),
            metrics: sessions.metrics.clone(),
            started_at: clock.now(),
            clock,
            closings: Mutex::new(Refusals::of_closings(Instant::now().into_std())),
        };
        let door = Door {
            shared: Arc::new(shared),
            turnstile: Arc::new(turnstile),
            tls,
            origins: config.websocket_origins.into(),
            tracker,
            closing: CancellationToken::new(),
        };
        Ok(Self { listeners, door })
    }

    /// Where it listens for plain MQTT, in the order of the configuration; port 0 is replaced by the
    /// one taken.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.addresses(Transport::Tcp)
    }

    /// Where it listens for this, likewise.
    #[must_use]
    pub fn addresses(&self, transport: Transport) -> Vec<SocketAddr> {
        let those = self.listeners.iter().filter(|it| it.way.transport == transport);
        those.filter_map(|listener| listener.socket.local_addr().ok()).collect()
    }

    /// The settings of TLS, which can be replaced while it runs; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<TlsHandle> {
        self.door.tls.clone()
    }

    /// What its connections share, to play some without a listener.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const fn shared(&self) -> &Arc<Shared<I>> {
        &self.door.shared
    }

    /// Where they come in.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const fn turnstile(&self) -> &Arc<Turnstile> {
        &self.door.turnstile
    }

    /// A way to publish and to look in from elsewhere in the service.
    #[must_use]
    pub fn handle(&self) -> BrokerHandle {
        BrokerHandle::new(Arc::clone(&self.door.shared.hub))
    }

    /// Takes connections until `shutdown`. Then stops reading, waits up to `shutdown_timeout_ms`
    /// for unsettled receipts, writes the last acknowledgements, tells MQTT 5 clients that the
    /// server shuts down, and returns when every connection has ended. No will is published then.
    ///
    /// # Cancel safety
    /// Dropped, it takes no more connections; those it has go on.
    pub async fn run(self, shutdown: CancellationToken) {
        for Listener { socket, way } in &self.listeners {
            let (scheme, callers) = (way.transport.scheme(), way.callers);
            if let Ok(address) = socket.local_addr() {
                info!(%address, ?callers, "Listening for MQTT on {scheme}://{address}.");
            }
        }
        let upkeep = upkeep::run(Arc::clone(&self.door.shared), shutdown.clone());
        self.door.tracker.spawn(upkeep);
        let mut next = 0;
        loop {
            // Nobody is taken out of the system's queue before there is room for a handshake.
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = async { (self.door.turnstile.turn().await, self.accept(&mut next).await) }
                    => accepted,
            };
            match accepted {
                (turn, Ok((stream, peer, way))) => self.take(stream, peer, way, turn),
                (_, Err(error)) => {
                    self.door.shared.metrics.accept_errors.inc();
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

    /// The next connection of any listener; they take turns.
    async fn accept(&self, next: &mut usize) -> io::Result<(TcpStream, SocketAddr, Way)> {
        let n = self.listeners.len();
        std::future::poll_fn(|cx| {
            for index in (*next..n).chain(0..*next) {
                let Listener { socket, way } = &self.listeners[index];
                if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                    *next = (index + 1) % n;
                    return Poll::Ready(accepted.map(|(stream, peer)| (stream, peer, *way)));
                }
            }
            Poll::Pending
        })
        .await
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, way: Way, turn: Turn) {
        match tune(&stream, &self.door.shared.limits) {
            Ok(()) => self.door.open(stream, way, peer, turn),
            Err(error) => info!(%peer, %error, "Connection ended before it began."),
        }
    }

    /// Ends every connection.
    async fn end(self) {
        let Self { listeners, door } = self;
        drop(listeners);
        door.closing.cancel();
        let (shared, turnstile) = (&door.shared, &door.turnstile);
        let limits = &shared.limits;
        shared.hub.stop(Stop::Settled);
        if timeout(limits.shutdown_timeout, turnstile.all_left()).await.is_err() {
            let n_connections = shared.hub.n_connections();
            warn!(n_connections, "Closing {n_connections} connections with publishes unsettled.");
            shared.hub.stop(Stop::Now);
            // Each has `close_timeout` to hear of it; twice that is for a busy machine.
            if timeout(2 * limits.close_timeout, turnstile.all_left()).await.is_err() {
                warn!("Leaving connections that do not end.");
            }
        }
    }
}

fn open_all(config: &Config) -> Result<Vec<Listener>, Error> {
    let open = |(_, transport, address)| {
        let callers = match config.proxy.listeners.contains(&address) {
            true => Callers::Proxies,
            false => Callers::Clients,
        };
        Ok(Listener { socket: listen(address)?, way: Way { transport, callers } })
    };
    config.listeners().map(open).collect()
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

/// No delay for small packets; ask after silent peers. TCP is what MQTT asks for. [MQTT-4.2-1]
fn tune(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(limits.tcp_keepalive)
        .with_interval(limits.tcp_keepalive.min(Duration::from_secs(15)));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
