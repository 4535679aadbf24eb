//! Finds the installed PostgreSQL server programs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The oldest major version we work with.
const MAJOR_MIN: u32 = 15;

/// Where distributions put each major version's programs, beside `PATH`.
const ROOTS: [&str; 2] = ["/usr/lib/postgresql", "/usr"];

/// A folder with `initdb` and `postgres`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl std::fmt::Display for Binaries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgreSQL {} in {}", self.major, self.dir.display())
    }
}

impl Binaries {
    /// Finds the newest, or those of major version `wanted` for the cluster that has it. With
    /// `bin_dir` only there.
    pub(crate) fn find(
        bin_dir: Option<&Path>,
        wanted: Option<(u32, &Path)>,
    ) -> Result<Self, Error> {
        let candidates = match bin_dir {
            Some(dir) => vec![dir.to_path_buf()],
            None => installed_dirs(),
        };
        let mut found: Vec<Self> = candidates.iter().filter_map(|dir| Self::at(dir)).collect();
        // Stable: among equals the first place wins.
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        if let Some((wanted, cluster)) = wanted
            && !found.is_empty()
        {
            return found
                .into_iter()
                .find(|binaries| binaries.major == wanted)
                .ok_or_else(|| Error::WrongMajor { cluster: cluster.to_path_buf(), wanted });
        }
        found.into_iter().next().ok_or_else(|| Error::BinariesNotFound {
            searched: match bin_dir {
                Some(dir) => format!("database.bin_dir = `{}`", dir.display()),
                None => "/usr/lib/postgresql/*/bin, PATH and pg_config".into(),
            },
        })
    }

    /// Those in `dir`, if it has both programs and they are new enough.
    fn at(dir: &Path) -> Option<Self> {
        if !dir.join("initdb").is_file() {
            return None;
        }
        let major = version_of(&dir.join("postgres"))?;
        (major >= MAJOR_MIN).then(|| Self { dir: dir.to_path_buf(), major })
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether the server can load TimescaleDB.
    pub(crate) fn have_timescale(&self) -> bool {
        let asked = Command::new(self.program("pg_config")).arg("--pkglibdir").output().ok();
        let lib_dir = match asked {
            Some(output) if output.status.success() => {
                PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
            }
            _ => self.dir.join("../lib"),
        };
        lib_dir.join("timescaledb.so").is_file()
    }
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn major_of(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("(PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The major version of a program of PostgreSQL's; `None` if it is not there.
pub(crate) fn version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    major_of(&String::from_utf8_lossy(&output.stdout))
}

/// All folders that may have programs of PostgreSQL's.
pub(crate) fn installed_dirs() -> Vec<PathBuf> {
    installed(ROOTS.map(Path::new), env::var_os("PATH").as_deref())
}

/// All folders worth a look.
fn installed(roots: [&Path; 2], path: Option<&OsStr>) -> Vec<PathBuf> {
    let [debian, red_hat] = roots;
    let mut dirs = Vec::new();
    dirs.extend(children(debian).map(|child| child.join("bin")));
    dirs.extend(
        children(red_hat)
            .filter(|child| {
                child.file_name().is_some_and(|n| n.to_string_lossy().starts_with("pgsql-"))
            })
            .map(|child| child.join("bin")),
    );
    if let Some(path) = path {
        dirs.extend(env::split_paths(path));
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        dirs.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    dirs
}

fn children(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder whose `postgres` says that it is `version`.
    fn pretend(dir: &Path, version: &str) {
        fs::create_dir_all(dir).expect("a folder");
        for name in ["initdb", "postgres"] {
            let program = dir.join(name);
            fs::write(&program, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"))
                .expect("a script");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("postgres"), None);
    }

    #[test]
    fn the_newest_is_found_and_old_ones_are_passed_over() {
        let root = tempfile::tempdir().expect("a folder");
        for (version, name) in [("9.6.1", "9.6"), ("14.2", "14"), ("17.1", "17"), ("16.4", "16")] {
            pretend(&root.path().join(name).join("bin"), version);
        }
        let nowhere = root.path().join("nowhere");
        let dirs = installed([root.path(), &nowhere], None);
        let mut majors: Vec<u32> =
            dirs.iter().filter_map(|dir| Binaries::at(dir)).map(|found| found.major).collect();
        majors.sort_unstable();
        majors.dedup();
        assert!(majors.ends_with(&[16, 17]) || majors.contains(&17), "{majors:?}");
        assert!(!majors.contains(&14) && !majors.contains(&9), "{majors:?}");
    }

    #[test]
    fn without_programs_one_line_says_what_to_install() {
        let empty = tempfile::tempdir().expect("a folder");
        let error = Binaries::find(Some(empty.path()), None).expect_err("nothing is there");
        let text = error.to_string();
        assert!(text.contains("apt-get install postgresql"), "{text}");
        assert!(text.contains("bin_dir"), "{text}");
        assert_eq!(text.lines().count(), 1);
        assert!(error.is_unavailable());
    }

    #[test]
    fn a_cluster_of_another_major_is_not_touched() {
        let dir = tempfile::tempdir().expect("a folder");
        pretend(dir.path(), "17.1");
        let wanted = Some((16, Path::new("/data/postgres")));
        let error = Binaries::find(Some(dir.path()), wanted).expect_err("17 is not 16");
        assert!(error.to_string().contains("postgresql-16"), "{error}");
    }
}
