//! `bellwire quarantine`: payloads that could not be read.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::service::{Service, encoded};
use super::{Common, EXIT_OK, Failure};

/// How much of a payload is shown in a line, in characters.
const SHOWN: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List payloads that could not be read, the latest first.
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    common: Common,
    /// Of this device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// For this reason, as bad_json
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// On this topic, or below it: `plant/#`
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Received then or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Received before (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The most of them
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    /// Print a JSON object for each, payload included
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &QuarantineCommand) -> Result<u8, Failure> {
    match command {
        QuarantineCommand::List(args) => list(args),
    }
}

fn list(args: &ListArgs) -> Result<u8, Failure> {
    let mut path = format!("/quarantine?limit={}", args.limit);
    let filters = [
        ("device", &args.device),
        ("reason", &args.reason),
        ("topic", &args.topic),
        ("from", &args.from),
        ("to", &args.to),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            path += &format!("&{name}={}", encoded(value));
        }
    }
    let page = Service::find(&args.common)?.get(&path)?;
    let rows = page["quarantine"].as_array().map_or(&[][..], Vec::as_slice);
    if args.json {
        rows.iter().for_each(|row| println!("{row}"));
        return Ok(EXIT_OK);
    }
    rows.iter().for_each(print);
    if rows.is_empty() {
        println!("Nothing is in quarantine, as far as was asked.");
    } else if !page["next"].is_null() {
        println!("There are more: --limit, or filters, as --reason or --device.");
    }
    Ok(EXIT_OK)
}

fn print(row: &Value) {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    println!("{}  {}  {}", text("received_at"), text("topic"), text("reason"));
    println!("    {}", text("detail"));
    let payload = match row["payload"].as_str() {
        Some(payload) => payload.escape_debug().to_string(),
        None => format!("base64 {}", text("payload_base64")),
    };
    let mut shown: String = payload.chars().take(SHOWN).collect();
    if payload.chars().nth(SHOWN).is_some() {
        shown += &format!("… ({} bytes)", row["payload_bytes"]);
    }
    println!("    {shown}");
}
