//! `bellwire rules list`, `show`, `create`, `change`, … `diff`: rules of the running service.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bellwire_alerts::read_one;
use clap::Args;
use serde_json::{Value, json};

use super::{Common, EXIT_OK, Failure};
use crate::app::file_error::FileError;
use crate::cli::print_json;
use crate::cli::service::{Request, Service, encoded};

/// Who changes something, and why.
#[derive(Debug, Args)]
pub(in crate::cli) struct By {
    /// Who you are [default: $USER]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct NamedArgs {
    /// The rule's name
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The file with the rule: one `[[rule]]` (TOML)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Keep it, and do not judge it yet
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ChangeArgs {
    /// The file with the rule as it is to be: one `[[rule]]` (TOML)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SwitchArgs {
    /// The rule's name
    name: String,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The rule's name
    name: String,
    /// From this version; 0 is before the first [default: the one before]
    #[arg(long, value_name = "VERSION")]
    from: Option<u64>,
    /// To this version [default: the last]
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
    #[command(flatten)]
    common: Common,
}

impl By {
    /// With these fields, and what is to be said beside.
    fn with(&self, mut body: Value) -> Value {
        let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
        if let Some(author) = self.author.clone().or_else(user) {
            body["author"] = author.into();
        }
        if let Some(comment) = &self.comment {
            body["comment"] = comment.as_str().into();
        }
        body
    }
}

/// The rule in a file: its name and its text.
fn read(path: &Path) -> anyhow::Result<(String, String)> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let rule = read_one(&text).map_err(|errors| {
        let reports: Vec<_> = errors.iter().map(|error| error.render(&shown, &text)).collect();
        FileError::Wrong { report: reports.join("\n") }
    })?;
    Ok((rule.name().to_string(), text))
}

/// A text of the service, as a terminal may show it.
fn plain(value: &Value) -> String {
    value.as_str().unwrap_or("-").replace(char::is_control, " ")
}

pub(super) fn list(args: &ListArgs) -> Result<u8, Failure> {
    let list = Service::find(&args.common)?.get("/rules")?;
    if args.json {
        print_json(&list["rules"])?;
        return Ok(EXIT_OK);
    }
    for rule in list["rules"].as_array().into_iter().flatten() {
        let state = match (rule["enabled"] == true, rule["problem"].as_str()) {
            (false, _) => "disabled",
            (true, Some(_)) => "look at it",
            (true, None) => "enabled",
        };
        println!(
            "{:<32}  {:<4}  {state:<10}  {:<8}  {}",
            plain(&rule["name"]),
            plain(&rule["source"]),
            plain(&rule["severity"]),
            plain(&rule["when"])
        );
    }
    Ok(EXIT_OK)
}

pub(super) fn show(args: &NamedArgs) -> Result<u8, Failure> {
    let rule = Service::find(&args.common)?.get(&path_of(&args.name))?;
    if args.json {
        print_json(&rule)?;
        return Ok(EXIT_OK);
    }
    if let Some(problem) = rule["problem"].as_str() {
        eprintln!("bellwire: {}: {problem}", args.name);
    }
    if rule["enabled"] == false {
        eprintln!("bellwire: {} is disabled", args.name);
    }
    println!("{}", rule["toml"].as_str().unwrap_or_default().trim_end());
    Ok(EXIT_OK)
}

pub(super) fn create(args: &CreateArgs) -> Result<u8, Failure> {
    let (name, toml) = read(&args.file)?;
    let body = args.by.with(json!({"toml": toml, "enabled": !args.disabled}));
    let request = Request { method: "POST", path: "/rules", seen: None, body: Some(&body) };
    Service::find(&args.common)?.ask(request)?;
    println!("Created the rule {name}.");
    Ok(EXIT_OK)
}

/// The revision of a rule made by API.
/// The path of a rule.
fn path_of(rule: &str) -> String {
    format!("/rules/{}", encoded(rule))
}

fn revision(service: &Service, name: &str) -> anyhow::Result<u64> {
    let rule = service.get(&path_of(name))?;
    let revision = rule["revision"].as_u64();
    revision.with_context(|| format!("{name} is in the rules file: edit the file to change it"))
}

pub(super) fn change(args: &ChangeArgs) -> Result<u8, Failure> {
    let (name, toml) = read(&args.file)?;
    let service = Service::find(&args.common)?;
    let seen = revision(&service, &name)?;
    let body = json!({"toml": toml});
    let request = Request { method: "POST", path: "/rules/check", seen: None, body: Some(&body) };
    let check = service.ask(request)?;
    if check["effect"] == "none" {
        println!("The rule {name} is so already.");
        return Ok(EXIT_OK);
    }
    if !args.yes {
        confirm(&check)?;
    }
    let body = args.by.with(body);
    let path = path_of(&name);
    let request = Request { method: "PUT", path: &path, seen: Some(seen), body: Some(&body) };
    let changed = service.ask(request)?;
    println!("Changed the rule {name}: it is at revision {} now.", changed["revision"]);
    Ok(EXIT_OK)
}

/// Shows what would come of a change, and asks.
fn confirm(check: &Value) -> anyhow::Result<()> {
    let alerts = &check["alerts"];
    eprint!("{}", check["diff"].as_str().unwrap_or_default());
    eprintln!(
        "It would be for {} devices. Of its open alerts {} go on, {} if they still hold, {} end.",
        check["devices"], alerts["carried"], alerts["judged_anew"], alerts["closed"]
    );
    if !io::stdin().is_terminal() {
        bail!("nobody is here to ask: --yes changes it without");
    }
    eprint!("Change it? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "yes") {
        bail!("nothing was changed");
    }
    Ok(())
}

pub(super) fn enable(args: &SwitchArgs) -> Result<u8, Failure> {
    switch(args, "POST", "/enable", "Enabled")
}

pub(super) fn disable(args: &SwitchArgs) -> Result<u8, Failure> {
    switch(args, "POST", "/disable", "Disabled")
}

pub(super) fn delete(args: &SwitchArgs) -> Result<u8, Failure> {
    switch(args, "DELETE", "", "Deleted")
}

fn switch(args: &SwitchArgs, method: &'static str, more: &str, done: &str) -> Result<u8, Failure> {
    let service = Service::find(&args.common)?;
    let seen = Some(revision(&service, &args.name)?);
    let body = args.by.with(json!({}));
    let path = path_of(&args.name) + more;
    service.ask(Request { method, path: &path, seen, body: Some(&body) })?;
    println!("{done} the rule {}.", args.name);
    Ok(EXIT_OK)
}

pub(super) fn versions(args: &NamedArgs) -> Result<u8, Failure> {
    let path = path_of(&args.name) + "/versions";
    let found = Service::find(&args.common)?.get(&path)?;
    if args.json {
        print_json(&found["versions"])?;
        return Ok(EXIT_OK);
    }
    for version in found["versions"].as_array().into_iter().flatten() {
        let comment = version["comment"].as_str().map(|_| plain(&version["comment"]));
        let line = format!(
            "{:>5}  {}  {:<8}  {:<16}  {}",
            version["version"],
            plain(&version["at"]),
            plain(&version["action"]),
            plain(&version["author"]),
            comment.unwrap_or_default()
        );
        println!("{}", line.trim_end());
    }
    Ok(EXIT_OK)
}

pub(super) fn diff(args: &DiffArgs) -> Result<u8, Failure> {
    let number = |key: &str, number: Option<u64>| number.map(|number| format!("{key}={number}"));
    let query: Vec<_> =
        [number("from", args.from), number("to", args.to)].into_iter().flatten().collect();
    let path = format!("{}/diff?{}", path_of(&args.name), query.join("&"));
    let found = Service::find(&args.common)?.get(&path)?;
    print!("{}", found["diff"].as_str().unwrap_or_default());
    Ok(EXIT_OK)
}
