//! The server in WebAssembly: the Node program in `tests/timescale`, which lives until the pipe
//! that is its standard input is closed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio_util::task::TaskTracker;

use super::server::{Started, Stop};
use crate::connect::Target;
use crate::{Config, managed};

/// Where the program lies.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/timescale");

/// Closes the pipe that the watcher holds as its standard output.
const STOP: &str = "exec >&-";

/// Finds the server in `place`, or starts it.
pub(super) async fn start(place: &Path) -> Started {
    let mut pg = tokio_postgres::Config::new();
    pg.host_path(place).user(managed::NAME).dbname("postgres");
    let (wish, limit) = (crate::tls::Wish::default(), Config::default().connect_timeout());
    let admin = Target::new(pg, wish, TaskTracker::new(), limit).expect("there is TLS");
    let stop = match admin.connect("bellwire test").await {
        Ok(_) => None,
        Err(_) => Some(launch(place)),
    };
    Started { admin, socket_dir: place.to_path_buf(), stop }
}

/// Starts it and waits until it says that it listens.
#[expect(clippy::zombie_processes, reason = "it must outlive us, whoever we are")]
fn launch(place: &Path) -> Stop {
    assert!(
        Path::new(PROGRAM).join("node_modules/.fetched").exists(),
        "TimescaleDB for tests is not installed: run scripts/timescale fetch"
    );
    let log_path = place.join("server.log");
    let log = File::create(&log_path).expect("a log file in our own folder");
    let mut child = spawn(place, log);
    let stdout = child.stdout.take().expect("it is a pipe");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("a line from the server");
    assert!(
        line == "ready\n",
        "TimescaleDB for tests did not start: {}",
        std::fs::read_to_string(&log_path).unwrap_or_default()
    );
    Stop { script: STOP, pipe: child.stdin.take().expect("it is a pipe").into() }
}

fn spawn(place: &Path, log: File) -> Child {
    Command::new("node")
        .arg(Path::new(PROGRAM).join("server.mjs"))
        .arg(place)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("node, which the tests need")
}
