//! What the benches of the broker share.

use std::fs;
use std::time::Duration;

/// CPU time of this process's threads whose name begins with `prefix`.
pub(crate) fn cpu_time(prefix: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let nanos = tasks.flatten().filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanos = stat.split(' ').next()?.parse::<u64>().ok()?;
        name.starts_with(prefix).then_some(nanos)
    });
    Duration::from_nanos(nanos.sum())
}
