//! Connections: how each is made, and that none outlives its owner.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::Error;
use crate::tls::Wish;

/// Where the database is, and who runs the connections' tasks.
#[derive(Clone)]
pub(crate) struct Target {
    pg: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    wish: Wish,
    tracker: TaskTracker,
    connect_timeout: Duration,
}

/// A connection. Dropped, it is closed at once, even if the server does not answer.
pub(crate) struct Link {
    pub(crate) client: Client,
    _open: DropGuard,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.client.is_closed() { "Link(closed)" } else { "Link(open)" })
    }
}

impl Target {
    pub(crate) fn new(
        mut pg: tokio_postgres::Config,
        wish: Wish,
        tracker: TaskTracker,
        connect_timeout: Duration,
    ) -> Result<Self, Error> {
        let tls = wish.connector()?;
        // As libpq has it: there is no TLS on a socket of this machine, and nothing is asked there.
        let is_unix = |host: &Host| matches!(host, Host::Unix(_));
        let hosts = pg.get_hosts();
        if !hosts.is_empty() && hosts.iter().all(is_unix) && pg.get_hostaddrs().is_empty() {
            pg.ssl_mode(SslMode::Disable);
        }
        // A peer that vanished without a word must not hold a connection for two hours.
        pg.connect_timeout(connect_timeout)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(25));
        Ok(Self { pg, tls, wish, tracker, connect_timeout })
    }

    /// The same server, another database.
    pub(crate) fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.pg.dbname(name);
        other
    }

    /// Connects as `application`, which `pg_stat_activity` shows.
    pub(crate) async fn connect(&self, application: &str) -> Result<Link, Error> {
        let mut pg = self.pg.clone();
        pg.application_name(application);
        let connecting = pg.connect(self.tls.clone());
        let (client, mut connection) = match timeout(self.connect_timeout, connecting).await {
            Ok(Ok(pair)) => pair,
            Ok(Err(source)) => return Err(Error::Connect { target: self.to_string(), source }),
            Err(_) => return Err(deadline("connecting to the database", self.connect_timeout)),
        };
        let closed = CancellationToken::new();
        let open = closed.clone().drop_guard();
        self.tracker.spawn(async move {
            // Without a farewell: an owner that gives up in the middle of a transaction wants it
            // undone now, and its locks gone.
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = closed.cancelled() => Ok(()),
            };
            if let Err(error) = ended {
                debug!(%error, "A database connection ended.");
            }
        });
        Ok(Link { client, _open: open })
    }

    pub(crate) const fn pg(&self) -> &tokio_postgres::Config {
        &self.pg
    }

    /// What is asked of TLS.
    pub(crate) const fn wish(&self) -> &Wish {
        &self.wish
    }

    pub(crate) const fn tls(&self) -> &MakeRustlsConnect {
        &self.tls
    }

    pub(crate) const fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("pg", &self.pg).finish_non_exhaustive()
    }
}

impl fmt::Display for Target {
    /// Hosts and database, never user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, host) in self.pg.get_hosts().iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{separator}{name}")?,
                Host::Unix(path) => write!(f, "{separator}{}", path.display())?,
            }
        }
        if let [port, ..] = self.pg.get_ports() {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.pg.get_dbname().unwrap_or_default())
    }
}

/// That `doing` took longer than `limit`.
pub(crate) fn deadline(doing: &'static str, limit: Duration) -> Error {
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    Error::Deadline { doing, limit_ms }
}

/// Names what was being done when a statement failed.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| Error::Query { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_shows_no_password() {
        let pg = "postgres://ann:hush@db.example:6543/telemetry".parse().expect("a URL");
        let target = Target::new(pg, Wish::default(), TaskTracker::new(), Duration::from_secs(1));
        let target = target.expect("there is TLS");
        assert_eq!(target.to_string(), "db.example:6543/telemetry");
    }
}
