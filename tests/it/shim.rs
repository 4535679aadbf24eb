//! The bad disk is as bad as it says: without this, the durability tests would prove nothing.
//!
//! Each test runs [`a_page_is_written_and_synced`] again, in a process on a bad disk.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use std::{env, io};

use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::shim::BadDisk;

const PAGE: [u8; 4096] = [7; 4096];

/// Names the file of [`a_page_is_written_and_synced`] where it runs as a child.
const FILE: &str = "BELLWIRE_SHIM_TEST_FILE";

/// Writes one page as the log does: allocated where it is not yet, written in place, synced.
fn write_page(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        allocate(&file)?;
    }
    file.write_all_at(&PAGE, 0)?;
    file.sync_data()
}

fn allocate(file: &File) -> io::Result<()> {
    let page_bytes = libc::off_t::try_from(PAGE.len()).expect("a page is small");
    // SAFETY: the descriptor is open for as long as `file` is borrowed; nothing else is passed.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, page_bytes) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[test]
fn a_page_is_written_and_synced() {
    let dir = TempDir::new().expect("a folder for the test");
    let path = env::var_os(FILE).map_or_else(|| dir.path().join("page"), PathBuf::from);
    if let Err(error) = write_page(&path) {
        panic!("the page was not written: {error}");
    }
    assert_eq!(fs::read(&path).expect("the page is there"), PAGE);
}

/// Runs the test above in a process on `disk`, writing to `path`.
fn write_page_on(disk: &BadDisk, path: &Path) -> Output {
    let program = env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["--exact", "shim::a_page_is_written_and_synced", "--nocapture"]);
    command.env(FILE, path);
    disk.for_command(&mut command).output().expect("this program starts")
}

#[track_caller]
fn fails_with(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "succeeded: {said}");
    assert!(said.contains(expected), "did not say {expected:?}: {said}");
}

#[track_caller]
fn succeeds(output: &Output) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_slow_disk_syncs_late() {
    const DELAY: Duration = Duration::from_millis(300);
    let dir = TempDir::new().expect("a folder for the test");
    let disk = BadDisk::below(dir.path()).sync_delay(DELAY);
    let started = Instant::now();
    succeeds(&write_page_on(&disk, &dir.path().join("page")));
    // Only a lower bound: a busy machine may take longer.
    assert!(started.elapsed() >= DELAY, "synced after {:?}", started.elapsed());
}

#[test]
fn a_failing_disk_does_not_sync() {
    let dir = TempDir::new().expect("a folder for the test");
    let (page, switch) = (dir.path().join("page"), dir.path().join("fail"));
    let disk = BadDisk::below(dir.path()).fails_while(&switch);
    succeeds(&write_page_on(&disk, &page));
    fs::write(&switch, "").expect("the switch can be made");
    fails_with(&write_page_on(&disk, &page), "Input/output error (os error 5)");
    fs::remove_file(&switch).expect("the switch can be removed");
    succeeds(&write_page_on(&disk, &page));
}

#[test]
fn a_full_disk_takes_nothing() {
    let dir = TempDir::new().expect("a folder for the test");
    let (page, switch) = (dir.path().join("page"), dir.path().join("full"));
    let disk = BadDisk::below(dir.path()).full_while(&switch);
    fs::write(&switch, "").expect("the switch can be made");
    fails_with(&write_page_on(&disk, &page), "No space left on device (os error 28)");
    assert_eq!(fs::metadata(&page).expect("the file was opened").len(), 0, "nothing was allocated");
    fs::remove_file(&switch).expect("the switch can be removed");
    succeeds(&write_page_on(&disk, &page));
    fs::write(&switch, "").expect("the switch can be made");
    fs::write(&page, [0; PAGE.len()]).expect("this process has a good disk");
    fails_with(&write_page_on(&disk, &page), "No space left on device (os error 28)");
    assert_eq!(fs::read(&page).expect("the page is there"), [0; PAGE.len()], "nothing was written");
}

#[test]
fn files_elsewhere_are_left_alone() {
    let (dir, elsewhere) = (TempDir::new().expect("a folder"), TempDir::new().expect("another"));
    let switch = dir.path().join("bad");
    fs::write(&switch, "").expect("the switch can be made");
    let disk = BadDisk::below(dir.path()).fails_while(&switch).full_while(&switch);
    succeeds(&write_page_on(&disk, &elsewhere.path().join("page")));
}
