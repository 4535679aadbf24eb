//! How well the service is: what the parts last said of themselves.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwire_api::ports::{Check, DatabaseInfo, Health, HealthStatus, Readiness};
use bellwire_broker::bridge::BridgeHandle;
use bellwire_ingest::log::{Held, Log};
use bellwire_notify::Handle;
use prometheus::{IntGauge, Registry};

use super::{bridges, notify};

/// The longest reason that is shown, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Whether the database took what it was last given.
#[derive(Debug)]
pub struct DatabaseState {
    known: Mutex<Known>,
    /// The same, for `/metrics`.
    up: IntGauge,
}

#[derive(Debug, Default)]
struct Known {
    /// Which database it is, for a person.
    detail: String,
    info: Option<DatabaseInfo>,
    /// Why it does not take what it is given, while it does not.
    away: Option<String>,
}

impl DatabaseState {
    /// Of one that nothing is known of yet.
    ///
    /// # Errors
    /// If the metric's name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let up = IntGauge::new(
            "bellwire_database_up",
            "Whether the database took what it was last given; 0 until it first did.",
        )?;
        registry.register(Box::new(up.clone()))?;
        Ok(Self { known: Mutex::default(), up })
    }

    /// It answered, and is this one.
    pub fn back(&self, info: DatabaseInfo) {
        let mut known = self.known();
        known.detail = described(&info);
        known.info = Some(info);
        known.away = None;
        self.up.set(1);
    }

    /// It is still there.
    pub fn fine(&self) {
        self.known().away = None;
        self.up.set(1);
    }

    /// It did not take what it was given. True if it did before.
    pub fn away(&self, error: &(dyn Error + 'static)) -> bool {
        let reason = innermost(error).chars().take(REASON_CHARS_MAX).collect();
        self.up.set(0);
        self.known().away.replace(reason).is_none()
    }

    /// It has not answered yet, unless there is a better reason.
    pub fn not_heard_of(&self) {
        self.known().away.get_or_insert_with(|| "it has not answered yet".to_owned());
        self.up.set(0);
    }

    /// Whether it did not take what it was given.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.known().away.is_some()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database in a line: `PostgreSQL 15.14, plain`.
pub(super) fn described(info: &DatabaseInfo) -> String {
    match &info.timescaledb {
        Some(version) => {
            format!("PostgreSQL {}, {} with TimescaleDB {version}", info.postgresql, info.mode)
        }
        None => format!("PostgreSQL {}, {}", info.postgresql, info.mode),
    }
}

/// What an error comes down to.
fn innermost(mut error: &(dyn Error + 'static)) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string().replace('\n', ", ")
}

/// Log and database, as `/readyz` shows them.
#[derive(Debug)]
pub struct ServiceHealth {
    /// Whose room decides whether devices can publish.
    pub log: Arc<dyn Log>,
    /// Whether readings reach it.
    pub database: Arc<DatabaseState>,
    /// Other brokers that readings come from.
    pub bridges: Arc<[BridgeHandle]>,
    /// Where alerts are sent to, if there is a channel.
    pub channels: Option<Handle>,
}

impl ServiceHealth {
    fn log_check(&self) -> Check {
        let (status, detail) = match self.log.held() {
            None => (HealthStatus::Ok, "it has room".to_owned()),
            Some(Held::Full) => {
                (HealthStatus::Unavailable, "it is full: devices are held back".to_owned())
            }
            Some(Held::Disk) => {
                (HealthStatus::Unavailable, "the disk is full: devices are held back".to_owned())
            }
        };
        Check { name: "log", status, detail }
    }

    fn database_check(&self) -> Check {
        let known = self.database.known();
        let (status, detail) = match &known.away {
            Some(reason) => (
                HealthStatus::Degraded,
                format!("it is away ({reason}): readings wait in the log, alerts go on"),
            ),
            None => (HealthStatus::Ok, known.detail.clone()),
        };
        Check { name: "database", status, detail }
    }
}

impl Health for ServiceHealth {
    fn readiness(&self) -> Readiness {
        let mut checks = vec![self.log_check(), self.database_check()];
        checks.extend(bridges::check(&self.bridges));
        checks.extend(notify::check(self.channels.as_ref()));
        let status = checks.iter().map(|check| check.status).max().unwrap_or(HealthStatus::Ok);
        Readiness { status, checks, database: self.database.known().info.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_follows_the_state() {
        let registry = Registry::new();
        let state = DatabaseState::register(&registry).expect("names are free");
        let shown = || registry.gather()[0].get_metric()[0].get_gauge().get_value();
        assert_eq!((state.is_away(), shown()), (false, 0.0), "nothing is known");
        state.fine();
        assert_eq!((state.is_away(), shown()), (false, 1.0));
        assert!(state.away(&std::io::Error::other("gone")), "it was there before");
        assert_eq!((state.is_away(), shown()), (true, 0.0));
        assert!(!state.away(&std::io::Error::other("gone")), "it was not");
        state.fine();
        state.not_heard_of();
        assert_eq!((state.is_away(), shown()), (true, 0.0));
    }
}
