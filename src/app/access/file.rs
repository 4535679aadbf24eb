//! The credentials as a file in the data directory: what a start without the database knows.
//!
//! The first line says what it is, with the SHA-256 of all that follows, which is JSON. It has hashes
//! only, and is for its owner's eyes nevertheless. It is replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bellwire_store::{AccountRow, ProvisioningRow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Its name.
const NAME: &str = "credentials";
/// How its first line begins; what follows is the sum.
const HEAD: &str = "bellwire credentials 1 ";

/// All credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Credentials {
    /// By name.
    pub(super) accounts: BTreeMap<String, AccountRow>,
    pub(super) provisioning: Vec<ProvisioningRow>,
}

/// Where they are kept.
#[derive(Clone, Debug)]
pub(super) struct CredentialsFile(PathBuf);

fn sum(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl CredentialsFile {
    pub(super) fn in_dir(data_dir: &Path) -> Self {
        Self(data_dir.join(NAME))
    }

    /// What it has; `None` if it is not there.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub(super) fn read(&self) -> io::Result<Option<Credentials>> {
        let bytes = match fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its checksum does not fit");
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let (head, body) = (&bytes[..end], &bytes[end + 1..]);
        if head != format!("{HEAD}{}", sum(body)).as_bytes() {
            return Err(damaged());
        }
        Ok(Some(serde_json::from_slice(body)?))
    }

    /// Replaces it. Durable when it returns.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(super) fn write(&self, credentials: &Credentials) -> io::Result<()> {
        let body = serde_json::to_vec(credentials)?;
        let fresh = self.0.with_extension("new");
        // Made anew, so that its mode is ours whatever was left there.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        writeln!(file, "{HEAD}{}", sum(&body))?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.0)?;
        let folder = self.0.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bellwire_store::{AccountKind, StoredHash};

    use super::*;

    fn credentials() -> Credentials {
        let row = AccountRow {
            name: "a".to_owned(),
            kind: AccountKind::Device,
            speaks_for: vec!["line-*".to_owned()],
            hash: Some(StoredHash([7; 32])),
            previous: Some((StoredHash([8; 32]), 9)),
            created_at: 1,
            rotated_at: None,
            revoked_at: None,
            provisioned_by: None,
        };
        Credentials { accounts: [("a".to_owned(), row)].into(), provisioning: Vec::new() }
    }

    #[test]
    fn what_is_written_is_read_and_is_its_owners_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = CredentialsFile::in_dir(dir.path());
        assert_eq!(file.read().unwrap(), None);
        file.write(&Credentials::default()).unwrap();
        file.write(&credentials()).unwrap();
        assert_eq!(file.read().unwrap(), Some(credentials()));
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_found_wherever_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let file = CredentialsFile::in_dir(dir.path());
        file.write(&credentials()).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for n in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[n] ^= 1;
            fs::write(file.path(), &damaged).unwrap();
            assert!(file.read().is_err(), "byte {n}");
            fs::write(file.path(), &whole[..n]).unwrap();
            assert!(file.read().is_err(), "cut at {n}");
        }
    }
}
