//! Mappings of well-known device families, as a user would write them.
//!
//! `{base}` stands for the levels that `base` says. Topics and keys are from the families' own
//! documentation.

/// A preset.
pub(super) struct Preset {
    name: &'static str,
    /// What `base` is if nothing is said; `None`: there is none.
    pub(super) base: Option<&'static str>,
    /// Its mappings.
    pub(super) text: &'static str,
}

/// The presets by name.
pub(super) const NAMES: [&str; 5] = ["zigbee2mqtt", "tasmota", "shelly", "esphome", "sparkplug"];

/// The preset with this name.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

const PRESETS: [Preset; NAMES.len()] = [
    Preset { name: NAMES[0], base: Some("zigbee2mqtt"), text: ZIGBEE2MQTT },
    Preset { name: NAMES[1], base: None, text: TASMOTA },
    Preset { name: NAMES[2], base: None, text: SHELLY },
    Preset { name: NAMES[3], base: None, text: ESPHOME },
    Preset { name: NAMES[4], base: Some("spBv1.0"), text: SPARKPLUG },
];

/// <https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html>
///
/// The time is there if `last_seen` is turned on; what is said of firmware and model is no reading.
const ZIGBEE2MQTT: &str = r#"
[[mapping]]
topic = "{base}/{device}"
format = "json"
time_key = "last_seen"
omit = ["update", "device"]
arrays = "index"

[[mapping]]
topic = "{base}/{device}/availability"
format = "status"
"#;

/// <https://tasmota.github.io/docs/MQTT/>
///
/// `Time` is local time without an offset: it counts where `utc_offset` is told.
const TASMOTA: &str = r#"
[[mapping]]
topic = "tele/{device}/SENSOR"
format = "json"
time_key = "Time"
utc_offset = "unknown"
omit = ["TempUnit", "PressureUnit"]
arrays = "index"

[[mapping]]
topic = "tele/{device}/STATE"
format = "json"
time_key = "Time"
utc_offset = "unknown"
omit = ["Uptime", "Wifi.SSId", "Wifi.BSSId", "Wifi.Downtime", "Wifi.Mode"]
arrays = "index"

[[mapping]]
topic = "tele/{device}/LWT"
format = "status"

[[mapping]]
topic = "stat/{device}/STATUS8"
format = "json"
root = "StatusSNS"
time_key = "StatusSNS.Time"
utc_offset = "unknown"
omit = ["StatusSNS.TempUnit", "StatusSNS.PressureUnit"]
arrays = "index"

[[mapping]]
topic = "stat/{device}/RESULT"
format = "ignore"

[[mapping]]
topic = "stat/{device}/POWER"
format = "scalar"
metric = "POWER"
"#;

/// <https://shelly-api-docs.shelly.cloud/gen1/#mqtt-support> and
/// <https://shelly-api-docs.shelly.cloud/gen2/General/Notifications>
const SHELLY: &str = r#"
[[mapping]]
topic = "shellies/{device}/online"
format = "status"

[[mapping]]
topic = "shellies/{device}/announce"
format = "ignore"

[[mapping]]
topic = "shellies/{device}/info"
format = "ignore"

[[mapping]]
topic = "shellies/{device}/command"
format = "ignore"

[[mapping]]
topic = "shellies/{device}/+/+/command"
format = "ignore"

[[mapping]]
topic = "shellies/{device}/+/+/set"
format = "ignore"

[[mapping]]
topic = "shellies/{device}/status/{metric}"
format = "json"
arrays = "index"

[[mapping]]
topic = "shellies/{device}/events/rpc"
format = "json"
root = "params"
time_key = "params.ts"
arrays = "index"

[[mapping]]
topic = "shellies/{device}/sensor/{metric}"
format = "scalar"

[[mapping]]
topic = "shellies/{device}/{metric}"
format = "scalar"

[[mapping]]
topic = "shellies/{device}/{metric}/{metric}"
format = "scalar"

[[mapping]]
topic = "shellies/{device}/{metric}/{metric}/{metric}"
format = "scalar"

[[mapping]]
topic = "{device}/online"
format = "status"

[[mapping]]
topic = "{device}/events/rpc"
format = "json"
root = "params"
time_key = "params.ts"
arrays = "index"

[[mapping]]
topic = "{device}/status/{metric}"
format = "json"
arrays = "index"
"#;

/// <https://sparkplug.eclipse.org/specification/version/3.0/documents/sparkplug-specification-3.0.0.pdf>,
/// chapter 4. Commands, and what hosts say of themselves, are no telemetry.
const SPARKPLUG: &str = r#"
[[mapping]]
topic = "{base}/+/NCMD/#"
format = "ignore"

[[mapping]]
topic = "{base}/+/DCMD/#"
format = "ignore"

[[mapping]]
topic = "{base}/STATE/#"
format = "ignore"

[[mapping]]
topic = "{base}/#"
format = "sparkplug"
"#;

/// <https://esphome.io/components/mqtt.html>
const ESPHOME: &str = r#"
[[mapping]]
topic = "{device}/status"
format = "status"

[[mapping]]
topic = "{device}/sensor/{metric}/state"
format = "scalar"
missing = ["nan"]

[[mapping]]
topic = "{device}/binary_sensor/{metric}/state"
format = "scalar"

[[mapping]]
topic = "{device}/text_sensor/{metric}/state"
format = "scalar"

[[mapping]]
topic = "{device}/switch/{metric}/state"
format = "scalar"

[[mapping]]
topic = "{device}/number/{metric}/state"
format = "scalar"

[[mapping]]
topic = "{device}/light/{metric}/state"
format = "json"
"#;
