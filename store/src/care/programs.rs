//! PostgreSQL's own programs for saving and restoring: found, and run with our connection.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio_postgres::config::Host;

use crate::Error;
use crate::connect::Target;
use crate::managed::{installed_dirs, last_line_of, version_of};

/// The program `name` that fits a server of version `major` best: of that version, else the oldest
/// one that is newer. What a newer one writes, that server may not understand; an older one refuses
/// to talk to it.
pub(super) fn find(
    name: &'static str,
    bin_dir: Option<&Path>,
    major: u32,
) -> Result<PathBuf, Error> {
    let dirs = bin_dir.map_or_else(installed_dirs, |dir| vec![dir.to_owned()]);
    dirs.iter()
        .map(|dir| dir.join(name))
        .filter_map(|program| Some((version_of(&program)?, program)))
        .filter(|(found, _)| *found >= major)
        .min_by_key(|(found, _)| *found)
        .map(|(_, program)| program)
        .ok_or(Error::ProgramMissing { name, major })
}

/// `program` with `target` in its environment, where `ps` does not show the password.
pub(super) fn command(program: &Path, target: &Target) -> Command {
    let pg = target.pg();
    let mut command = Command::new(program);
    let hosts: Vec<String> = pg
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let addresses: Vec<String> = pg.get_hostaddrs().iter().map(ToString::to_string).collect();
    let ports: Vec<String> = pg.get_ports().iter().map(u16::to_string).collect();
    let password = pg.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    let variables = [
        ("PGHOST", (!hosts.is_empty()).then(|| hosts.join(","))),
        ("PGHOSTADDR", (!addresses.is_empty()).then(|| addresses.join(","))),
        ("PGPORT", (!ports.is_empty()).then(|| ports.join(","))),
        ("PGUSER", pg.get_user().map(str::to_owned)),
        ("PGDATABASE", pg.get_dbname().or(pg.get_user()).map(str::to_owned)),
        ("PGPASSWORD", password),
        ("PGOPTIONS", pg.get_options().map(str::to_owned)),
        ("PGAPPNAME", Some("bellwire care".to_owned())),
    ];
    let variables = variables.into_iter().chain(target.wish().variables());
    command
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(super) async fn run(mut command: Command, name: &'static str) -> Result<(), Error> {
    let output = command.output().await.map_err(|source| Error::Files {
        doing: "running",
        path: PathBuf::from(name),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Program { name, last_line: complaint(&output.stderr) })
}

/// The line that says what is wrong: the first error, else the last line.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let error = text.lines().find(|line| line.contains("error:"));
    error.map_or_else(|| last_line_of(stderr), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn pretend(dir: &Path, version: &str) {
        let program = dir.join("pg_dump");
        let text = format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n");
        fs::write(&program, text).expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    #[test]
    fn an_older_program_does_not_do() {
        let dir = tempfile::tempdir().expect("a folder");
        pretend(dir.path(), "16.2");
        let found = |major| find("pg_dump", Some(dir.path()), major);
        assert_eq!(found(15).expect("newer"), dir.path().join("pg_dump"));
        assert_eq!(found(16).expect("as new"), dir.path().join("pg_dump"));
        let error = found(17).expect_err("too old").to_string();
        assert!(error.contains("postgresql-client-17"), "{error}");
    }

    #[test]
    fn a_password_travels_in_the_environment() {
        let pg = "postgres://ann:hush@db.example:6543/telemetry".parse().expect("a URL");
        let limit = std::time::Duration::from_secs(1);
        let tracker = tokio_util::task::TaskTracker::new();
        let target = Target::new(pg, crate::tls::Wish::default(), tracker, limit).expect("TLS");
        let command = command(Path::new("pg_dump"), &target);
        let variables: Vec<_> = command.as_std().get_envs().collect();
        assert!(variables.contains(&("PGPASSWORD".as_ref(), Some("hush".as_ref()))));
        assert!(variables.contains(&("PGPORT".as_ref(), Some("6543".as_ref()))));
        assert!(command.as_std().get_args().next().is_none());
    }
}
