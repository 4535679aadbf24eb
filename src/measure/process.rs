//! What the kernel says of a process: its memory, and the CPU time of each of its threads.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context;

/// Memory of process `pid` that nobody else has, in bytes: its own part of what it shares, and all
/// else that it has touched.
///
/// # Errors
/// If the process has ended or is another user's.
pub(crate) fn memory_bytes(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = kilobytes.and_then(|rest| rest.split_whitespace().next());
    Ok(kilobytes.context("no Pss in smaps_rollup")?.parse::<u64>()? * 1024)
}

/// How many files and connections process `pid` has open.
///
/// # Errors
/// If the process has ended or is another user's.
pub(crate) fn open_files(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// CPU time of process `pid`'s threads so far, added up by the threads' names; at most 15 letters
/// of a name are known. Threads that have ended are not in it.
///
/// # Errors
/// If the process has ended.
pub(crate) fn thread_times(pid: u32) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // A thread may end while we look.
        let Ok(name) = fs::read_to_string(task.path().join("comm")) else { continue };
        let Ok(stat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        let nanos = stat.split(' ').next().unwrap_or_default().parse()?;
        *times.entry(name.trim().to_owned()).or_default() += Duration::from_nanos(nanos);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_and_threads_are_found() {
        let me = std::process::id();
        assert!(memory_bytes(me).unwrap() > 100_000);
        assert!(open_files(me).unwrap() > 2);
        let times = thread_times(me).unwrap();
        assert!(times.values().sum::<Duration>() > Duration::ZERO, "{times:?}");
        assert!(memory_bytes(u32::MAX).is_err() && thread_times(u32::MAX).is_err());
    }
}
