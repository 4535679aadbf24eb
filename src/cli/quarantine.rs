//! `bellwire quarantine`: payloads that could not be read, and reading them again.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value};

use super::listing::Listing;
use super::service::{Request, Service, encoded};
use super::{Common, EXIT_FAILURE, EXIT_OK, Failure};

/// How much of a payload is shown in a line, in characters.
const SHOWN: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List payloads that could not be read, the latest first.
    List(ListArgs),
    /// Read payloads again, after their mapping was mended.
    Replay(ReplayArgs),
}

/// Which payloads.
#[derive(Debug, Args)]
struct Filter {
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
}

impl Filter {
    /// What was given, by the API's names.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { device, reason, topic, from, to } = self;
        let all =
            [("device", device), ("reason", reason), ("topic", topic), ("from", from), ("to", to)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
    /// The most of them
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    /// Print a JSON object for each, payload included
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What can be read whole leaves quarantine and is stored, without what was stored of it before. The rest\n\
stays, and is listed with the reason. Ends with 1 if something stays.")]
#[command(group = ArgGroup::new("which").required(true).multiple(true)
    .args(["id", "device", "reason", "topic", "from", "to", "all"]))]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
    /// These only, as `list --json` names them; may be given again
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// All there is, where no filter is given
    #[arg(long)]
    all: bool,
    /// Say what would come of it, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object for every hundred payloads
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &QuarantineCommand) -> Result<u8, Failure> {
    match command {
        QuarantineCommand::List(args) => list(args),
        QuarantineCommand::Replay(args) => replay(args),
    }
}

const PAYLOADS: Listing = Listing {
    key: "quarantine",
    empty: "Nothing is in quarantine, as far as was asked.",
    more: "There are more: --limit, or filters, as --reason or --device.",
};

fn list(args: &ListArgs) -> Result<u8, Failure> {
    let mut path = format!("/quarantine?limit={}", args.limit);
    for (name, value) in args.filter.given() {
        path += &format!("&{name}={}", encoded(value));
    }
    let page = Service::find(&args.common)?.get(&path)?;
    if args.json {
        PAYLOADS.print_json(&page);
    } else {
        PAYLOADS.print(&page, print);
    }
    Ok(EXIT_OK)
}

/// How many leave quarantine, how many readings they have, how many stay.
#[derive(Debug, Default)]
struct Sum {
    replayed: u64,
    readings: u64,
    left: u64,
}

fn replay(args: &ReplayArgs) -> Result<u8, Failure> {
    let mut body = Map::new();
    body.extend(args.filter.given().map(|(name, value)| (name.to_owned(), value.into())));
    if !args.id.is_empty() {
        body.insert("ids".to_owned(), args.id.clone().into());
    }
    body.insert("dry_run".to_owned(), args.dry_run.into());
    let service = Service::find(&args.common)?;
    let mut sum = Sum::default();
    loop {
        let asked = Value::Object(body.clone());
        let path = "/quarantine/replay";
        let page = service.ask(Request { method: "POST", path, seen: None, body: Some(&asked) })?;
        let left = page["left"].as_array().map_or(&[][..], Vec::as_slice);
        sum.replayed += page["replayed"].as_u64().unwrap_or_default();
        sum.readings += page["readings"].as_u64().unwrap_or_default();
        sum.left += left.len() as u64;
        if args.json {
            println!("{page}");
        } else {
            left.iter().for_each(print_left);
        }
        if page["next"].is_null() {
            break;
        }
        eprintln!("{} can be read, {} stay; going on", sum.replayed, sum.left);
        body.insert("cursor".to_owned(), page["next"].clone());
    }
    if !args.json {
        let verb = if args.dry_run { "would leave" } else { "leave" };
        let Sum { replayed, readings, left } = sum;
        println!(
            "{replayed} payloads {verb} quarantine, with {readings} new readings; {left} stay."
        );
    }
    Ok(if sum.left == 0 { EXIT_OK } else { EXIT_FAILURE })
}

fn print_left(row: &Value) {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    println!("{}  {}  {}: {}", text("id"), text("topic"), text("reason"), text("detail"));
}

fn print(row: &Value) {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    println!("{}  {}  {}  {}", text("received_at"), text("id"), text("topic"), text("reason"));
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
