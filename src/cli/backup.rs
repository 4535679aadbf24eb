//! `bellwire backup` and `bellwire restore`.

use std::path::PathBuf;

use bellwire_model::Clock;
use clap::Args;

use super::{Common, EXIT_OK, Failure, print_json};
use crate::care::doctor::shown_time;
use crate::care::manifest::Manifest;
use crate::care::restore::Parts;
use crate::care::{backup, restore, shown_bytes};
use crate::clock::SystemClock;
use crate::config::Environment;
use crate::{logging, runtime};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    common: Common,
    /// The folder to make; it appears when the backup is whole
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Say what was backed up as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    common: Common,
    /// The backup's folder
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Only check that the backup is whole and undamaged
    #[arg(long, conflicts_with = "without_database")]
    check: bool,
    /// Restore the data directory only: the database (`database.url`) is as it should be
    #[arg(long)]
    without_database: bool,
    /// Say what was restored as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn backup(args: &BackupArgs) -> Result<u8, Failure> {
    let config = args.common.load()?;
    logging::start("warn")?;
    let data_dir = config.data_dir(&Environment::of_process())?;
    let to = std::path::absolute(&args.to)?;
    let created_at = shown_time(SystemClock.now());
    let manifest =
        runtime::multi_thread()?.block_on(backup::run(&config, &data_dir, &to, created_at))?;
    if args.json {
        print_json(&manifest)?;
    } else {
        println!("Backed up to {}: {}.", to.display(), described(&manifest));
    }
    Ok(EXIT_OK)
}

pub(super) fn restore(args: &RestoreArgs) -> Result<u8, Failure> {
    if args.check {
        let manifest = Manifest::verified(&args.from)?;
        if args.json {
            print_json(&manifest)?;
        } else {
            println!("The backup of {} is whole: {}.", manifest.created_at, described(&manifest));
        }
        return Ok(EXIT_OK);
    }
    let config = args.common.load()?;
    logging::start("warn")?;
    let data_dir = config.data_dir(&Environment::of_process())?;
    let parts = if args.without_database { Parts::DataDirectory } else { Parts::All };
    let manifest =
        runtime::multi_thread()?.block_on(restore::run(&config, &data_dir, &args.from, parts))?;
    if args.json {
        print_json(&manifest)?;
    } else {
        let (at, what) = (&manifest.created_at, described(&manifest));
        println!("Restored the backup of {at} into {}: {what}.", data_dir.display());
        println!("Start `bellwire serve` with this data directory and its database.");
    }
    Ok(EXIT_OK)
}

fn described(manifest: &Manifest) -> String {
    let (database, log) = (&manifest.database, &manifest.log);
    format!(
        "the database ({}, PostgreSQL {}, schema {}) at position {}, and {} of log up to {}",
        database.mode,
        database.postgresql,
        database.schema,
        database.position,
        shown_bytes(log.bytes),
        log.end
    )
}
