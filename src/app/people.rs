//! The people who may use the API as files in the data directory: there whether the database is or not.
//!
//! `people.json` has users and tokens, `sessions.json` who is signed in; both have hashes only. A file is
//! replaced as a whole. Whoever changes people holds a lock on `people.lock`: the service or the command
//! line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bellwire_api::auth::people::{People, PeopleError};
use bellwire_api::ports::{Activity, PeopleStore, PeopleStoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Users and tokens.
pub(crate) const PEOPLE: &str = "people.json";
/// Who is signed in.
pub(crate) const SESSIONS: &str = "sessions.json";
const LOCK: &str = "people.lock";
const SETUP_CODE: &str = "setup-code";
/// What programs on this machine come in with.
pub(crate) const LOCAL_TOKEN: &str = "local-token";

/// By which it is seen that a file is another one.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The files of one data directory.
#[derive(Debug)]
pub(crate) struct PeopleFiles {
    dir: PathBuf,
    /// Of `people.json`, when it was last read or written here.
    seen: Mutex<Stamp>,
}

impl PeopleFiles {
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), seen: Mutex::new(None) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn stamp(&self) -> Stamp {
        let it = fs::metadata(self.path(PEOPLE)).ok()?;
        Some((it.ino(), it.len(), it.mtime(), it.mtime_nsec()))
    }

    fn see(&self, stamp: Stamp) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    fn read_file<T: DeserializeOwned + Default>(&self, name: &str) -> io::Result<T> {
        let path = self.path(name);
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
        };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| named(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(named(error)),
        }
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        let put = || {
            let fresh = self.path(&format!("{name}.new"));
            // Made anew, so that its mode is ours whatever was left there.
            remove(&fresh)?;
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            self.give(&file)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        put().map_err(|error: io::Error| {
            io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
        })
    }

    /// What root makes here belongs to whoever the folder belongs to: the service's user has to read it.
    fn give(&self, file: &File) -> io::Result<()> {
        if !crate::config::is_root() {
            return Ok(());
        }
        let folder = fs::metadata(&self.dir)?;
        std::os::unix::fs::fchown(file, Some(folder.uid()), Some(folder.gid()))
    }

    /// Puts a text into a file, or removes the file.
    fn show(&self, name: &str, text: Option<&str>) -> io::Result<()> {
        match text {
            Some(text) => self.write_file(name, format!("{text}\n").as_bytes()),
            None => remove(&self.path(name)),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl PeopleStore for PeopleFiles {
    fn read(&self) -> io::Result<People> {
        let stamp = self.stamp();
        let people = self.read_file(PEOPLE);
        // A damaged file is told of once.
        self.see(stamp);
        people
    }

    fn has_changed(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != self.stamp()
    }

    fn change(
        &self,
        change: &mut dyn FnMut(&mut People) -> Result<(), PeopleError>,
    ) -> Result<People, PeopleStoreError> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path(LOCK))?;
        self.give(&lock)?;
        lock.lock()?;
        let mut people = self.read()?;
        change(&mut people)?;
        self.write_file(PEOPLE, &json(&people)?)?;
        self.see(self.stamp());
        // The lock goes with the file that it is on.
        drop(lock);
        Ok(people)
    }

    fn read_activity(&self) -> io::Result<Activity> {
        self.read_file(SESSIONS)
    }

    fn write_activity(&self, activity: &Activity) -> io::Result<()> {
        self.write_file(SESSIONS, &json(activity)?)
    }

    fn show_setup_code(&self, code: Option<&str>) -> io::Result<String> {
        self.show(SETUP_CODE, code)?;
        Ok(self.path(SETUP_CODE).display().to_string())
    }

    fn show_local_token(&self, token: Option<&str>) -> io::Result<()> {
        self.show(LOCAL_TOKEN, token)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bellwire_api::auth::Role;
    use bellwire_api::auth::name::UserName;
    use bellwire_api::auth::people::User;
    use bellwire_model::Timestamp;

    use super::*;

    fn add(files: &PeopleFiles, name: &str) -> Result<People, PeopleStoreError> {
        let user = User::new(Role::Viewer, Timestamp::EPOCH);
        files.change(&mut |people| people.add(UserName::new(name).unwrap(), user.clone()))
    }

    #[test]
    fn what_is_changed_is_read_by_others_and_is_its_owners_only() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (PeopleFiles::in_dir(dir.path()), PeopleFiles::in_dir(dir.path()));
        assert!(one.read().unwrap().is_empty() && !one.has_changed());
        let made = add(&other, "anna").unwrap();
        assert!(one.has_changed() && !other.has_changed());
        assert_eq!(one.read().unwrap(), made);
        assert!(!one.has_changed());
        assert!(matches!(add(&one, "anna"), Err(PeopleStoreError::Refused(_))));
        assert!(!other.has_changed(), "nothing was written");
        one.show_local_token(Some("x")).unwrap();
        one.write_activity(&Activity::default()).unwrap();
        for name in [PEOPLE, SESSIONS, LOCAL_TOKEN, LOCK] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        one.show_local_token(None).unwrap();
        one.show_local_token(None).unwrap();
        assert!(!dir.path().join(LOCAL_TOKEN).exists());
    }

    #[test]
    fn two_who_change_at_once_both_change() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for part in 0..4 {
                let dir = dir.path();
                scope.spawn(move || {
                    let files = PeopleFiles::in_dir(dir);
                    for n in 0..10 {
                        add(&files, &format!("u{part}-{n}")).unwrap();
                    }
                });
            }
        });
        assert_eq!(PeopleFiles::in_dir(dir.path()).read().unwrap().users().count(), 40);
    }

    #[test]
    fn a_damaged_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let files = PeopleFiles::in_dir(dir.path());
        add(&files, "anna").unwrap();
        let text = fs::read_to_string(dir.path().join(PEOPLE)).unwrap();
        fs::write(dir.path().join(PEOPLE), &text[..text.len() / 2]).unwrap();
        assert!(files.read().unwrap_err().to_string().contains(PEOPLE));
        assert!(matches!(add(&files, "bert"), Err(PeopleStoreError::Files(_))));
        assert_eq!(fs::read(dir.path().join(PEOPLE)).unwrap().len(), text.len() / 2);
    }
}
