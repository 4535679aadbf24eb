//! `bellwire alert` and `bellwire silence`: what operators do with alerts, through the running service.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::listing::Listing;
use super::service::{Request, Service, encoded};
use super::{Common, EXIT_OK, Failure, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// List alerts: those that are open, or in other states.
    List(AlertsArgs),
    /// Acknowledge alerts: you have them.
    Ack(ActArgs),
    /// Give alerts back.
    Unack(ActArgs),
    /// Say who is to see to alerts; without --to, nobody.
    Assign(AssignArgs),
    /// Say something about alerts.
    Comment(ActArgs),
    /// Mute alerts for a while.
    Snooze(SnoozeArgs),
}

#[derive(Debug, Args)]
pub(super) struct AlertsArgs {
    /// Only those in these states, e.g. `firing,resolved`
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
    /// Only those with these labels, e.g. `site="berlin", severity=~"critical|warning"`
    #[arg(long, value_name = "MATCHERS")]
    matchers: Option<String>,
    /// The most of them
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u32,
    /// Print a JSON object for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct ActArgs {
    /// The alerts' ids
    #[arg(required = true, value_name = "ID")]
    alerts: Vec<String>,
    /// What there is to say
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct AssignArgs {
    /// To whom
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    #[command(flatten)]
    act: ActArgs,
}

#[derive(Debug, Args)]
pub(super) struct SnoozeArgs {
    /// For how long: 30m, 2h
    #[arg(long = "for", value_name = "DURATION")]
    lasts: String,
    #[command(flatten)]
    act: ActArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum SilenceCommand {
    /// List silences and maintenance windows.
    List(SilencesArgs),
    /// Mute alerts by their labels, for a time; prints the silence's id.
    Add(AddArgs),
    /// End a silence.
    Expire(ExpireArgs),
}

#[derive(Debug, Args)]
pub(super) struct SilencesArgs {
    /// Also those that are over
    #[arg(long)]
    all: bool,
    /// Print a JSON object for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Which alerts, e.g. `site="berlin", severity!="critical"`
    matchers: String,
    /// For how long: 30m, 2h, 7d
    #[arg(long = "for", value_name = "DURATION")]
    lasts: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// From when on, e.g. 2026-05-01T22:00:00Z; without it, from now on
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only at these hours, e.g. `mon-fri 22:00-06:00`
    #[arg(long, value_name = "HOURS")]
    schedule: Option<String>,
    /// The time zone of these hours, e.g. Europe/Berlin
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    time_zone: Option<String>,
    /// Only show which open alerts it would mute
    #[arg(long)]
    preview: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct ExpireArgs {
    /// The silence's id
    id: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn alert(command: &AlertCommand) -> Result<u8, Failure> {
    match command {
        AlertCommand::List(args) => list(args),
        AlertCommand::Ack(args) => act("ack", args, &[]),
        AlertCommand::Unack(args) => act("unack", args, &[]),
        AlertCommand::Comment(args) => act("comment", args, &[]),
        AlertCommand::Assign(args) => act("assign", &args.act, &[("to", json!(args.to))]),
        AlertCommand::Snooze(args) => act("snooze", &args.act, &[("for", json!(args.lasts))]),
    }
}

const ALERTS: Listing = Listing {
    key: "alerts",
    empty: "There are no such alerts.",
    more: "There are more: --limit, --state, or --matchers.",
};

fn list(args: &AlertsArgs) -> Result<u8, Failure> {
    let mut path = format!("/alerts?limit={}", args.limit);
    for (name, value) in [("state", &args.state), ("matchers", &args.matchers)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", encoded(value));
        }
    }
    let page = Service::find(&args.common)?.get(&path)?;
    if args.json {
        ALERTS.print_json(&page);
    } else {
        ALERTS.print(&page, print_alert);
    }
    Ok(EXIT_OK)
}

fn print_alert(alert: &Value) {
    let text = |key: &str| alert[key].as_str().unwrap_or_default();
    let mut notes = Vec::new();
    if let Some(by) = alert["acknowledged_by"].as_str() {
        notes.push(format!("acknowledged by {by}"));
    }
    if let Some(to) = alert["assigned_to"].as_str() {
        notes.push(format!("assigned to {to}"));
    }
    for word in ["latched", "silenced", "inhibited"] {
        if alert[word] == true {
            notes.push(word.to_owned());
        }
    }
    if let Some(level) = alert["escalation"].as_u64().filter(|level| *level > 0) {
        notes.push(format!("level {level}"));
    }
    let notes = if notes.is_empty() { String::new() } else { format!("  ({})", notes.join(", ")) };
    println!(
        "{}  {}  {}  {}  {}{notes}",
        text("id"),
        text("severity"),
        text("state"),
        text("since"),
        text("summary")
    );
}

/// Does something with alerts; fails if it could be done with none.
fn act(what: &str, args: &ActArgs, more: &[(&str, Value)]) -> Result<u8, Failure> {
    let mut body =
        Map::from_iter(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    body.insert("action".to_owned(), what.into());
    body.insert("alerts".to_owned(), args.alerts.clone().into());
    if let Some(comment) = &args.comment {
        body.insert("comment".to_owned(), comment.clone().into());
    }
    let body = Value::Object(body);
    let request =
        Request { method: "POST", path: "/alerts/actions", seen: None, body: Some(&body) };
    let answer = Service::find(&args.common)?.ask(request)?;
    let outcomes = answer["outcomes"].as_array().map_or(&[][..], Vec::as_slice);
    for outcome in outcomes {
        let text = |value: &Value| value.as_str().unwrap_or_default().replace('_', " ");
        let by = outcome["alert"]["acknowledged_by"].as_str();
        let by = by.filter(|_| outcome["outcome"] == "already_acknowledged");
        let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
        println!("{}  {}{by}", text(&outcome["id"]), text(&outcome["outcome"]));
    }
    if answer["done"] == 0 {
        return Err(anyhow::anyhow!("nothing was done").into());
    }
    Ok(EXIT_OK)
}

pub(super) fn silence(command: &SilenceCommand) -> Result<u8, Failure> {
    match command {
        SilenceCommand::List(args) => silences(args),
        SilenceCommand::Add(args) => add(args),
        SilenceCommand::Expire(args) => {
            let path = format!("/silences/{}", encoded(&args.id));
            let request = Request { method: "DELETE", path: &path, seen: None, body: None };
            print_json(&Service::find(&args.common)?.ask(request)?)?;
            Ok(EXIT_OK)
        }
    }
}

fn silences(args: &SilencesArgs) -> Result<u8, Failure> {
    let states = if args.all { "" } else { "?state=pending,active,waiting" };
    let page = Service::find(&args.common)?.get(&format!("/silences{states}"))?;
    let rows = page["silences"].as_array().map_or(&[][..], Vec::as_slice);
    if args.json {
        rows.iter().for_each(|row| println!("{row}"));
        return Ok(EXIT_OK);
    }
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let hours =
            row["schedule"].as_str().map(|hours| format!("  {hours} {}", text("time_zone")));
        let hours = hours.unwrap_or_default();
        println!(
            "{}  {}  {} to {}{hours}",
            text("id"),
            text("state"),
            text("starts_at"),
            text("ends_at")
        );
        println!("    {}  by {}: {}", text("matchers"), text("author"), text("reason"));
    }
    if rows.is_empty() {
        println!("There are no silences.");
    }
    Ok(EXIT_OK)
}

fn add(args: &AddArgs) -> Result<u8, Failure> {
    let service = Service::find(&args.common)?;
    if args.preview {
        let body = json!({ "matchers": args.matchers });
        let path = "/silences/preview";
        let shown = service.ask(Request { method: "POST", path, seen: None, body: Some(&body) })?;
        let alerts = shown["alerts"].as_array().map_or(&[][..], Vec::as_slice);
        alerts.iter().for_each(print_alert);
        println!("It would mute {} open alerts.", shown["count"]);
        return Ok(EXIT_OK);
    }
    let body = json!({
        "matchers": args.matchers,
        "for": args.lasts,
        "reason": args.reason,
        "starts_at": args.from,
        "schedule": args.schedule,
        "time_zone": args.time_zone,
    });
    let request = Request { method: "POST", path: "/silences", seen: None, body: Some(&body) };
    let made = service.ask(request)?;
    println!("{}", made["id"].as_str().unwrap_or_default());
    Ok(EXIT_OK)
}
