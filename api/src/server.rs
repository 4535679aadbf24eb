//! Listens for HTTP and gives every connection to the router; stops without cutting anyone off.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::Clock;
use prometheus::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::app::{App, CHARTS_MAX, EXPORTS_MAX};
use crate::auditing::{ACTING_MAX, Flood};
use crate::auth::gate::Gate;
use crate::auth::within::Scopes;
use crate::config::Config;
use crate::error::Error;
use crate::guard::once::Answered;
use crate::guard::rate::Rates;
use crate::http::people::outside;
use crate::live::hub::Hub;
use crate::peer::Peer;
use crate::ports::Ports;
use crate::request_id::RequestIds;
use crate::routes;
use crate::sources::{Place, Sources};
use crate::tls::TlsSettings;
use crate::wire::{Door, Line};

/// How long to wait when a connection cannot be accepted: out of files, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place among the connections, and among those of its source; given back when the last clone goes.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    _connection: Arc<(OwnedSemaphorePermit, Option<Place>)>,
    _request: Option<Arc<Place>>,
}

impl Permit {
    /// Holds a place of its request's client too.
    pub(crate) fn hold(&mut self, place: Arc<Place>) {
        self._request = Some(place);
    }
}

/// HTTP and the live feed, bound to their address.
#[derive(Debug)]
pub struct Api {
    listener: TcpListener,
    local_addr: SocketAddr,
    /// The listener for HTTPS.
    secure: Option<(TcpListener, Arc<dyn TlsSettings>)>,
    app: Arc<App>,
    connections: Arc<Semaphore>,
}

impl Api {
    /// Takes the address of `config.listen`. Nothing is answered before [`Api::run`].
    ///
    /// `registry` is what `/metrics` shows. All tasks are spawned on `tracker`.
    ///
    /// # Errors
    /// [`Error::Bind`], which names the address, if it cannot be listened on; [`Error::People`] if it
    /// cannot be read who may come in.
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
        let open = |people| Gate::open(config.auth.clone(), people, Arc::clone(&clock));
        let gate = ports.people.clone().map(open).transpose().map_err(Error::People)?;
        let app = Arc::new(App {
            history_gate: Semaphore::new(config.history_queries_max.get()),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            charts: Semaphore::new(CHARTS_MAX),
            gate: gate.map(Arc::new),
            flood: Flood::default(),
            scopes: Scopes::default(),
            metrics: hub.metrics().clone(),
            closing: CancellationToken::new(),
            quiet: CancellationToken::new(),
            acting: TaskTracker::new(),
            places: Arc::new(Semaphore::new(ACTING_MAX)),
            sources: Sources::new(
                config.connections_per_source_max,
                hub.metrics().http.connections_refused.clone(),
            ),
            request_ids: RequestIds::new(clock.now()),
            rates: Rates::new(&config.rate),
            answered: Answered::default(),
            config,
            ports,
            hub,
            registry,
            clock,
            tracker,
        });
        Ok(Self { listener, local_addr, secure: None, app, connections })
    }

    /// Takes the address of `config.tls.listen` too, if there is one; gives it, port 0 replaced.
    ///
    /// # Errors
    /// [`Error::Bind`] if it cannot be listened on.
    pub async fn bind_tls(
        &mut self,
        settings: Arc<dyn TlsSettings>,
    ) -> Result<Option<SocketAddr>, Error> {
        let Some(address) = self.app.config.tls.listen else { return Ok(None) };
        let failed = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        self.secure = Some((listener, settings));
        Ok(Some(local_addr))
    }

    /// What ends the taking of requests before all else ends.
    #[must_use]
    pub fn intake(&self) -> Intake {
        Intake(Arc::clone(&self.app))
    }

    /// What reads people again at once; none where nobody has to say who they are.
    #[must_use]
    pub fn people(&self) -> Option<PeopleReader> {
        self.app.gate.clone().map(PeopleReader)
    }

    /// Where it listens: the port that was found if 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, or until [`Intake::end`] as far as new requests go; then tells live clients
    /// to come back (close code 1001), lets requests finish, and returns when all have, or after
    /// `shutdown_grace_ms`.
    pub async fn run(self, shutdown: CancellationToken) {
        let app = &self.app;
        app.tracker.spawn(Arc::clone(&app.hub).run_pump(app.tracker.clone(), app.closing.clone()));
        if let Some(gate) = &app.gate {
            app.tracker.spawn(Arc::clone(gate).run(app.closing.clone()));
            app.acting.spawn(outside::tell(Arc::clone(app), Arc::clone(gate)));
        }
        let router = routes::router(Arc::clone(app));
        let cut = CancellationToken::new();
        let line = Line { app: Arc::clone(app), router, cut: cut.clone() };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = app.quiet.cancelled() => {}
            () = self.accept(&line) => {}
        }
        drop((self.listener, self.secure, line));
        shutdown.cancelled().await;
        app.quiet.cancel();
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
    async fn accept(&self, line: &Line) {
        let app = &self.app;
        loop {
            let connection = Arc::clone(&self.connections).acquire_owned().await;
            let connection = connection.expect("the semaphore is never closed");
            let (accepted, door) = tokio::select! {
                accepted = self.listener.accept() => (accepted, Door::Plain),
                (accepted, settings) = self.accept_tls() => (accepted, Door::Tls(settings)),
            };
            match accepted {
                Ok((stream, address)) => {
                    let is_secure = matches!(door, Door::Tls(_));
                    let peer = Peer { address: address.ip().to_canonical(), is_secure };
                    // Of a proxy, requests are counted.
                    let place = if app.config.is_trusted(peer.address) {
                        None
                    } else {
                        let place = app.sources.take(peer.address, Instant::now());
                        if place.is_none() {
                            continue;
                        }
                        place
                    };
                    let connection = Arc::new((connection, place));
                    let permit = Permit { _connection: connection, _request: None };
                    app.tracker.spawn(line.clone().serve(stream, door, peer, permit));
                }
                Err(error) => {
                    app.metrics.http.connections_failed.inc();
                    warn!(%error, "Could not accept an HTTP connection: {error}.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next connection for HTTPS, and the settings that are current then; never, if there is no
    /// listener.
    async fn accept_tls(&self) -> (io::Result<(TcpStream, SocketAddr)>, Arc<ServerConfig>) {
        let Some((listener, settings)) = &self.secure else { return std::future::pending().await };
        (listener.accept().await, settings.current())
    }
}

/// The taking of requests.
#[derive(Clone, Debug)]
pub struct Intake(Arc<App>);

impl Intake {
    /// Takes no more connections, ends those that have nothing going on, and waits until requests that may
    /// change something are answered, or for `shutdown_grace_ms`. Live clients stay, and so does whatever
    /// is on its way.
    pub async fn end(self) {
        let Self(app) = self;
        app.quiet.cancel();
        app.acting.close();
        let grace = Duration::from_millis(app.config.shutdown_grace_ms.get());
        if tokio::time::timeout(grace, app.acting.wait()).await.is_err() {
            let n_left = app.acting.len();
            warn!(n_left, "{n_left} HTTP requests that change something are not answered in time.");
        }
    }
}

/// Reads users and tokens again, for who does not want to wait until it is seen that they have changed.
#[derive(Clone, Debug)]
pub struct PeopleReader(Arc<Gate>);

impl PeopleReader {
    /// Reads them now; they hold for all who come from then on. Whether they are others than before.
    ///
    /// # Errors
    /// If they cannot be read; those that are known stay valid.
    pub async fn read_again(&self) -> io::Result<bool> {
        self.0.read_again().await
    }
}
