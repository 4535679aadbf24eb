//! The few things the log asks of a disk, behind a trait so that tests can delay and fail them.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the log asks of a disk, apart from opening, renaming and reading files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded` hold the log; any other stops the process. After an error
    /// any part may have been written.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written to `file` durable: `fdatasync`.
    ///
    /// # Errors
    /// Any error means that written data may be lost: it is never tried again.
    fn sync_data(&self, file: &File) -> io::Result<()>;

    /// Reserves the first `bytes` of a new file.
    ///
    /// # Errors
    /// `StorageFull` or `QuotaExceeded` if there is no room.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;

    /// Bytes free for us on the file system of `dir`.
    ///
    /// # Errors
    /// Whatever `statvfs` says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        let bytes = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        let failed = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) } != 0;
        if !failed {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Some file systems cannot reserve: then the write finds out.
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => file.set_len(bytes.unsigned_abs()),
            _ => Err(error),
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let path = std::ffi::CString::new(dir.as_os_str().as_bytes()).map_err(io::Error::other)?;
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: `path` is a C string and `stat` is writable; both live through the call.
        if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a plain struct of integers, zeroed before and filled by the successful call.
        let stat = unsafe { stat.assume_init() };
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Makes names made, changed or removed in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes zeros over `from..to`, a MiB at a time.
pub(super) fn write_zeros(disk: &dyn Disk, file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = from;
    while offset < to {
        let bytes = (to - offset).min(zeros.len() as u64);
        disk.write_at(file, &zeros[..bytes as usize], offset)?;
        offset += bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_file_has_its_size_and_the_disk_has_room() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = File::create(dir.path().join("x")).expect("create");
        OsDisk.allocate(&file, 8192).expect("allocate");
        assert_eq!(file.metadata().expect("metadata").len(), 8192);
        assert!(OsDisk.free_bytes(dir.path()).expect("statvfs") > 0);
        assert!(OsDisk.free_bytes(Path::new("/nowhere/at/all")).is_err());
    }
}
