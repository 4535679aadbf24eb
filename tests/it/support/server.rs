//! A PostgreSQL server of a test's own, outside the service: to stop, freeze and kill as it likes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bellwire_store::{Config, Database, Metrics};
use tokio_util::task::TaskTracker;

use super::service::{send_signal, wait_until};

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    dir: PathBuf,
    database: Database,
}

impl Server {
    /// Starts one, with an empty database.
    pub(crate) async fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwire-it-db-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let database = Database::new(Config::default(), &dir, TaskTracker::new(), metrics);
        let server = Self { dir, database: database.unwrap() };
        server.go_on().await;
        server
    }

    /// Its database's URL.
    pub(crate) fn url(&self) -> String {
        self.database.managed_url().unwrap()
    }

    /// Starts it again, if it does not run; thaws it, if it is frozen.
    pub(crate) async fn go_on(&self) {
        self.signal_all(libc::SIGCONT);
        self.database.ensure_running().await.unwrap();
    }

    /// Stops it as an operator does: connections are cut, and it does not answer any more.
    pub(crate) async fn stop(&self) {
        self.database.stop().await.unwrap();
    }

    /// Freezes all its processes: connections stand, and nobody answers or reads.
    pub(crate) fn freeze(&self) {
        self.signal_all(libc::SIGSTOP);
    }

    /// Kills all its processes, the first one first, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        let pids = pids(&self.cluster());
        assert!(!pids.is_empty(), "it runs");
        pids.iter().for_each(|pid| send_signal(*pid, libc::SIGKILL));
        // The first is a child of this test's process: dead, it has no folder any more.
        wait_until("it is gone", || pids.iter().all(|pid| !runs_on(*pid, &self.cluster()))).await;
    }

    fn signal_all(&self, signal: libc::c_int) {
        pids(&self.cluster()).iter().for_each(|pid| send_signal(*pid, signal));
    }

    fn cluster(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for signal in [libc::SIGCONT, libc::SIGQUIT] {
            self.signal_all(signal);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The processes of the server on `cluster`, its first one first.
pub(crate) fn pids(cluster: &Path) -> Vec<u32> {
    let first = std::fs::read_to_string(cluster.join("postmaster.pid")).ok();
    let first: Option<u32> = first.and_then(|text| text.lines().next()?.trim().parse().ok());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = numbers.filter(|pid| runs_on(*pid, cluster)).collect();
    pids.sort_unstable_by_key(|pid| (Some(*pid) != first, *pid));
    pids
}

/// Whether a process has the cluster's folder as its own, as every process of a server has.
fn runs_on(pid: u32, cluster: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster)
}
