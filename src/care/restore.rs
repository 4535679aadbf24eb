//! Brings a backup back, into an empty place.
//!
//! The restored log goes on far beyond the positions that the original may have given out since the
//! backup: no place in the log, no alert and no cursor of a client ever means two things. And its
//! first start waits for the database (`app::seen`).

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use bellwire_ingest::log::{LocalLog, Log, Metrics, Options};
use bellwire_model::LogPosition;
use prometheus::Registry;

use super::backup::is_empty;
use super::manifest::{Manifest, sync_tree};
use super::reach::{Reached, unavailable};
use crate::app::people::PEOPLE;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::rulebook::file as history;

/// A file in a data directory whose restore has not ended. The service does not start there.
pub(crate) const UNFINISHED: &str = "restore-unfinished";

/// How far beyond its end a restored log goes on: what a busy fleet publishes in weeks. Positions
/// end at 2⁶².
const SKIP_BYTES: u64 = 1 << 40;

/// What is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// The data directory and the database.
    All,
    /// The data directory only: the database is there.
    DataDirectory,
}

/// Restores the backup in `from` into `data_dir` and the database that is configured.
pub(crate) async fn run(
    config: &Config,
    data_dir: &Path,
    from: &Path,
    parts: Parts,
) -> anyhow::Result<Manifest> {
    if data_dir.exists() && !is_empty(data_dir)? {
        bail!(
            "{} is not empty: restore into a new data directory (--data-dir), or move it away",
            data_dir.display()
        );
    }
    let manifest = Manifest::verified(from)?;
    if parts == Parts::DataDirectory && config.database.url.is_none() {
        bail!(
            "the managed database lies in the data directory: without it nothing of it is left; \
             restore all, or set database.url"
        );
    }
    fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let result = restore(config, data_dir, from, parts, &manifest).await;
    if result.is_err() {
        remove_all(data_dir);
    }
    result.map(|()| manifest)
}

/// Whether a restore into `data_dir` was interrupted.
pub(crate) fn check_finished(data_dir: &Path) -> anyhow::Result<()> {
    if data_dir.join(UNFINISHED).exists() {
        bail!(
            "a restore into {} did not end: remove the directory and restore again",
            data_dir.display()
        );
    }
    Ok(())
}

async fn restore(
    config: &Config,
    data_dir: &Path,
    from: &Path,
    parts: Parts,
    manifest: &Manifest,
) -> anyhow::Result<()> {
    let unfinished = data_dir.join(UNFINISHED);
    fs::write(&unfinished, "")?;
    for folder in ["log", "snapshots"] {
        copy_folder(&from.join(folder), &data_dir.join(folder))?;
    }
    for name in [history::NAME, PEOPLE] {
        let file = from.join(name);
        if file.exists() {
            fs::copy(&file, data_dir.join(name))?;
        }
    }
    sync_tree(data_dir)?;
    let (options, end) = (log_options(config, data_dir)?, LogPosition(manifest.log.end));
    tokio::task::spawn_blocking(move || move_on(options, end)).await??;
    if parts == Parts::All {
        let reached = Reached::open(config, data_dir).await?;
        let restored = restore_database(&reached, from, manifest).await;
        reached.close().await;
        restored?;
    }
    fs::remove_file(&unfinished)?;
    fs::File::open(data_dir)?.sync_all()?;
    Ok(())
}

async fn restore_database(
    reached: &Reached,
    from: &Path,
    manifest: &Manifest,
) -> anyhow::Result<()> {
    let saved = manifest.saved()?;
    // pg_restore runs in another folder.
    let dump = from.join("database").canonicalize()?;
    reached.database.restore_dump(&dump, &saved).await.map_err(unavailable)?;
    let facts = reached.database.facts(Some(manifest.log_id()?)).await.map_err(unavailable)?;
    let found = facts.log.unwrap_or_default();
    if found != (saved.position, saved.ledger_position) {
        bail!("the restored database is at {}, not at {} as it was saved", found.0, saved.position);
    }
    Ok(())
}

fn log_options(config: &Config, data_dir: &Path) -> anyhow::Result<Options> {
    let metrics = Metrics::register(&Registry::new())?;
    let fail_stop = Arc::new(|_: &bellwire_ingest::log::Error| {
        std::process::exit(i32::from(crate::cli::EXIT_FAILURE));
    });
    let mut options =
        Options::new(&data_dir.join("log"), SystemClock::shared(), fail_stop, metrics);
    options.config = config.log.clone();
    // It writes one segment's header; whether the disk has room for more is for `serve` to say.
    options.config.disk_reserve_bytes = 0;
    Ok(options)
}

/// Opens the log, reads all of it, and moves it on.
fn move_on(options: Options, end: LogPosition) -> anyhow::Result<()> {
    let log = LocalLog::open(options)?;
    log.verify()?;
    if log.durable().end != end {
        bail!("the restored log ends at {}, not at {end} as it was saved", log.durable().end);
    }
    log.ensure_beyond(LogPosition(end.0.saturating_add(SKIP_BYTES)))?;
    log.close();
    Ok(())
}

/// Copies the files of a folder that has no others in it; only its owner may look into the copy.
fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Leaves the data directory as it was found: empty.
fn remove_all(data_dir: &Path) {
    for entry in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        if entry.file_name() == "lost+found" || entry.file_name() == UNFINISHED {
            continue;
        }
        let path = entry.path();
        if fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).is_err() {
            // The marker stays too: the service does not start, the next restore refuses.
            return;
        }
    }
    let _ = fs::remove_file(data_dir.join(UNFINISHED));
}
