//! `bellwire mapping`: what a payload would come to.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::trial::{Reader, Trial, try_publish};
use bellwire_model::{Presence, Value};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Common, EXIT_FAILURE, EXIT_OK, Failure};
use crate::app::mappings;
use crate::clock::SystemClock;

#[derive(Debug, Subcommand)]
pub(super) enum MappingCommand {
    /// Check a file of mappings, and show every mistake with its place.
    Check {
        /// The file (TOML)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show what a payload on a topic comes to; nothing is stored.
    Try(Box<TryArgs>),
}

#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// Where it would be published
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// The payload
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["file", "hex"])]
    payload: Option<String>,
    /// The file with the payload; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["payload", "hex"])]
    file: Option<PathBuf>,
    /// The payload, as hexadecimal digits
    #[arg(long, value_name = "DIGITS", conflicts_with = "payload")]
    hex: Option<String>,
    /// The mappings (TOML); without it, those that the configuration names
    #[arg(long, value_name = "FILE")]
    mappings: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(command: &MappingCommand) -> Result<u8, Failure> {
    match command {
        MappingCommand::Check { file } => {
            mappings::read(file)?;
            println!("No mistake in {}.", file.display());
            Ok(EXIT_OK)
        }
        MappingCommand::Try(args) => attempt(args),
    }
}

fn attempt(args: &TryArgs) -> Result<u8, Failure> {
    let config = args.common.load()?;
    let mappings = match args.mappings.as_ref().or(config.mappings.as_ref()) {
        Some(path) => mappings::read(path)?,
        None => Arc::new(Mappings::default()),
    };
    let payload = payload(args)?;
    let now = SystemClock::shared().now();
    let policy = config.ingest.time.policy();
    let trial = try_publish(&mappings, policy, (&args.topic, &payload), now);
    if args.json {
        super::print_json(&as_json(&trial))?
    } else {
        print(&args.topic, &trial)
    }
    let is_right = trial.fault.is_none() && trial.reader != Reader::Nobody;
    Ok(if is_right { EXIT_OK } else { EXIT_FAILURE })
}

fn payload(args: &TryArgs) -> anyhow::Result<Vec<u8>> {
    if let Some(text) = &args.payload {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(digits) = &args.hex {
        return from_hex(digits);
    }
    let path = args.file.as_deref().context("no payload")?;
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn from_hex(digits: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok().filter(|_| pair.len() == 2)
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.context("--hex needs pairs of hexadecimal digits")
}

fn print(topic: &str, trial: &Trial) {
    match &trial.reader {
        Reader::Nobody => println!("{topic} is no telemetry: no mapping is for it."),
        Reader::Builtin => println!("{topic} is built in."),
        Reader::Mapping(pattern) => println!("{topic} is read by the mapping for {pattern}."),
    }
    for (device, presence) in &trial.presence {
        let word = if *presence == Presence::Online { "online" } else { "offline" };
        println!("It says that {device} is {word}.");
    }
    for (device, (name, value)) in &trial.labels {
        println!("It says that {device} has the label {name}={value}.");
    }
    for reading in &trial.readings {
        let value = match &reading.value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => format!("{text:?}"),
        };
        let unit = reading.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        println!("{}  {}  {} = {value}{unit}", reading.at, reading.device, reading.metric);
    }
    if let Some(fault) = &trial.fault {
        println!("It would be quarantined: {} ({}).", fault.detail, fault.reason.label());
    }
}

fn as_json(trial: &Trial) -> serde_json::Value {
    let readings: Vec<_> = trial
        .readings
        .iter()
        .map(|reading| {
            let value = match &reading.value {
                Value::Number(number) => json!(number),
                Value::Text(text) => json!(&**text),
            };
            json!({
                "device": reading.device.as_str(),
                "metric": reading.metric.as_str(),
                "at": reading.at.to_string(),
                "value": value,
                "unit": reading.unit,
                "seq": reading.seq,
            })
        })
        .collect();
    let online =
        trial.presence.iter().map(|(device, presence)| (device.as_str(), presence.is_online()));
    let online: BTreeMap<_, _> = online.collect();
    let mut labels: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (device, (name, value)) in &trial.labels {
        labels.entry(device.as_str()).or_default().insert(name, value);
    }
    json!({
        "mapping": match &trial.reader {
            Reader::Nobody => None,
            Reader::Builtin => Some("built in".to_owned()),
            Reader::Mapping(pattern) => Some(pattern.clone()),
        },
        "device": trial.device.as_ref().map(bellwire_model::DeviceId::as_str),
        "online": online,
        "labels": labels,
        "readings": readings,
        "quarantined": trial.fault.as_ref().map(|fault| fault.reason.label()),
        "detail": trial.fault.as_ref().map(|fault| &*fault.detail),
    })
}
