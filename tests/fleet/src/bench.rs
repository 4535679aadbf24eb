//! What a bench asks the machine: processes' CPU time, and how long its disk takes to sync.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::{FleetError, Histogram};

/// Linux counts a process's CPU time in hundredths of a second (`USER_HZ`), whatever its own tick.
const TICK: Duration = Duration::from_millis(10);
/// How much of the probed file is overwritten before it starts over, and its writes' size.
const PROBE_BYTES: u64 = 1024 * 1024;
const WRITE_BYTES: usize = 4096;
/// The most syncs that one call makes.
const SYNCS_MAX: u32 = 10_000;

/// One process as `/proc/{pid}/stat` shows it.
struct Stat {
    parent: u32,
    /// Its own CPU time, user and system.
    own: Duration,
    /// That of its children which have ended and been waited for.
    ended_children: Duration,
}

/// CPU time (user and system) of one process and all its threads, to 10 ms; its children's is not
/// in it.
///
/// # Errors
/// [`FleetError::Process`] if there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration, FleetError> {
    Ok(stat(pid).map_err(|source| FleetError::Process { pid, source })?.own)
}

/// CPU time of a process and everything it has started, alive or ended: a PostgreSQL postmaster
/// with all its backends. A descendant that ended while its own parent lives counts once that
/// parent has waited for it.
///
/// # Errors
/// [`FleetError::Process`] if there is no such process, or `/proc` cannot be read.
pub fn tree_cpu_time(pid: u32) -> Result<Duration, FleetError> {
    let failed = |source| FleetError::Process { pid, source };
    let root = stat(pid).map_err(failed)?;
    let mut total = root.own + root.ended_children;
    let everyone: Vec<(u32, Stat)> = std::fs::read_dir("/proc")
        .map_err(failed)?
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // One that has ended meanwhile is counted by its parent next time.
            Some((pid, stat(pid).ok()?))
        })
        .collect();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for (child, stat) in everyone.iter().filter(|(_, stat)| stat.parent == parent) {
            total += stat.own + stat.ended_children;
            parents.push(*child);
        }
    }
    Ok(total)
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The second field is the program's name in parentheses, and may itself have any character.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // proc_pid_stat(5): state is field 3, ppid 4, utime 14, stime 15, cutime 16, cstime 17.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u32>().ok().map(|n| TICK * n);
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(14)? + ticks(15)?,
        ended_children: ticks(16)? + ticks(17)?,
    })
}

/// Times `syncs` (at most 10,000) of `fdatasync` on a file of its own in `dir`, each after 4 KiB
/// were overwritten in its 1 MiB: as a log in preallocated segments is written. The file is removed
/// again. It blocks: give it a thread.
///
/// # Errors
/// [`FleetError::Write`].
pub fn time_fdatasync(dir: &Path, syncs: u32) -> Result<Histogram, FleetError> {
    let path = dir.join(format!("fdatasync-probe-{}", std::process::id()));
    let result = time_syncs_of(&path, syncs.min(SYNCS_MAX));
    // If it could not even be made, that is the error to tell.
    let _ = std::fs::remove_file(&path);
    result.map_err(|source| FleetError::Write { path, source })
}

fn time_syncs_of(path: &Path, syncs: u32) -> io::Result<Histogram> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(&vec![0; usize::try_from(PROBE_BYTES).map_err(io::Error::other)?])?;
    file.sync_all()?;
    let mut histogram = Histogram::default();
    let block = [0x5a; WRITE_BYTES];
    for sync in 0..u64::from(syncs) {
        file.seek(SeekFrom::Start(sync * WRITE_BYTES as u64 % PROBE_BYTES))?;
        file.write_all(&block)?;
        let began = Instant::now();
        file.sync_data()?;
        histogram.record(began.elapsed());
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_account() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 30 20 20 0 1 0 99";
        let stat = parse_stat(text).expect("an account");
        assert_eq!(stat.parent, 7);
        assert_eq!(stat.own, Duration::from_secs(2));
        assert_eq!(stat.ended_children, Duration::from_millis(500));
    }

    #[test]
    fn our_own_time_and_our_childrens_are_counted() {
        let me = std::process::id();
        let own_before = cpu_time(me).expect("we run");
        let tree_before = tree_cpu_time(me).expect("we run");
        // Until a child has used a tick or more: the loop ends by itself on any machine.
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", spin]).status().expect("a shell");
        assert!(status.success());
        let own = cpu_time(me).expect("we run") - own_before;
        let tree = tree_cpu_time(me).expect("we run") - tree_before;
        assert!(tree > own, "{tree:?} of the tree, {own:?} of ours");
        assert!(cpu_time(u32::MAX).is_err());
    }

    #[test]
    fn syncs_are_timed_and_leave_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(time_fdatasync(dir.path(), 20).expect("timed").count(), 20);
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
        assert!(time_fdatasync(&dir.path().join("absent"), 1).is_err());
    }
}
