//! `bellwire device find|show|register|label|unregister|import`: the registry of the running service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bellwire_model::DeviceId;
use clap::Args;
use serde_json::{Map, Value, json};

use super::access::device_id;
use super::service::{Request, Service, encoded};
use super::{Common, EXIT_OK, Failure, print_json};
use crate::backtest::csv::cells;

/// Devices in one request.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct FindArgs {
    /// Those with this label, e.g. site=berlin; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Those that this chooses, as `select` of a rule: "kind = 'freezer' and site =~ 'berlin-.*'"
    #[arg(long)]
    select: Option<String>,
    /// Those that are online, or with `false` those that are not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    online: Option<bool>,
    /// Those whose id begins so
    #[arg(long)]
    prefix: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// Its model: the label `model`
    #[arg(long)]
    model: Option<String>,
    /// A label, e.g. site=berlin; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct LabelArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// `name=value` sets a label, `name-` removes it
    #[arg(value_name = "NAME=VALUE|NAME-", required = true, value_parser = change)]
    changes: Vec<(String, Option<String>)>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct UnregisterArgs {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// Forget what its births said too, until the next one
    #[arg(long)]
    births: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// A CSV file whose first line names its columns: `device`, and a label each; an empty cell says
    /// nothing
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn change(text: &str) -> Result<(String, Option<String>), String> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((name, value)), _) => Ok((name.to_owned(), Some(value.to_owned()))),
        (None, Some(name)) => Ok((name.to_owned(), None)),
        (None, None) => Err("write NAME=VALUE, or NAME- to remove it".to_owned()),
    }
}

fn path(device: &DeviceId) -> String {
    format!("/devices/{}", encoded(device.as_str()))
}

/// A selection of devices with all of these labels.
fn selection(args: &FindArgs) -> anyhow::Result<Option<String>> {
    let mut parts = Vec::new();
    for (name, value) in &args.labels {
        if value.contains('\'') {
            bail!("a value with a quotation mark cannot be looked for: {value}");
        }
        parts.push(format!("{name} = '{value}'"));
    }
    parts.extend(args.select.as_ref().map(|select| format!("({select})")));
    Ok((!parts.is_empty()).then(|| parts.join(" and ")))
}

pub(super) fn find(args: &FindArgs) -> Result<u8, Failure> {
    let service = Service::find(&args.common)?;
    let mut query = format!("/devices?limit={PAGE}");
    let online = args.online.map(|online| online.to_string());
    for (key, value) in
        [("select", selection(args)?), ("online", online), ("prefix", args.prefix.clone())]
    {
        if let Some(value) = value {
            query += &format!("&{key}={}", encoded(&value));
        }
    }
    let mut devices = Vec::new();
    let mut page = service.get(&query)?;
    loop {
        if let Some(Value::Array(some)) = page.get_mut("devices").map(Value::take) {
            devices.extend(some);
        }
        let Some(next) = page["next"].as_str() else { break };
        page = service.get(&format!("{query}&cursor={}", encoded(next)))?;
    }
    if args.json {
        print_json(&devices)?;
        return Ok(EXIT_OK);
    }
    for device in &devices {
        println!("{}", line(device));
    }
    Ok(EXIT_OK)
}

/// A device in one line.
fn line(device: &Value) -> String {
    let online = if device["online"] == true { "online" } else { "offline" };
    let seen = device["last_seen"].as_str().unwrap_or("never");
    let labels = device["labels"].as_object().map(words).unwrap_or_default();
    let device = device["device"].as_str().unwrap_or_default();
    format!("{device}  {online}  {seen}  {labels}").trim_end().to_owned()
}

fn words(labels: &Map<String, Value>) -> String {
    let words =
        labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    words.collect::<Vec<_>>().join(" ")
}

pub(super) fn show(args: &ShowArgs) -> Result<u8, Failure> {
    let device = Service::find(&args.common)?.get(&path(&args.device))?;
    if args.json {
        print_json(&device)?;
        return Ok(EXIT_OK);
    }
    let text = |key: &str| device[key].as_str().unwrap_or("never").to_owned();
    println!("device      {}", args.device);
    println!("online      {}", device["online"] == true);
    println!("first seen  {}", text("first_seen"));
    println!("last seen   {}", text("last_seen"));
    println!("registered  {}", device["registered"] == true);
    for source in ["registry", "rules", "births"] {
        if let Some(labels) = device["sources"][source].as_object().filter(|it| !it.is_empty()) {
            println!("{source:<11} {}", words(labels));
        }
    }
    if let Some(labels) = device["labels"].as_object() {
        println!("labels      {}", words(labels));
    }
    Ok(EXIT_OK)
}

pub(super) fn register(args: &RegisterArgs) -> Result<u8, Failure> {
    let labels: BTreeMap<_, _> = args.labels.iter().cloned().collect();
    let mut body = json!({ "labels": labels });
    if let Some(model) = &args.model {
        body["model"] = model.as_str().into();
    }
    let path = path(&args.device);
    let request = Request { method: "PUT", path: &path, seen: None, body: Some(&body) };
    Service::find(&args.common)?.ask_if(request, "If-None-Match: *")?;
    eprintln!("Registered `{}`.", args.device);
    Ok(EXIT_OK)
}

pub(super) fn label(args: &LabelArgs) -> Result<u8, Failure> {
    let labels: BTreeMap<_, _> = args.changes.iter().cloned().collect();
    let body = json!({ "labels": labels });
    let path = path(&args.device);
    let request = Request { method: "PATCH", path: &path, seen: None, body: Some(&body) };
    let device = Service::find(&args.common)?.ask_if(request, "If-Match: *")?;
    println!("{}", line(&device));
    Ok(EXIT_OK)
}

pub(super) fn unregister(args: &UnregisterArgs) -> Result<u8, Failure> {
    let service = Service::find(&args.common)?;
    let path = path(&args.device);
    let path = if args.births { format!("{path}?births=forget") } else { path };
    let request = Request { method: "DELETE", path: &path, seen: None, body: None };
    service.ask_if(request, "If-Match: *")?;
    eprintln!("The registry does not have `{}` any more.", args.device);
    Ok(EXIT_OK)
}

/// Has the running service forget all labels of a device, if it runs and knows it.
pub(super) fn forget(common: &Common, device: &DeviceId) -> anyhow::Result<()> {
    let path = format!("{}?births=forget", path(device));
    let request = Request { method: "DELETE", path: &path, seen: None, body: None };
    Service::find(common)?.ask_if(request, "If-Match: *").map(drop)
}

pub(super) fn import(args: &ImportArgs) -> Result<u8, Failure> {
    let devices = read(&args.file)?;
    let service = Service::find(&args.common)?;
    let mut n_done = 0;
    for page in devices.chunks(PAGE) {
        let body = Value::Array(page.to_vec());
        let request = Request { method: "POST", path: "/devices", seen: None, body: Some(&body) };
        service
            .ask(request)
            .with_context(|| format!("of {} devices {n_done} were imported", devices.len()))?;
        n_done += page.len();
    }
    eprintln!("Imported {n_done} devices.");
    Ok(EXIT_OK)
}

/// The devices of a CSV file.
fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is not as expected", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().context("it is empty")?;
    let columns: Vec<_> = cells(head).iter().map(|cell| unquoted(cell)).collect();
    let place = columns.iter().position(|name| name == "device");
    let place = place.context("line 1 names no column `device`")?;
    let mut devices = Vec::new();
    for (index, line) in lines {
        let cells: Vec<_> = cells(line).iter().map(|cell| unquoted(cell)).collect();
        if cells.len() != columns.len() {
            bail!("line {} has {} cells, not {}", index + 1, cells.len(), columns.len());
        }
        let labels = columns.iter().zip(&cells).enumerate();
        let labels = labels.filter(|(at, (_, cell))| *at != place && !cell.is_empty());
        let labels: Map<String, Value> =
            labels.map(|(_, (name, cell))| (name.clone(), cell.as_str().into())).collect();
        devices.push(json!({ "device": cells[place], "labels": labels }));
    }
    Ok(devices)
}

/// A cell without the quotes around it.
fn unquoted(cell: &str) -> String {
    match cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_devices_is_read() {
        let text = "device,model,site\r\nf-1,\"T, 100\",berlin\r\n\r\nf-2,,\r\n";
        let devices = parse(text).expect("right");
        let first = json!({"device": "f-1", "labels": {"model": "T, 100", "site": "berlin"}});
        assert_eq!(devices, [first, json!({"device": "f-2", "labels": {}})]);
        let wrong = |text| parse(text).expect_err("wrong").to_string();
        assert_eq!(wrong("name,site\n"), "line 1 names no column `device`");
        assert_eq!(wrong("device,site\na\n"), "line 2 has 1 cells, not 2");
    }

    #[test]
    fn labels_are_set_and_removed() {
        assert_eq!(change("site=berlin-"), Ok(("site".into(), Some("berlin-".into()))));
        assert_eq!(change("site-"), Ok(("site".into(), None)));
        assert!(change("site").is_err());
    }
}
