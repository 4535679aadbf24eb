//! Who runs the server: us, or, where we are root, an unprivileged user.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use tokio::process::Command;

use crate::Error;

/// The user that the server runs as when we are root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUser {
    name: String,
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// Nobody special where we are not root; else `postgres`, else `nobody`.
    pub(crate) fn choose() -> Result<Option<Self>, Error> {
        if effective_uid() != 0 {
            return Ok(None);
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(|source| Error::Files {
            doing: "reading",
            path: path.into(),
            source,
        })?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Self::in_passwd(&passwd, name))
            .map(Some)
            .ok_or(Error::NoServerUser)
    }

    fn in_passwd(passwd: &str, name: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            (uid != 0).then(|| Self { name: name.into(), uid, gid })
        })
    }

    /// Makes `command` run as this user. The standard library drops root's other groups with it.
    pub(crate) fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(crate) const fn uid(&self) -> u32 {
        self.uid
    }

    /// Gives `path` itself to this user.
    pub(crate) fn own(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }

    /// Makes sure that this user can reach what lies in `dir`, an absolute path.
    pub(crate) fn can_enter(&self, dir: &Path) -> Result<(), Error> {
        let mut ancestors: Vec<&Path> = dir.ancestors().collect();
        ancestors.reverse();
        for folder in ancestors {
            let metadata = fs::metadata(folder).map_err(|source| Error::Files {
                doing: "reading the folder",
                path: folder.into(),
                source,
            })?;
            if !self.may_traverse(&metadata) {
                return Err(Error::Unreachable { folder: folder.into(), user: self.name.clone() });
            }
        }
        Ok(())
    }

    fn may_traverse(&self, folder: &Metadata) -> bool {
        let needed = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & needed != 0
    }
}

/// The user whose rights this process has.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing, touches no memory, and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          postgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let user = ServerUser::in_passwd(PASSWD, "postgres").expect("is there");
        assert_eq!((user.uid, user.gid), (101, 104));
        assert_eq!(ServerUser::in_passwd(PASSWD, "post"), None);
        assert_eq!(ServerUser::in_passwd(PASSWD, "root"), None);
    }

    #[test]
    fn a_closed_folder_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = dir.path().join("open");
        fs::create_dir(&open).expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("ours");
        let stranger = ServerUser { name: "stranger".into(), uid: 54_321, gid: 54_321 };
        let error = stranger.can_enter(&open).expect_err("closed");
        assert!(error.to_string().contains(&format!("chmod o+x {}", dir.path().display())));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("ours");
        stranger.can_enter(&open).expect("open");
    }
}
