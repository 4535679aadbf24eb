//! What a backup says of itself: `backup.json`, and `SHA256SUMS` over all of its files.
//!
//! ```text
//! backup.json    what it is
//! SHA256SUMS     as `sha256sum --check` reads it
//! database/      pg_dump's directory format
//! log/           the log, from its floor to its end
//! snapshots/     states of the rules, from which the log is judged on
//! rules.history  the rules made by API, every version
//! people.json    users and tokens, with hashes only
//! config.toml    the configuration in force, without secrets; for reference
//! rules.toml     the rules file; for reference
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bellwire_ingest::log::Contents;
use bellwire_model::{LogId, LogPosition};
use bellwire_store::{Mode, Saved};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The layout that we write, and the latest that we read.
const FORMAT: u32 = 1;

const FILE: &str = "backup.json";
const SUMS: &str = "SHA256SUMS";

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// When it was made, RFC 3339.
    pub(crate) created_at: String,
    /// The Bellwire that made it.
    pub(crate) bellwire: String,
    pub(crate) log: LogPart,
    pub(crate) database: DatabasePart,
}

/// The log in a backup. Positions as in `bellwire.log_position`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogPart {
    pub(crate) id: String,
    pub(crate) floor: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
}

/// The database in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatabasePart {
    /// `plain` or `timescale`.
    pub(crate) mode: String,
    pub(crate) postgresql: String,
    pub(crate) timescaledb: Option<String>,
    pub(crate) schema: i32,
    pub(crate) position: u64,
    pub(crate) ledger_position: u64,
}

impl Manifest {
    pub(crate) fn new(created_at: String, log: &Contents, saved: &Saved) -> Self {
        Self {
            format: FORMAT,
            created_at,
            bellwire: env!("CARGO_PKG_VERSION").to_owned(),
            log: LogPart {
                id: log.log.to_string(),
                floor: log.floor.0,
                end: log.end.0,
                bytes: log.bytes,
            },
            database: DatabasePart {
                mode: saved.mode.label().to_owned(),
                postgresql: saved.version.clone(),
                timescaledb: saved.timescale.clone(),
                schema: saved.schema_version,
                position: saved.position.0,
                ledger_position: saved.ledger_position.0,
            },
        }
    }

    /// Writes it, and the sums of everything in `dir`, synced.
    pub(crate) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        fs::write(dir.join(FILE), serde_json::to_vec_pretty(self)?)?;
        let mut text = String::new();
        for path in files(dir)? {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}  {}", sum(&dir.join(&path))?, path.display());
        }
        fs::write(dir.join(SUMS), text)?;
        sync_tree(dir)?;
        Ok(())
    }

    /// Reads that of the backup in `dir`, and makes sure that all of its files are as they were
    /// written.
    pub(crate) fn verified(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let text = fs::read(&path)
            .with_context(|| format!("no backup in {}: cannot read {FILE}", dir.display()))?;
        let format = serde_json::from_slice::<serde_json::Value>(&text)
            .ok()
            .and_then(|value| value["format"].as_u64());
        match format {
            Some(format) if format > u64::from(FORMAT) => bail!(
                "{} has format {format}, this version reads up to {FORMAT}: use a newer bellwire",
                path.display()
            ),
            _ => {}
        }
        let manifest = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let sums = fs::read_to_string(dir.join(SUMS))
            .with_context(|| format!("the backup is not whole: cannot read {SUMS}"))?;
        let known = parse_sums(&sums).with_context(|| format!("{SUMS} is damaged"))?;
        for (path, expected) in &known {
            let found = sum(&dir.join(path)).with_context(|| {
                format!("the backup is not whole: cannot read {}", path.display())
            })?;
            if found != *expected {
                bail!("the backup is damaged: {} is not as it was written", path.display());
            }
        }
        if let Some(path) = files(dir)?.into_iter().find(|path| !known.contains_key(path)) {
            bail!("{} is not of this backup: {SUMS} does not name it", path.display());
        }
        if !known.contains_key(Path::new(FILE)) {
            bail!("{SUMS} is damaged: it does not name {FILE}");
        }
        Ok(manifest)
    }

    pub(crate) fn log_id(&self) -> anyhow::Result<LogId> {
        self.log.id.parse().map_err(|_| anyhow::anyhow!("{FILE} has no log id"))
    }

    /// What the store needs to know to bring the database back.
    pub(crate) fn saved(&self) -> anyhow::Result<Saved> {
        let DatabasePart { mode, postgresql, timescaledb, schema, position, ledger_position } =
            &self.database;
        let modes = [Mode::Plain, Mode::Timescale];
        let mode = modes.into_iter().find(|known| known.label() == mode);
        Ok(Saved {
            version: postgresql.clone(),
            mode: mode.with_context(|| format!("{FILE} names an unknown mode"))?,
            timescale: timescaledb.clone(),
            schema_version: *schema,
            position: LogPosition(*position),
            ledger_position: LogPosition(*ledger_position),
        })
    }
}

/// Every file below `dir` but the sums, by its path from there, in order.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path != Path::new(SUMS) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn sum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n_bytes = file.read(&mut buffer)?;
        if n_bytes == 0 {
            break;
        }
        hasher.update(&buffer[..n_bytes]);
    }
    Ok(hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn parse_sums(text: &str) -> Option<BTreeMap<PathBuf, String>> {
    text.lines()
        .map(|line| {
            let (sum, path) = line.split_once("  ")?;
            let path = Path::new(path);
            let is_inside =
                path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            (sum.len() == 64 && is_inside).then(|| (path.to_owned(), sum.to_owned()))
        })
        .collect()
}

/// Makes everything in `dir` durable, and the names in it.
pub(crate) fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::write(dir.path().join("log/meta"), "bellwire log\n").unwrap();
        let contents = Contents {
            log: LogId(3),
            floor: LogPosition(1),
            end: LogPosition(9),
            received_at: bellwire_model::Timestamp::EPOCH,
            bytes: 8,
        };
        let saved = Saved {
            version: "15.1".into(),
            mode: Mode::Timescale,
            timescale: Some("2.20.0".into()),
            schema_version: 2,
            position: LogPosition(7),
            ledger_position: LogPosition(6),
        };
        let manifest = Manifest::new("2024-01-15T12:00:00Z".into(), &contents, &saved);
        manifest.write(dir.path()).unwrap();
        assert_eq!(manifest.saved().unwrap(), saved);
        assert_eq!(Manifest::verified(dir.path()).unwrap(), manifest);
        dir
    }

    fn check(change: impl FnOnce(&Path), said: &str) {
        let dir = backup();
        change(dir.path());
        let error = format!("{:#}", Manifest::verified(dir.path()).unwrap_err());
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn what_was_changed_is_named() {
        check(|dir| fs::write(dir.join("log/meta"), "bellwire lag\n").unwrap(), "log/meta is not");
        check(|dir| fs::remove_file(dir.join("log/meta")).unwrap(), "log/meta");
        check(|dir| fs::remove_file(dir.join(SUMS)).unwrap(), SUMS);
        check(|dir| fs::write(dir.join("log/x"), "").unwrap(), "log/x is not of this backup");
        check(|dir| fs::write(dir.join(SUMS), "00  ../x\n").unwrap(), "SHA256SUMS is damaged");
        check(|dir| fs::write(dir.join(FILE), "{\"format\": 2}").unwrap(), "use a newer");
        check(|dir| fs::remove_file(dir.join(FILE)).unwrap(), "no backup in");
    }
}
