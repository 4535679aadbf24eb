//! `bellwire migrate`: brings the database to the schema that this program knows.

use bellwire_store::Plan;
use clap::Args;
use serde::Serialize;

use super::{Common, EXIT_FAILURE, EXIT_OK, Failure, print_json};
use crate::care::reach::{Reached, unavailable};
use crate::config::Environment;
use crate::{logging, runtime};

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    common: Common,
    /// Only say what would run; ends with 1 if anything would
    #[arg(long, alias = "dry-run")]
    check: bool,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// What was found and done.
#[derive(Debug, Serialize)]
struct Report {
    /// The schema version before; 0: there were no tables.
    from: i32,
    /// The schema version that this program knows.
    to: i32,
    /// How readings are stored: `plain` or `timescale`.
    mode: &'static str,
    /// The migrations that were run, or would be.
    migrations: Vec<&'static str>,
    /// Whether they were run.
    done: bool,
}

impl Report {
    /// Nothing is done yet.
    fn of(plan: Plan) -> Self {
        let Plan { from, to, mode, pending } = plan;
        Self { from, to, mode: mode.label(), migrations: pending, done: false }
    }
}

pub(super) fn run(args: &MigrateArgs) -> Result<u8, Failure> {
    let config = args.common.load()?;
    logging::start("warn")?;
    let data_dir = config.data_dir(&Environment::of_process())?;
    let report = runtime::multi_thread()?.block_on(async {
        let new = Plan::of_new_server(&config.database, &data_dir).map_err(unavailable)?;
        if let Some(plan) = new.filter(|_| args.check) {
            return Ok(Report::of(plan));
        }
        let reached = Reached::open(&config, &data_dir).await?;
        let report = work(args, &reached).await;
        reached.close().await;
        report
    })?;
    if args.json {
        print_json(&report)?;
    } else {
        show(&report);
    }
    Ok(if args.check && !report.migrations.is_empty() { EXIT_FAILURE } else { EXIT_OK })
}

async fn work(args: &MigrateArgs, reached: &Reached) -> anyhow::Result<Report> {
    let database = &reached.database;
    let plan = database.plan().await.map_err(unavailable)?;
    let mut report = Report::of(plan);
    if !args.check {
        let migrated = database.migrate().await.map_err(unavailable)?;
        // The mode is decided only now where TimescaleDB turned out not to be usable.
        report.mode = migrated.mode.label();
        report.done = true;
        database.grant_reader().await.map_err(unavailable)?;
    }
    Ok(report)
}

fn show(report: &Report) {
    let Report { from, to, mode, migrations, done } = report;
    match (migrations.as_slice(), done) {
        ([], _) => println!("The database has schema version {to} ({mode}); nothing to do."),
        (names, true) => {
            println!("Migrated from schema version {from} to {to} ({mode}): {}.", names.join(", "));
        }
        (names, false) => {
            println!("The database has schema version {from} ({mode}); {to} would be made by:");
            names.iter().for_each(|name| println!("  {name}"));
        }
    }
}
