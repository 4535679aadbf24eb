//! Backs everything up, while the service runs or not, without it noticing.
//!
//! The order is what makes it right: first the log's files and the snapshots are held open, then
//! the database is held at an instant, then the log's later files are opened too. So the log in the
//! backup begins where recovery from the database in it needs to begin, and ends behind it: after a
//! restore *keep* stores what lies between, once, and the rules are judged on from there.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bellwire_ingest::log::{Contents, LogFiles};
use bellwire_store::Saved;

use super::manifest::Manifest;
use super::reach::{Reached, unavailable};
use crate::app::people::PEOPLE;
use crate::config::Config;
use crate::rulebook::file as history;

/// Backs up to `to`, a folder that is made; it appears under its name only when it is whole.
/// `created_at` is now, as it is to be shown.
pub(crate) async fn run(
    config: &Config,
    data_dir: &Path,
    to: &Path,
    created_at: String,
) -> anyhow::Result<Manifest> {
    if to.exists() && !is_empty(to)? {
        bail!("{} is there already: say a folder that is not", to.display());
    }
    let partial = partial_of(to)?;
    // Before anything is started.
    let log_dir = data_dir.join("log");
    let log = LogFiles::open(&log_dir)?.with_context(|| no_log(&log_dir))?;
    DirBuilder::new().mode(0o700).create(&partial).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} is there: another backup is being made, or one was interrupted; then remove it",
            partial.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot make {}", partial.display())),
    })?;
    let saving = async {
        let reached = Reached::open(config, data_dir).await?;
        let saved = save(&reached, log, data_dir, &partial).await;
        reached.close().await;
        let (contents, saved) = saved?;
        write_references(config, &partial)?;
        let manifest = Manifest::new(created_at, &contents, &saved);
        manifest.write(&partial)?;
        fs::rename(&partial, to).with_context(|| format!("cannot make {}", to.display()))?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(manifest)
    };
    let result = saving.await;
    if result.is_err() {
        // What is left of it is worth nothing; if it cannot be removed, the next backup says so.
        let _ = fs::remove_dir_all(&partial);
    }
    result
}

fn no_log(log_dir: &Path) -> String {
    format!("there is no log in {}: is --data-dir right?", log_dir.display())
}

fn partial_of(to: &Path) -> anyhow::Result<PathBuf> {
    let name = to.file_name().with_context(|| format!("{} is no folder's name", to.display()))?;
    let mut name = name.to_owned();
    name.push(".partial");
    Ok(to.with_file_name(name))
}

pub(crate) fn is_empty(dir: &Path) -> anyhow::Result<bool> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    for entry in entries {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Holds log and database, in the order that matters, and copies both.
async fn save(
    reached: &Reached,
    mut log: LogFiles,
    data_dir: &Path,
    to: &Path,
) -> anyhow::Result<(Contents, Saved)> {
    let snapshots = hold_snapshots(&data_dir.join("snapshots"))?;
    let dump = reached.database.begin_dump(log.id()).await.map_err(unavailable)?;
    log.open_later()?;
    let saved = dump.saved().clone();
    check_snapshots(&snapshots, &log, &saved)?;
    let (target, rules) = (to.to_owned(), data_dir.join(history::NAME));
    let people = data_dir.join(PEOPLE);
    let copying = tokio::task::spawn_blocking(move || {
        copy_snapshots(&snapshots, &target.join("snapshots"))?;
        let contents = log.copy(&target.join("log"))?;
        // After the log: a change of a rule is kept before it is logged, so none in the log is missing.
        copy_file(&rules, &target.join(history::NAME))?;
        copy_file(&people, &target.join(PEOPLE))?;
        anyhow::Ok(contents)
    });
    let contents = copying.await??;
    if contents.end < saved.position {
        bail!(
            "the database is at {}, beyond the end of the log, {}: this data directory is an older \
             copy; start the service once, with the database, before backing it up",
            saved.position,
            contents.end
        );
    }
    let saved = dump.write(&to.join("database")).await?;
    Ok((contents, saved))
}

/// A snapshot of *judge's*, held open.
struct HeldSnapshot {
    name: std::ffi::OsString,
    position: u64,
    file: File,
}

/// Opens all snapshots. They appear whole, and go as soon as newer ones do.
fn hold_snapshots(dir: &Path) -> anyhow::Result<Vec<HeldSnapshot>> {
    const ATTEMPTS: usize = 100;
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    for _ in 0..ATTEMPTS {
        if let Some(held) = try_hold(dir)? {
            return Ok(held);
        }
    }
    bail!("the snapshots in {} change too fast", dir.display())
}

/// All of them; `None` if one went meanwhile.
fn try_hold(dir: &Path) -> anyhow::Result<Option<Vec<HeldSnapshot>>> {
    let mut held = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let position = stem.and_then(|stem| stem.parse().ok());
        let is_snapshot = path.extension().is_some_and(|extension| extension == "snapshot");
        let (Some(position), Some(name), true) = (position, path.file_name(), is_snapshot) else {
            continue;
        };
        match File::open(&path) {
            Ok(file) => held.push(HeldSnapshot { name: name.to_owned(), position, file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
    Ok(Some(held))
}

/// Makes sure that the service could start from what is held.
fn check_snapshots(
    snapshots: &[HeldSnapshot],
    log: &LogFiles,
    saved: &Saved,
) -> anyhow::Result<()> {
    let ledger = saved.ledger_position;
    let usable = snapshots.iter().any(|snapshot| snapshot.position <= ledger.0);
    let contents = log.contents()?;
    if usable || contents.floor.0 == 0 {
        return Ok(());
    }
    bail!(
        "the log begins at {} and no snapshot reaches back to {ledger}, where the database is: what \
         lies between is in neither, and a backup would not have it",
        contents.floor
    )
}

fn copy_snapshots(snapshots: &[HeldSnapshot], to: &Path) -> anyhow::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for snapshot in snapshots {
        let mut copy = File::create_new(to.join(&snapshot.name))?;
        io::copy(&mut &snapshot.file, &mut copy)?;
    }
    Ok(())
}

/// Copies a file, if it is there: the rules made by API, of which what is added meanwhile may be cut off in
/// the last line, as by a crash, and a start drops that; people, who are replaced as a whole.
fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    match fs::copy(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot copy {}", from.display()))
        }
        _ => Ok(()),
    }
}

/// What an operator would look for: how it was configured.
fn write_references(config: &Config, to: &Path) -> anyhow::Result<()> {
    fs::write(to.join("config.toml"), toml::to_string(config)?)?;
    if let Some(rules) = &config.rules {
        fs::copy(rules, to.join("rules.toml"))
            .with_context(|| format!("cannot read the rules in {}", rules.display()))?;
    }
    Ok(())
}
