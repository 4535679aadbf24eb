//! A database for each test: made from a migrated template, on a server that all tests share.
//!
//! There are three kinds ([`Kind`]): plain PostgreSQL, TimescaleDB in WebAssembly, which runs
//! everywhere, and native TimescaleDB, where the PostgreSQL that is found has it. A contract is
//! written once, as functions that take a [`Kind`], and [`on_every_kind!`](crate::on_every_kind)
//! makes the tests. CONTRIBUTING.md says how to run one kind, and docs/decisions/0017 what the one
//! in WebAssembly cannot show.

mod fill;
mod native;
mod server;
mod wasm;

use std::path::Path;

use prometheus::Registry;
use tokio_util::task::TaskTracker;

pub use self::fill::fill;
use self::server::Server;
use crate::{Config, Database, Metrics, Mode, migrate};

/// What a test's database runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The PostgreSQL that is found, without TimescaleDB.
    Plain,
    /// TimescaleDB in WebAssembly. One session underneath, so no real concurrency, no timeouts,
    /// no background jobs, and nothing to terminate.
    TimescaleWasm,
    /// The PostgreSQL that is found, with its TimescaleDB.
    TimescaleNative,
}

impl Kind {
    /// A migrated, otherwise empty database.
    ///
    /// # Panics
    /// If this kind cannot be had here, or does not do as it should: then the test cannot run.
    pub async fn database(self) -> TestDatabase {
        Server::of(self).await.migrated_database().await
    }

    /// An empty database, without our tables.
    ///
    /// # Panics
    /// As [`Kind::database`].
    pub async fn empty_database(self) -> TestDatabase {
        Server::of(self).await.empty_database().await
    }

    /// How readings are stored there.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Plain => Mode::Plain,
            Self::TimescaleWasm | Self::TimescaleNative => Mode::Timescale,
        }
    }

    /// Its part of the server's folder's name.
    const fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::TimescaleWasm => "timescale-wasm",
            Self::TimescaleNative => "timescale-native",
        }
    }
}

/// Makes of each named function, `async fn name(kind: Kind)`, a test on every kind of database:
/// `plain::name`, `timescale_wasm::name` and `timescale_native::name`. Those after `; native:` need
/// more than one session, and have no test in WebAssembly. A function that is not named is dead
/// code, which the compiler reports.
///
/// Those of `timescale_native` fail where there is no native TimescaleDB; so nextest leaves them
/// out, and says how many, unless told otherwise. `scripts/nextest` tells it where there is one.
#[macro_export]
#[doc(hidden)]
macro_rules! on_every_kind {
    ($($test:ident),+ $(,)? $(; native: $($native:ident),+ $(,)?)?) => {
        $crate::on_every_kind! { @on plain, Plain, $($test)+ $($($native)+)? }
        $crate::on_every_kind! { @on timescale_wasm, TimescaleWasm, $($test)+ }
        $crate::on_every_kind! { @on timescale_native, TimescaleNative, $($test)+ $($($native)+)? }
    };
    (@on $module:ident, $kind:ident, $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($crate::testing::Kind::$kind).await;
                }
            )+
        }
    };
}

/// A database of one test's own. It goes with the server; [`TestDatabase::url`] reaches it.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// A `postgres://` URL, also for `psql`.
    pub url: String,
    /// How the store reaches it.
    pub config: Config,
}

impl TestDatabase {
    /// Brings it to schema version `version`, as an older program left it; gives the newest version
    /// that this program knows.
    ///
    /// # Panics
    /// If that fails.
    pub async fn migrate_to(&self, version: i32) -> i32 {
        migrate::migrate_to(self.open().target(), version).await.expect("an older schema");
        migrate::newest_version()
    }

    /// The same as [`Database::new`] with this database's URL, default limits, metrics of its own
    /// and connections that live as long as the test's runtime.
    ///
    /// # Panics
    /// If the URL is none, which would be a fault here.
    #[must_use]
    pub fn open(&self) -> Database {
        self.open_with(|_| {})
    }

    /// The same, with a changed configuration.
    ///
    /// # Panics
    /// If it cannot work.
    #[must_use]
    pub fn open_with(&self, change: impl FnOnce(&mut Config)) -> Database {
        let mut config = self.config.clone();
        change(&mut config);
        open(config, Path::new("/nonexistent"))
    }
}

fn open(config: Config, data_dir: &Path) -> Database {
    let metrics = Metrics::register(&Registry::new()).expect("a new registry has no names");
    Database::new(config, data_dir, TaskTracker::new(), metrics).expect("the defaults are valid")
}

/// A migrated, otherwise empty database on plain PostgreSQL.
///
/// # Panics
/// If there is no PostgreSQL, or it does not do as it should: then no test can run.
pub async fn database() -> TestDatabase {
    Kind::Plain.database().await
}

/// A migrated, otherwise empty database on TimescaleDB, which runs everywhere; see
/// [`Kind::TimescaleWasm`] for what it cannot do.
///
/// # Panics
/// If its npm package is not installed (`scripts/timescale fetch` does that).
pub async fn timescale_database() -> TestDatabase {
    Kind::TimescaleWasm.database().await
}

/// A migrated, otherwise empty database on native TimescaleDB; `None` where the PostgreSQL that is
/// found has none.
///
/// # Panics
/// As [`database`].
pub async fn native_timescale_database() -> Option<TestDatabase> {
    if native::have_timescale() { Some(Kind::TimescaleNative.database().await) } else { None }
}

/// An empty database on plain PostgreSQL, without our tables.
///
/// # Panics
/// As [`database`].
pub async fn empty_database() -> TestDatabase {
    Kind::Plain.empty_database().await
}
