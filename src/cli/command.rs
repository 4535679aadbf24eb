//! `bellwire command`: asking devices to do something, and following what becomes of it.

use bellwire_model::{CommandId, DeviceId};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::access::device_id;
use super::listing::Listing;
use super::service::{Request, Service, encoded};
use super::{Common, EXIT_FAILURE, EXIT_OK, Failure, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum CommandCommand {
    /// Give a device a command; prints its id, and with --wait what the device answered.
    Send(SendArgs),
    /// List the commands of a device, the latest first.
    List(ListArgs),
    /// Show a command.
    Show(OneArgs),
    /// Take a command back that was not sent yet.
    Cancel(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// What it gets: JSON as it stands, or else text
    #[arg(long)]
    payload: String,
    /// How long the command is worth something: 30s, 1h, at most 30d
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    expires: String,
    /// Wait so many seconds for the answer, at most 60; ends with 1 if there is none
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(0..=60))]
    wait: Option<u8>,
    /// No answer is expected: it is done when the device has it
    #[arg(long)]
    one_way: bool,
    /// Add the command's id to a JSON object, under this name: for devices that speak MQTT 3.1.1
    #[arg(long, value_name = "NAME")]
    id_as: Option<String>,
    /// Print the command as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// Only those in these states, e.g. `queued,sent`, or `open`
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
    /// The most of them
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    /// Print a JSON object for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// The command's id
    command: CommandId,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(command: &CommandCommand) -> Result<u8, Failure> {
    match command {
        CommandCommand::Send(args) => send(args),
        CommandCommand::List(args) => list(args),
        CommandCommand::Show(args) => one(args, "GET"),
        CommandCommand::Cancel(args) => one(args, "DELETE"),
    }
}

fn path(device: &DeviceId) -> String {
    format!("/devices/{}/commands", encoded(device.as_str()))
}

fn send(args: &SendArgs) -> Result<u8, Failure> {
    let mut body = Map::new();
    match serde_json::from_str::<Value>(&args.payload) {
        Ok(json) => body.insert("payload".to_owned(), json),
        Err(_) => body.insert("payload_text".to_owned(), args.payload.clone().into()),
    };
    body.insert("expires_in".to_owned(), args.expires.clone().into());
    if args.one_way {
        body.insert("reply".to_owned(), "none".into());
    }
    if let Some(name) = &args.id_as {
        body.insert("id_as".to_owned(), name.clone().into());
    }
    let (service, path) = (Service::find(&args.common)?, path(&args.device));
    let body = Some(&Value::Object(body));
    let mut command = service.ask(Request { method: "POST", path: &path, seen: None, body })?;
    let id = command["id"].as_str().unwrap_or_default().to_owned();
    if let Some(wait) = args.wait {
        command = service.get(&format!("{path}/{id}?wait={wait}"))?;
    }
    match (args.json, args.wait) {
        (true, _) => print_json(&command)?,
        (false, None) => println!("{id}"),
        (false, Some(_)) => print(&command),
    }
    let is_done =
        command["state"] == "answered" || (args.one_way && command["state"] == "acknowledged");
    Ok(if args.wait.is_none() || is_done { EXIT_OK } else { EXIT_FAILURE })
}

const COMMANDS: Listing = Listing {
    key: "commands",
    empty: "The device has no commands, as far as was asked.",
    more: "There are more: --limit, or --state.",
};

fn list(args: &ListArgs) -> Result<u8, Failure> {
    let mut path = format!("{}?limit={}", path(&args.device), args.limit);
    if let Some(states) = &args.state {
        path += &format!("&state={}", encoded(states));
    }
    let page = Service::find(&args.common)?.get(&path)?;
    if args.json {
        COMMANDS.print_json(&page);
        return Ok(EXIT_OK);
    }
    COMMANDS.print(&page, print);
    if page["partial"] == true {
        println!("The database is away: older ones are not shown.");
    }
    Ok(EXIT_OK)
}

fn one(args: &OneArgs, method: &'static str) -> Result<u8, Failure> {
    let path = format!("{}/{}", path(&args.device), args.command);
    let service = Service::find(&args.common)?;
    print_json(&service.ask(Request { method, path: &path, seen: None, body: None })?)?;
    Ok(EXIT_OK)
}

/// A payload, or an answer's, as one line.
fn payload(of: &Value) -> String {
    match (&of["payload"], of["payload_text"].as_str(), of["payload_base64"].as_str()) {
        (Value::Null, Some(text), _) => text.escape_debug().to_string(),
        (Value::Null, None, Some(text)) => format!("base64 {text}"),
        (json, ..) => json.to_string(),
    }
}

fn print(command: &Value) {
    let text = |key: &str| command[key].as_str().unwrap_or_default();
    println!("{}  {}  {}  {}", text("created_at"), text("id"), text("state"), payload(command));
    if command["answer"].is_object() {
        println!("    answered: {}", payload(&command["answer"]));
    }
}
