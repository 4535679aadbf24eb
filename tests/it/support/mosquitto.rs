//! Mosquitto as a process of the test's own: a broker that others wrote, to be bridged from.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::service::{poll, send_signal, wait_until};

/// Where Debian and others have it: not in everyone's path.
const PLACES: [&str; 4] = [
    "/usr/sbin/mosquitto",
    "/usr/local/sbin/mosquitto",
    "/opt/homebrew/sbin/mosquitto",
    "/usr/bin/mosquitto",
];

/// A broker and what it keeps; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one that lets everyone in and keeps its sessions in `dir`.
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::start_with(dir, "allow_anonymous true\n").await
    }

    /// Starts one with `more` in its configuration, behind its listener.
    pub(crate) async fn start_with(dir: &Path, more: &str) -> Self {
        let dir = dir.join("mosquitto");
        std::fs::create_dir_all(&dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut broker = Self { dir, port, child: None };
        let place = broker.dir.display().to_string();
        // As root it would otherwise become a user who may not write here.
        let config = format!(
            "per_listener_settings false\nuser root\npersistence true\npersistence_location {place}/\n\
             max_queued_messages 0\nset_tcp_nodelay true\nlog_type all\nlog_dest file {place}/log\n\
             listener {port} 127.0.0.1\n{more}"
        );
        std::fs::write(broker.dir.join("config"), config).unwrap();
        broker.launch().await;
        broker
    }

    /// Starts it (again), on the port that it had.
    pub(crate) async fn launch(&mut self) {
        let program = PLACES.iter().find(|place| Path::new(place).exists());
        let program = program.expect("mosquitto is installed: make setup-test");
        let child = Command::new(program)
            .arg("-c")
            .arg(self.dir.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let mut pulse = poll();
        while TcpStream::connect(self.address()).await.is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "mosquitto ended: {}", self.log());
            pulse.tick().await;
        }
    }

    /// Has it write down what it keeps, as it does by itself every half hour and when it ends.
    pub(crate) async fn save(&self) {
        let file = self.dir.join("mosquitto.db");
        let written = || std::fs::metadata(&file).and_then(|it| it.modified()).ok();
        let before: Option<SystemTime> = written();
        send_signal(self.child.as_ref().and_then(Child::id).expect("it runs"), libc::SIGUSR1);
        wait_until("mosquitto has saved", || written() != before).await;
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Where it listens, `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}
