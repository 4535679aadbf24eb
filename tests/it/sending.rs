//! Alerts reach those who are to be told, whoever fails on the way.

mod alertmanager;
mod channels;
mod handled;
mod mail;
mod mute;
mod storm;

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::http;
use crate::support::receiver::Receiver;
use crate::support::service::{Service, Settings};

pub(crate) const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
clear = "temperature < 85"
severity = "critical"
summary = "{device} is at {value} °C"

[[labels]]
device = "oven-*"
set = { site = "berlin" }
"#;

/// What the service says of receivers that fail.
const FAILING: [&str; 2] = ["fails, and is tried again", "does not take a message"];

/// A service that is prepared to send, with `config` as its configuration.
fn sending(settings: Settings, config: &str) -> Service {
    let mut service = Service::prepare(settings);
    configure(&service, config);
    let path = service.dir().join("bellwire.toml");
    service.set("BELLWIRE_CONFIG", path.display());
    service
}

/// Writes what the next start reads.
fn configure(service: &Service, config: &str) {
    std::fs::write(service.dir().join("bellwire.toml"), config).unwrap();
}

/// A webhook `ops`, told of everything at once.
fn hook(receiver: &Receiver, more: &str) -> String {
    let url = receiver.url();
    format!(
        "[[channel]]\nname = 'ops'\ntype = 'webhook'\nurl = '{url}'\ntimeout_ms = 1000\n{more}\n\
         [[route]]\nchannels = ['ops']\ngroup_by = ['rule']\ngroup_wait_s = 0\ngroup_interval_s = 1\n"
    )
}

async fn heat(service: &Service, device: &str, degrees: u32) {
    let mut sender = Device::connect(&service.mqtt(), device).await;
    let payload = format!("{{\"temperature\": {degrees}}}");
    sender.publish(&format!("devices/{device}/telemetry"), payload).await;
}

/// The channel, as the API has it.
async fn channel(service: &Service, name: &str) -> Value {
    let (status, answer) = service.get("/api/v1/channels").await;
    assert_eq!(status, 200, "{answer}");
    let all = answer["channels"].as_array().expect("channels");
    all.iter().find(|it| it["name"] == name).cloned().expect("this channel")
}

async fn test_channel(service: &Service, name: &str) -> (u16, Value) {
    let path = format!("/api/v1/channels/{name}/test");
    let (status, body) = http::post(&service.http(), &path, "").await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(json!(body)))
}
