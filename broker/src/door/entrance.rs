//! Brings a connection from its socket to its session, each in a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::Transport;
use super::identity::{self, IdentityError};
use super::metrics::{Failure, Refusal};
use super::proxy::{self, Origin, ProxyError};
use super::tls::TlsHandle;
use super::turnstile::{Entry, Pass, Turn, Turnstile};
use super::upgrade::{self, UpgradeError};
use super::websocket::WebSocket;
use crate::connection;
use crate::desk::Shared;
use crate::listener::Inlet;
use crate::peer::Peer;

/// Who connects to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Clients.
    Clients,
    /// Proxies, which say for whom.
    Proxies,
}

/// What is spoken at an address, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    pub(crate) callers: Callers,
}

/// The way from sockets to sessions. Clones are the same one.
#[derive(Debug)]
pub(crate) struct Door<I> {
    pub(crate) shared: Arc<Shared<I>>,
    pub(crate) turnstile: Arc<Turnstile>,
    pub(crate) tls: Option<TlsHandle>,
    pub(crate) origins: Arc<[String]>,
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the service stops: handshakes end then, sessions hear of it otherwise.
    pub(crate) closing: CancellationToken,
}

impl<I> Clone for Door<I> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            turnstile: Arc::clone(&self.turnstile),
            tls: self.tls.clone(),
            origins: Arc::clone(&self.origins),
            tracker: self.tracker.clone(),
            closing: self.closing.clone(),
        }
    }
}

/// A connection on its way in.
#[derive(Debug)]
struct Guest {
    peer: Peer,
    callers: Callers,
    pass: Pass,
}

/// Why a connection has no session.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// Refused, counted and said already.
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("no TLS: {0}")]
    Certificate(Box<str>),
    #[error(transparent)]
    WebSocket(#[from] UpgradeError),
    #[error("its handshake took too long")]
    Timeout,
    #[error("the service stops")]
    Stopping,
}

impl Failed {
    const fn failure(&self) -> Option<Failure> {
        match self {
            Self::Refused | Self::Stopping => None,
            Self::Proxy(_) => Some(Failure::Proxy),
            Self::Tls(_) => Some(Failure::Tls),
            Self::Certificate(_) => Some(Failure::Certificate),
            Self::WebSocket(_) => Some(Failure::WebSocket),
            Self::Timeout => Some(Failure::Timeout),
        }
    }
}

impl From<IdentityError> for Failed {
    fn from(error: IdentityError) -> Self {
        Self::Certificate(error.to_string().into())
    }
}

impl<I: Inlet> Door<I> {
    /// Takes a connection, if the limits have room for it. Returns at once.
    pub(crate) fn open(&self, stream: TcpStream, way: Way, peer: SocketAddr, turn: Turn) {
        if way.callers == Callers::Proxies && !self.trusts(peer) {
            let why = format_args!("it is not among proxy.trusted");
            self.turnstile.refuse(Refusal::UntrustedProxy, peer, why);
            return;
        }
        let Some(mut pass) = self.turnstile.enter(turn, peer) else { return };
        if way.callers == Callers::Clients
            && self.turnstile.enter_source(&mut pass, peer) == Entry::Refused
        {
            return;
        }
        let guest = Guest { peer: Peer::at(peer), callers: way.callers, pass };
        let (door, tracker) = (self.clone(), &self.tracker);
        match way.transport {
            Transport::Tcp if way.callers == Callers::Clients => {
                tracker.spawn(connection::serve(stream, guest.peer, door.shared, guest.pass))
            }
            Transport::Tcp => tracker.spawn(door.tcp(stream, guest)),
            Transport::Tls => tracker.spawn(door.tls(stream, guest)),
            Transport::WebSocket => tracker.spawn(door.websocket(stream, guest)),
            Transport::WebSocketTls => tracker.spawn(door.websocket_tls(stream, guest)),
        };
    }

    fn trusts(&self, proxy: SocketAddr) -> bool {
        let trusted = &self.turnstile.limits().trusted_proxies;
        trusted.iter().any(|network| network.contains(proxy.ip()))
    }

    // A handshake is boxed: it leaves nothing behind in a connection that waits for years.

    async fn tcp(self, mut stream: TcpStream, mut guest: Guest) {
        let heard = Box::pin(self.hear(&mut stream, &mut guest));
        let stream = self.in_time(heard).await.map(|()| stream);
        self.seat(stream, guest).await;
    }

    async fn tls(self, mut stream: TcpStream, mut guest: Guest) {
        let stream = Box::pin(async {
            self.hear(&mut stream, &mut guest).await?;
            self.encrypt(stream, &mut guest).await
        });
        let stream = self.in_time(stream).await;
        self.seat(stream, guest).await;
    }

    async fn websocket(self, mut stream: TcpStream, mut guest: Guest) {
        let stream = Box::pin(async {
            self.hear(&mut stream, &mut guest).await?;
            self.upgrade(stream).await
        });
        let stream = self.in_time(stream).await;
        self.seat(stream, guest).await;
    }

    async fn websocket_tls(self, mut stream: TcpStream, mut guest: Guest) {
        let stream = Box::pin(async {
            self.hear(&mut stream, &mut guest).await?;
            let stream = self.encrypt(stream, &mut guest).await?;
            self.upgrade(stream).await
        });
        let stream = self.in_time(stream).await;
        self.seat(stream, guest).await;
    }

    /// Gives a handshake its time, and ends it when the service stops.
    async fn in_time<T>(
        &self,
        handshake: impl Future<Output = Result<T, Failed>> + Send,
    ) -> Result<T, Failed> {
        let limit = self.turnstile.limits().handshake_timeout;
        tokio::select! {
            () = self.closing.cancelled() => Err(Failed::Stopping),
            done = timeout(limit, handshake) => done.unwrap_or(Err(Failed::Timeout)),
        }
    }

    /// Serves whoever has a stream, and says why another has none.
    async fn seat<S>(self, stream: Result<S, Failed>, guest: Guest)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let failed = match stream {
            Ok(stream) => {
                return connection::serve(stream, guest.peer, self.shared, guest.pass).await;
            }
            Err(failed) => failed,
        };
        if let Some(failure) = failed.failure() {
            self.turnstile.metrics().failed(failure).inc();
            let peer = guest.peer;
            info!(%peer, reason = failure.label(), "Closing a connection of {peer}: {failed}.");
        }
    }

    /// Lets a proxy say for whom it connects; from then on that is who counts.
    async fn hear(&self, stream: &mut TcpStream, guest: &mut Guest) -> Result<(), Failed> {
        if guest.callers == Callers::Clients {
            return Ok(());
        }
        if let Origin::Client(address) = proxy::read(stream).await? {
            guest.peer.address = address;
        }
        match self.turnstile.enter_source(&mut guest.pass, guest.peer.address) {
            Entry::Granted => Ok(()),
            Entry::Refused => Err(Failed::Refused),
        }
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
        guest: &mut Guest,
    ) -> Result<TlsStream<TcpStream>, Failed> {
        let tls = self.tls.as_ref().expect("no TLS listener is opened without certificates");
        let accepted = TlsAcceptor::from(tls.current()).accept(stream).await;
        let stream = accepted.map_err(failed_tls)?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        guest.peer.certificate = shown.map(|shown| identity::device(shown)).transpose()?;
        Ok(stream)
    }

    async fn upgrade<S>(&self, mut stream: S) -> Result<WebSocket<S>, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let early = upgrade::accept(&mut stream, &self.origins).await?;
        Ok(WebSocket::new(stream, early))
    }
}

/// Whether it was the client's certificate, or something else about TLS.
fn failed_tls(error: io::Error) -> Failed {
    let cause = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Failed::Certificate(error.to_string().into())
        }
        _ => Failed::Tls(error),
    }
}
