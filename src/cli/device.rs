//! `bellwire device`: its credentials, which are in [`access`](super::access), its labels, in
//! [`registry`](super::registry), and `export` and `erase`.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use bellwire_model::{Clock, DeviceId, Timestamp};
use bellwire_store::Erased;
use chrono::NaiveDate;
use clap::{Args, Subcommand};
use serde_json::json;

use super::access::{self, device_id};
use super::{Common, EXIT_OK, Failure, print_json, registry};
use crate::care::device_data::{self, Extent, Fate};
use crate::clock::SystemClock;
use crate::config::Environment;
use crate::{logging, runtime};

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Give a device, or a gateway, credentials; prints its token.
    Add(access::AddDevice),
    /// Give a device a new token; prints it.
    Rotate(access::RotateDevice),
    /// Revoke a device's credentials and close its connections; what is stored of it stays.
    Revoke(access::RevokeDevice),
    /// List devices that have credentials.
    List(access::ListArgs),
    /// List devices of the running service, by their labels.
    Find(registry::FindArgs),
    /// Show a device, and who says which of its labels.
    Show(registry::ShowArgs),
    /// Put a device into the registry, before or after it publishes.
    Register(registry::RegisterArgs),
    /// Set and remove labels of a device.
    Label(registry::LabelArgs),
    /// Take a device out of the registry, with the labels that it gave it.
    Unregister(registry::UnregisterArgs),
    /// Put the devices of a CSV file into the registry, with their labels.
    Import(registry::ImportArgs),
    /// Give out everything that is stored of a device, a JSON object on each line.
    Export(ExportArgs),
    /// Remove everything that is stored of a device, for good, and revoke its credentials.
    Erase(EraseArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    #[command(flatten)]
    common: Common,
    /// The file to write; absent: standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    #[command(flatten)]
    common: Common,
    /// Only what is from before this day (UTC), e.g. 2026-01-31
    #[arg(long, value_name = "DATE")]
    before: Option<NaiveDate>,
    /// Its credentials stay valid, as with --before
    #[arg(long)]
    keep_credentials: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Although the device was heard within the last hour, or has open alerts
    #[arg(long)]
    force: bool,
    /// Say what was removed as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &DeviceCommand) -> Result<u8, Failure> {
    match command {
        DeviceCommand::Add(args) => access::add_device(args),
        DeviceCommand::Rotate(args) => access::rotate_device(args),
        DeviceCommand::Revoke(args) => access::revoke_device(args),
        DeviceCommand::List(args) => access::list_devices(args),
        DeviceCommand::Find(args) => registry::find(args),
        DeviceCommand::Show(args) => registry::show(args),
        DeviceCommand::Register(args) => registry::register(args),
        DeviceCommand::Label(args) => registry::label(args),
        DeviceCommand::Unregister(args) => registry::unregister(args),
        DeviceCommand::Import(args) => registry::import(args),
        DeviceCommand::Export(args) => export(args),
        DeviceCommand::Erase(args) => erase(args),
    }
}

fn export(args: &ExportArgs) -> Result<u8, Failure> {
    let config = args.common.load()?;
    logging::start("warn")?;
    let data_dir = config.data_dir(&Environment::of_process())?;
    let runtime = runtime::multi_thread()?;
    let exported = match &args.output {
        None => {
            let mut out = BufWriter::new(io::stdout());
            runtime.block_on(device_data::export(&config, &data_dir, &args.device, &mut out))?
        }
        Some(path) => {
            // Whoever can read it can read telemetry.
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let file = made.with_context(|| format!("cannot make {}", path.display()))?;
            let mut out = BufWriter::new(file);
            let exporting = device_data::export(&config, &data_dir, &args.device, &mut out);
            // What is left of one that failed is worth nothing, and in the way of the next.
            runtime.block_on(exporting).inspect_err(|_| drop(std::fs::remove_file(path)))?
        }
    };
    let counts: Vec<String> = exported.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    eprintln!("Exported of `{}`: {}.", args.device, counts.join(", "));
    Ok(EXIT_OK)
}

fn erase(args: &EraseArgs) -> Result<u8, Failure> {
    let config = args.common.load()?;
    logging::start("warn")?;
    let data_dir = config.data_dir(&Environment::of_process())?;
    let device = &args.device;
    let before = args.before.map(|day| {
        Timestamp::from_secs(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp())
    });
    let runtime = runtime::multi_thread()?;
    let now = SystemClock.now();
    if !args.force {
        let objection = device_data::objection(&config, &data_dir, device, before, now);
        if let Some(objection) = runtime.block_on(objection)? {
            return Err(anyhow::anyhow!("{objection}: --force erases it nevertheless").into());
        }
    }
    if !args.yes {
        if !io::stdin().is_terminal() {
            return Err(anyhow::anyhow!("nobody is here to ask: --yes erases without").into());
        }
        device_data::confirm(device)?;
    }
    let extent = match before {
        Some(before) => Extent::Before(before),
        None if args.keep_credentials => Extent::Data,
        None => Extent::DataAndCredentials(now),
    };
    if args.before.is_none() {
        // First: what it says now would be stored with its next change.
        if let Err(error) = registry::forget(&args.common, device) {
            eprintln!("The registry was not told ({error:#}): see `device unregister --births`.");
        }
    }
    let shows = io::stderr().is_terminal();
    let erasing = device_data::erase(&config, &data_dir, device, extent, |so_far| {
        if shows {
            eprint!("\r{} readings erased", so_far.readings);
        }
    });
    let (erased, fate) = runtime.block_on(erasing)?;
    if shows {
        eprintln!();
    }
    tell(args, erased, fate)
}

/// What was removed, and what was not.
fn tell(args: &EraseArgs, erased: Erased, fate: Fate) -> Result<u8, Failure> {
    let device = &args.device;
    if args.json {
        print_json(&json!({
            "device": device.as_str(),
            "readings": erased.readings,
            "quarantined": erased.quarantined,
            "transitions": erased.transitions,
            "alerts": erased.alerts,
            "commands": erased.commands,
            "credentials": fate.label(),
        }))?;
        return Ok(EXIT_OK);
    }
    println!(
        "Erased of `{device}`: {} readings, {} quarantined payloads, {} alerts with {} transitions, \
         {} commands.",
        erased.readings, erased.quarantined, erased.alerts, erased.transitions, erased.commands
    );
    println!(
        "{} Its name and its account stay; the service has its latest values until newer ones come, \
         the log its payloads until they are trimmed, backups what they had.",
        fate.sentence()
    );
    Ok(EXIT_OK)
}
