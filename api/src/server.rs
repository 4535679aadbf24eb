//! Listens for HTTP and gives every connection to the router; stops without cutting anyone off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bellwire_model::Clock;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::app::{App, CHARTS_MAX, EXPORTS_MAX};
use crate::config::Config;
use crate::error::Error;
use crate::live::hub::Hub;
use crate::ports::Ports;
use crate::routes;

/// How long to wait when a connection cannot be accepted: out of files, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of one request's head, at most.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long bytes may lie unacknowledged before a connection is given up: frees what a client
/// that vanished, or never reads, holds.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A place among the connections; given back when the last clone goes.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// HTTP and the live feed, bound to their address.
#[derive(Debug)]
pub struct Api {
    listener: TcpListener,
    local_addr: SocketAddr,
    app: Arc<App>,
    connections: Arc<Semaphore>,
}

impl Api {
    /// Takes the address of `config.listen`. Nothing is answered before [`Api::run`].
    ///
    /// `registry` is what `/metrics` shows. All tasks are spawned on `tracker`.
    ///
    /// # Errors
    /// [`Error::Bind`], which names the address, if it cannot be listened on.
    pub async fn bind(
        config: Config,
        ports: Ports,
        hub: Arc<Hub>,
        registry: Registry,
        clock: Arc<dyn Clock>,
        tracker: TaskTracker,
    ) -> Result<Self, Error> {
        let address = config.listen;
        let failed = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let connections = Arc::new(Semaphore::new(config.connections_max.get()));
        let app = Arc::new(App {
            history_gate: Semaphore::new(config.history_queries_max.get()),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            charts: Semaphore::new(CHARTS_MAX),
            metrics: hub.metrics().clone(),
            closing: CancellationToken::new(),
            config,
            ports,
            hub,
            registry,
            clock,
            tracker,
        });
        Ok(Self { listener, local_addr, app, connections })
    }

    /// Where it listens: the port that was found if 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`; then takes no more connections, tells live clients to come back
    /// (close code 1001), lets requests finish, and returns when all have, or after
    /// `shutdown_grace_ms`.
    pub async fn run(self, shutdown: CancellationToken) {
        let app = &self.app;
        app.tracker.spawn(Arc::clone(&app.hub).run_pump(app.closing.clone()));
        let router = routes::router(Arc::clone(app));
        // Cancelled when grace is over: connections are then dropped where they stand.
        let cut = CancellationToken::new();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.accept(&router, &cut) => {}
        }
        drop(self.listener);
        app.closing.cancel();
        let all = u32::try_from(app.config.connections_max.get()).unwrap_or(u32::MAX);
        let grace = Duration::from_millis(app.config.shutdown_grace_ms.get());
        let ended = tokio::time::timeout(grace, self.connections.acquire_many(all)).await;
        if ended.is_err() {
            let n_left = app.metrics.http.connections.get();
            warn!(n_left, "Cut off {n_left} HTTP connections that did not finish in time.");
        }
        cut.cancel();
        info!("HTTP has stopped.");
    }

    /// Accepts connections for ever.
    async fn accept(&self, router: &Router, cut: &CancellationToken) {
        let app = &self.app;
        loop {
            let permit = Arc::clone(&self.connections).acquire_owned().await;
            let permit = Arc::new(permit.expect("the semaphore is never closed"));
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let connection = connection(
                        stream,
                        router.clone(),
                        Permit { _permit: permit },
                        Arc::clone(app),
                        cut.clone(),
                    );
                    app.tracker.spawn(connection);
                }
                Err(error) => {
                    app.metrics.http.connections_failed.inc();
                    warn!(%error, "Could not accept an HTTP connection: {error}.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection to its end. An upgraded one goes on in its session, which holds its own
/// clone of the permit.
async fn connection(
    stream: TcpStream,
    router: Router,
    permit: Permit,
    app: Arc<App>,
    cut: CancellationToken,
) {
    // Without these a connection works too, only less well.
    drop(stream.set_nodelay(true));
    drop(SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)));
    let open = app.metrics.http.connections.clone();
    open.inc();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(permit.clone());
        router.call(request)
    });
    let timeout = Duration::from_millis(app.config.header_timeout_ms.get());
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    // Errors are the client's: it left, or spoke no HTTP.
    tokio::select! {
        _ = serving.as_mut() => {}
        () = app.closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                _ = serving => {}
                () = cut.cancelled() => {}
            }
        }
    }
    open.dec();
}
