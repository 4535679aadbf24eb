//! The servers that are real ones: the PostgreSQL that is found, run as the managed one is, but
//! without fsync, since it need not survive the machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::server::{Started, Stop};
use super::{Kind, open};
use crate::managed::Binaries;
use crate::{Config, Running};

/// Asks for an immediate end of the server whose folder is `$2`, and waits for it.
const STOP: &str = r#"
pid=$(head -n 1 "$2/postgres/postmaster.pid") && kill -INT "$pid"
while [ -e "$2/postgres/postmaster.pid" ]; do sleep 0.1; done
"#;

const PLAIN: &str = "fsync = off\nfull_page_writes = off\nmax_connections = 200\n\
     shared_preload_libraries = ''\n";

/// Without TimescaleDB's scheduler: it stays connected to each database, so that none could be a
/// template, and jobs that run by themselves make no test.
const TIMESCALE: &str = "fsync = off\nfull_page_writes = off\nmax_connections = 200\n\
     timescaledb.max_background_workers = 0\n";

/// The configuration's own variable says where to look, as it does for the service.
fn config() -> Config {
    let bin_dir = std::env::var_os("BELLWIRE_DATABASE_BIN_DIR").map(PathBuf::from);
    Config { bin_dir, ..Config::default() }
}

/// Whether the PostgreSQL that is found has TimescaleDB.
pub(super) fn have_timescale() -> bool {
    Binaries::find(config().bin_dir.as_deref(), None).is_ok_and(|found| found.have_timescale())
}

/// Finds the server in `place`, or starts it.
pub(super) async fn start(kind: Kind, place: &Path) -> Started {
    let settings = if kind == Kind::Plain { PLAIN } else { TIMESCALE };
    assert!(
        kind == Kind::Plain || have_timescale(),
        "the PostgreSQL that is found here has no TimescaleDB; BELLWIRE_DATABASE_BIN_DIR may name \
         another"
    );
    let database = open(config(), place).with_settings(settings);
    let running = database.ensure_running().await.expect("a test server");
    let socket_dir = database.managed().expect("it has no URL").socket_dir().to_path_buf();
    let stop = (running == Running::Started).then(|| Stop { script: STOP, pipe: Stdio::null() });
    Started { admin: database.target().clone(), socket_dir, stop }
}
