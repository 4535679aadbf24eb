//! The server as a process: whether it lives, whether it is ready, how it is told to stop.
//!
//! Everything is read from `postmaster.pid`, as `pg_ctl` does it, so a server that outlived the
//! process that started it is handled like one of ours.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Child;

/// What `postmaster.pid` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    pub(crate) port: u16,
    pub(crate) socket_dir: PathBuf,
    /// The first address it listens on; empty if there is none.
    pub(crate) listen: String,
    pub(crate) status: Status,
}

/// How far a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Starting,
    Ready,
    Stopping,
}

impl PidFile {
    /// What the file of the server on `cluster` says; `None` if there is none, or no whole one.
    pub(crate) fn read(cluster: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(cluster.join("postmaster.pid")).ok()?)
    }

    /// Lines: pid, data directory, start time, port, socket folder, address, shared memory,
    /// status (`pidfile.h`).
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let status = match lines.get(7).copied() {
            Some("ready") => Status::Ready,
            Some("stopping") => Status::Stopping,
            _ => Status::Starting,
        };
        Some(Self {
            pid: lines.first()?.parse().ok()?,
            port: lines.get(3).and_then(|port| port.parse().ok()).unwrap_or(0),
            socket_dir: PathBuf::from(lines.get(4).copied().unwrap_or_default()),
            listen: lines.get(5).copied().unwrap_or_default().to_owned(),
            status,
        })
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pid: i32,
    /// `None` for an adopted one.
    child: Option<Child>,
}

impl Server {
    pub(crate) const fn adopted(pid: i32) -> Self {
        Self { pid, child: None }
    }

    /// `None` if it has ended already.
    pub(crate) fn started(child: Child) -> Option<Self> {
        let pid = i32::try_from(child.id()?).ok()?;
        Some(Self { pid, child: Some(child) })
    }

    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs on `cluster`. Reaps a child that has ended.
    pub(crate) fn is_alive(&mut self, cluster: &Path) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => runs_on(self.pid, cluster),
        }
    }

    /// Asks for a fast shutdown: connections are cut, everything is written, and it ends.
    pub(crate) fn ask_to_stop(&self) {
        // SAFETY: sends a signal to a process that was a server of ours a moment ago; no memory
        // is involved. The worst outcome, that it is gone, is an error we need not know.
        unsafe { libc::kill(self.pid, libc::SIGINT) };
    }
}

/// Whether the process `pid` is a server on `cluster`: its working directory is. A number that
/// has passed to another process, or a dead one waiting to be reaped, is not.
pub(crate) fn runs_on(pid: i32, cluster: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read() {
        let text = "4711\n/d/postgres\n1700000000\n5432\n/d/postgres/run\n\n 1 2\nready   \n";
        let file = PidFile::parse(text).expect("whole");
        assert_eq!((file.pid, file.status), (4711, Status::Ready));
        assert_eq!(file.socket_dir, Path::new("/d/postgres/run"));
        assert_eq!((file.port, file.listen.as_str()), (5432, ""));
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("4711\n").map(|file| file.status), Some(Status::Starting));
    }

    #[test]
    fn a_process_elsewhere_is_not_our_server() {
        let dir = tempfile::tempdir().expect("a folder");
        let pid = i32::try_from(std::process::id()).expect("a pid");
        assert!(!runs_on(pid, dir.path()));
        let here = std::env::current_dir().expect("a folder");
        assert!(runs_on(pid, &here));
    }
}
