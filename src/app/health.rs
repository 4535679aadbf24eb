//! How well the service is: what the parts last said of themselves.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bellwire_api::ports::{Check, Health, HealthStatus, Readiness};
use bellwire_ingest::log::{Held, Log};

/// Whether the database took what it was last given.
#[derive(Debug, Default)]
pub struct DatabaseState {
    away: AtomicU8,
    detail: Mutex<String>,
}

impl DatabaseState {
    /// It answered; `detail` says which it is.
    pub fn back(&self, detail: &str) {
        self.set(0, detail);
    }

    /// It is still there.
    pub fn fine(&self) {
        self.away.store(0, Ordering::Relaxed);
    }

    /// It did not answer.
    pub fn away(&self) {
        self.away.store(1, Ordering::Relaxed);
    }

    /// Whether it did not answer.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed) != 0
    }

    fn set(&self, away: u8, detail: &str) {
        self.away.store(away, Ordering::Relaxed);
        detail.clone_into(&mut self.detail.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn detail(&self) -> String {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Log and database, as `/readyz` shows them.
#[derive(Debug)]
pub struct ServiceHealth {
    /// Whose room decides whether devices can publish.
    pub log: Arc<dyn Log>,
    /// Whether readings reach it.
    pub database: Arc<DatabaseState>,
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
        let (status, detail) = if self.database.is_away() {
            (
                HealthStatus::Degraded,
                "it is away: readings wait in the log, alerts go on".to_owned(),
            )
        } else {
            (HealthStatus::Ok, self.database.detail())
        };
        Check { name: "database", status, detail }
    }
}

impl Health for ServiceHealth {
    fn readiness(&self) -> Readiness {
        let checks = vec![self.log_check(), self.database_check()];
        let status = checks.iter().map(|check| check.status).max().unwrap_or(HealthStatus::Ok);
        Readiness { status, checks }
    }
}
