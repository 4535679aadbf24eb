//! `bellwire channel` and `bellwire deliveries`: where alerts are sent to, whether it works, and what was
//! sent.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::service::{Request, Service, encoded};
use super::{Common, EXIT_FAILURE, EXIT_OK, Failure, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum ChannelCommand {
    /// List the channels, and how each is.
    List(ListArgs),
    /// Send a test message now; ends with 1 if it does not arrive.
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The channel's name
    name: String,
    /// Print the answers as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct DeliveriesArgs {
    /// Only those of this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Only those that tell of this alert
    #[arg(long, value_name = "ID")]
    alert: Option<String>,
    /// The most of them, at most 1000
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: u32,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(command: &ChannelCommand) -> Result<u8, Failure> {
    match command {
        ChannelCommand::List(args) => list(args),
        ChannelCommand::Test(args) => test(args),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

fn rows<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

fn list(args: &ListArgs) -> Result<u8, Failure> {
    let answer = Service::find(&args.common)?.get("/channels")?;
    if args.json {
        print_json(&answer)?;
        return Ok(EXIT_OK);
    }
    let channels = rows(&answer, "channels");
    if channels.is_empty() {
        println!("There is no channel: see [[channel]] in `bellwire config example`.");
        return Ok(EXIT_OK);
    }
    println!("{:<24}{:<14}{:<11}{:<9}LAST SUCCESS", "CHANNEL", "TYPE", "STATUS", "WAITING");
    for channel in channels {
        println!(
            "{:<24}{:<14}{:<11}{:<9}{}",
            text(channel, "name"),
            text(channel, "type"),
            text(channel, "status"),
            channel["waiting"],
            text(channel, "last_success"),
        );
        if matches!(text(channel, "status"), "failing" | "rejecting") {
            println!("  {}", text(&channel["last_error"], "detail"));
        }
    }
    Ok(EXIT_OK)
}

fn test(args: &TestArgs) -> Result<u8, Failure> {
    let path = format!("/channels/{}/test", encoded(&args.name));
    let request = Request { method: "POST", path: &path, seen: None, body: None };
    let answer = Service::find(&args.common)?.ask(request)?;
    if args.json {
        print_json(&answer)?;
    } else {
        for said in rows(&answer, "answers") {
            println!(
                "{} after {} ms: {}",
                text(said, "result"),
                said["took_ms"],
                text(said, "detail")
            );
        }
    }
    Ok(if answer["delivered"] == true { EXIT_OK } else { EXIT_FAILURE })
}

pub(super) fn deliveries(args: &DeliveriesArgs) -> Result<u8, Failure> {
    let mut path = format!("/deliveries?limit={}", args.limit.clamp(1, 1_000));
    for (name, value) in [("channel", &args.channel), ("alert", &args.alert)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", encoded(value));
        }
    }
    let answer = Service::find(&args.common)?.get(&path)?;
    if args.json {
        print_json(&answer)?;
        return Ok(EXIT_OK);
    }
    for it in rows(&answer, "deliveries") {
        let what = if it["test"] == true {
            "test".to_owned()
        } else {
            format!("{} alerts, {} firing", rows(it, "alerts").len(), it["firing"])
        };
        println!(
            "{}  {:<20} {:<10} {what}: {}",
            text(it, "at"),
            text(it, "channel"),
            text(it, "result"),
            text(it, "detail"),
        );
    }
    Ok(EXIT_OK)
}
