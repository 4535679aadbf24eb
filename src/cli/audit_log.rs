//! `bellwire audit-log`: what people and programs did to the service.

use clap::Args;
use serde_json::Value;

use super::service::{Service, encoded};
use super::{Common, EXIT_OK, Failure};

#[derive(Debug, Args)]
#[command(after_help = "\
What became of every publish of a device, `bellwire audit` tells.")]
pub(super) struct AuditLogArgs {
    #[command(flatten)]
    common: Common,
    /// By this name
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// This action, or all that begin so: `rule.*`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// To this target, a rule or a device
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Then or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The most of them
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    /// Print a JSON object for each, with what was before and is after
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &AuditLogArgs) -> Result<u8, Failure> {
    let AuditLogArgs { who, action, target, from, to, .. } = args;
    let filters =
        [("who", who), ("action", action), ("target", target), ("from", from), ("to", to)];
    let mut path = format!("/audit-log?limit={}", args.limit);
    for (name, value) in filters {
        if let Some(value) = value {
            path += &format!("&{name}={}", encoded(value));
        }
    }
    let page = Service::find(&args.common)?.get(&path)?;
    let lines = page["audit_log"].as_array().map_or(&[][..], Vec::as_slice);
    if args.json {
        lines.iter().for_each(|line| println!("{line}"));
        return Ok(EXIT_OK);
    }
    lines.iter().for_each(print);
    if lines.is_empty() {
        println!("Nothing was done, as far as was asked.");
    } else if !page["next"].is_null() {
        println!("There is more: --limit shows it.");
    }
    if page["partial"] == true {
        println!("The database is away: these are the last that are in memory.");
    }
    Ok(EXIT_OK)
}

fn print(line: &Value) {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let (at, who, action) = (text("at"), text("who"), text("action"));
    let outcome = match text("outcome") {
        "done" => String::new(),
        other => format!(" ({other}, {})", line["status"]),
    };
    println!("{at}  {who:<16} {:<15} {action:<20} {}{outcome}", text("address"), text("target"));
}
