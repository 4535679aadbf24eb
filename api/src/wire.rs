//! One connection from its first byte to its last: TLS if it is spoken here, then HTTP/1.1 or HTTP/2.
//!
//! Whoever is silent, slow or many-voiced holds no more than the place of one connection, and that not
//! for ever: a handshake and a head have a deadline, a connection without a request ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::held::held;
use crate::peer::Peer;
use crate::server::Permit;
use crate::shared::Shared;
use crate::tls::H2;

/// Bytes of one request's head, at most.
const HEAD_BYTES_MAX: u32 = 32 * 1024;
/// How long bytes may lie unacknowledged before a connection is given up: frees what a client
/// that vanished, or never reads, holds.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// Requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 64;
/// Requests that a client may take back on one connection before it is closed, where nobody has looked at
/// them yet, and those that we refuse ("rapid reset").
const RESETS_PENDING_MAX: usize = 20;
const RESETS_OF_OURS_MAX: usize = 256;
/// Bytes of answers that wait for one request's client.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// How often it is asked over HTTP/2 whether the client is there, and how long it has to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How often it is looked whether a connection of HTTP/2 is idle.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take on its way over HTTP/2 when everything else is done.
const LAST_BYTES_MAX: Duration = Duration::from_secs(600);

/// How a connection is served.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// In clear: HTTP/1.1.
    Plain,
    /// Behind TLS: what the client prefers.
    Tls(Arc<ServerConfig>),
}

/// What all connections share.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    /// Cancelled when grace is over: connections are then dropped where they stand.
    pub(crate) cut: CancellationToken,
}

impl Line {
    /// Serves one connection to its end. An upgraded one goes on in its session, which holds its own
    /// clone of the permit.
    pub(crate) async fn serve(self, stream: TcpStream, door: Door, peer: Peer, permit: Permit) {
        // Without these a connection works too, only less well.
        drop(stream.set_nodelay(true));
        drop(SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)));
        let open = self.app.metrics.http.connections.clone();
        open.inc();
        match door {
            Door::Plain => {
                let stream = Shared::new(stream);
                self.http1(stream.clone(), Some(stream), peer, permit).await;
            }
            Door::Tls(settings) => self.secure(stream, settings, peer, permit).await,
        }
        open.dec();
    }

    async fn secure(
        self,
        stream: TcpStream,
        settings: Arc<ServerConfig>,
        peer: Peer,
        permit: Permit,
    ) {
        let limit = Duration::from_millis(self.app.config.tls.handshake_timeout_ms.get());
        let shaking = timeout(limit, TlsAcceptor::from(settings).accept(stream));
        let shaken = tokio::select! {
            shaken = shaking => shaken,
            () = self.app.quiet.cancelled() => return,
        };
        let Ok(Ok(stream)) = shaken else {
            self.app.metrics.http.handshakes_failed.inc();
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(H2) {
            self.http2(stream, peer, permit).await;
        } else {
            self.http1(stream, None, peer, permit).await;
        }
    }

    /// `shared` is the same connection, if more than one may write to it.
    async fn http1<S>(self, stream: S, shared: Option<Shared>, peer: Peer, permit: Permit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { app, router, cut } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(permit.clone());
            request.extensions_mut().insert(peer);
            if let Some(shared) = &shared {
                request.extensions_mut().insert(shared.clone());
            }
            router.call(request)
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(app.config.header_timeout_ms.get()))
            .max_buf_size(HEAD_BYTES_MAX as usize)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(serving);
        // Errors are the client's: it left, or spoke no HTTP.
        tokio::select! {
            _ = serving.as_mut() => {}
            () = app.quiet.cancelled() => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    _ = serving => {}
                    () = cut.cancelled() => {}
                }
            }
        }
    }

    async fn http2<S>(self, stream: S, peer: Peer, permit: Permit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { app, router, cut } = self;
        let router = TowerToHyperService::new(router);
        let activity = Activity::default();
        let seen = activity.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(permit.clone());
            request.extensions_mut().insert(peer);
            let active = activity.begin();
            let answering = router.call(request);
            async move { answering.await.map(|answer| held(answer, active)) }
        });
        let idle_max = Duration::from_millis(app.config.header_timeout_ms.get());
        let serving = http2::Builder::new(OnTracker(app.tracker.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_local_error_reset_streams(RESETS_OF_OURS_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let mut look = interval(LOOK_EVERY.min(idle_max));
        let mut told: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = serving.as_mut() => return,
                () = cut.cancelled() => return,
                () = app.quiet.cancelled(), if told.is_none() => {
                    serving.as_mut().graceful_shutdown();
                    told = Some(Instant::now());
                }
                _ = look.tick() => match (seen.idle_for(), told) {
                    // It has never asked anything: nothing is on its way.
                    (Idle::Unused(idle), _) if idle >= idle_max => return,
                    (Idle::Since(idle), None) if idle >= idle_max => {
                        serving.as_mut().graceful_shutdown();
                        told = Some(Instant::now());
                    }
                    (Idle::Since(_), Some(at)) if at.elapsed() >= LAST_BYTES_MAX => return,
                    _ => {}
                },
            }
        }
    }
}

/// Runs what HTTP/2 does beside its connection.
#[derive(Clone)]
struct OnTracker(TaskTracker);

impl<F> Executor<F> for OnTracker
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// What is going on on one connection of HTTP/2.
#[derive(Clone, Debug)]
struct Activity(Arc<Mutex<Doing>>);

#[derive(Debug)]
struct Doing {
    n_active: usize,
    n_begun: u64,
    /// Since when nothing is.
    idle_since: Instant,
}

/// How long nothing is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// Something is.
    No,
    /// Nothing ever was.
    Unused(Duration),
    /// Nothing is any more.
    Since(Duration),
}

impl Default for Activity {
    fn default() -> Self {
        let doing = Doing { n_active: 0, n_begun: 0, idle_since: Instant::now() };
        Self(Arc::new(Mutex::new(doing)))
    }
}

impl Activity {
    fn lock(&self) -> std::sync::MutexGuard<'_, Doing> {
        // Nothing in it is left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Active {
        let mut doing = self.lock();
        doing.n_active += 1;
        doing.n_begun += 1;
        Active(self.clone())
    }

    fn idle_for(&self) -> Idle {
        let doing = self.lock();
        match (doing.n_active, doing.n_begun) {
            (0, 0) => Idle::Unused(doing.idle_since.elapsed()),
            (0, _) => Idle::Since(doing.idle_since.elapsed()),
            _ => Idle::No,
        }
    }
}

/// A request that is not done with.
#[derive(Debug)]
struct Active(Activity);

impl Drop for Active {
    fn drop(&mut self) {
        let mut doing = self.0.lock();
        doing.n_active -= 1;
        if doing.n_active == 0 {
            doing.idle_since = Instant::now();
        }
    }
}
