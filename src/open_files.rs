//! How many files, and so connections, the process may have open: as many as the system lets it.

use std::io;

/// Raises the soft limit of open files to the hard one, and gives it. Most systems start programs
/// with 1,024, for the sake of those that use `select`; we do not, and a connection is a file.
///
/// # Errors
/// If the system refuses.
pub(crate) fn raise() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a limit of ours, which the call fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a limit of ours, which the call reads.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise().unwrap();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let fields: Vec<&str> = line.split_whitespace().skip(3).collect();
        assert_eq!(fields[0], fields[1], "{line}");
        assert!(fields[0] == raised.to_string() || fields[0] == "unlimited", "{line}");
    }
}
