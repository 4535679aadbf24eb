//! What a client may ask for, in a message or in the query, and how often.
//!
//! ```json
//! {"type": "subscribe",
//!  "readings": {"devices": ["a"], "labels": "site=berlin", "metrics": ["temperature"]},
//!  "alerts": {"devices": ["a"], "labels": "site=berlin", "rules": ["hot"], "severity": "warning"}}
//! ```

use std::num::NonZeroU32;

use bellwire_model::{DeviceId, IdError, Matchers, MetricName, RuleName, Severity, Target};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use tokio::time::Instant;

use crate::auth::within::Within;
use crate::live::filter::AlertSpec;
use crate::live::interest::{Devices, ReadingSpec};
use crate::params::Params;
use crate::problem::Problem;

/// The query parameters of the feed: where the client stands, and what it asks for.
pub(crate) const PARAMETERS: [&str; 9] = [
    "cursor",
    "devices",
    "readings.devices",
    "readings.labels",
    "readings.metrics",
    "alerts.devices",
    "alerts.labels",
    "alerts.rules",
    "alerts.severity",
];

/// What a client asks for; a part that it does not name stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) readings: Option<ReadingSpec>,
    pub(crate) alerts: Option<AlertSpec>,
}

/// A list of names, or all.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a list of names, or \"*\"")]
enum Names {
    One(String),
    List(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadingsWish {
    devices: Option<Names>,
    labels: Option<String>,
    metrics: Option<Names>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertsWish {
    devices: Option<Names>,
    labels: Option<String>,
    rules: Option<Names>,
    severity: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    #[expect(
        dead_code,
        reason = "read before, so that a wrong one is answered with the right one"
    )]
    r#type: String,
    devices: Option<Names>,
    readings: Option<ReadingsWish>,
    alerts: Option<AlertsWish>,
}

/// Reads a message.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn read(text: &str, names_max: usize) -> Result<Wish, String> {
    let message: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let Value::Object(fields) = &message else {
        return Err("a message is a JSON object".to_owned());
    };
    match fields.get("type").and_then(Value::as_str) {
        Some("subscribe") => {}
        Some(other) => return Err(format!("unknown type {other:?}; known is \"subscribe\"")),
        None => return Err("`type` is missing".to_owned()),
    }
    let subscribe: Subscribe =
        serde_json::from_value(message).map_err(|error| error.to_string())?;
    match subscribe.wish(names_max)? {
        wish if wish == Wish::default() => {
            Err("`devices`, `readings` or `alerts` is missing".to_owned())
        }
        wish => Ok(wish),
    }
}

/// Reads a query, which may have other parameters too.
///
/// # Errors
/// A problem if it cannot be read.
pub(crate) fn read_query(params: &Params, names_max: usize) -> Result<Wish, Problem> {
    let names = |name| {
        let names = params.text(name)?.split(',').map(str::to_owned);
        Some(Names::List(names.collect()))
    };
    let text = |name| params.text(name).map(str::to_owned);
    let has =
        |part: &str| PARAMETERS.iter().any(|it| it.starts_with(part) && params.text(it).is_some());
    let subscribe = Subscribe {
        devices: names("devices"),
        readings: has("readings.").then(|| ReadingsWish {
            devices: names("readings.devices"),
            labels: text("readings.labels"),
            metrics: names("readings.metrics"),
        }),
        alerts: has("alerts.").then(|| AlertsWish {
            devices: names("alerts.devices"),
            labels: text("alerts.labels"),
            rules: names("alerts.rules"),
            severity: text("alerts.severity"),
        }),
        ..Subscribe::default()
    };
    subscribe
        .wish(names_max)
        .map_err(|error| Problem::bad_request("invalid_parameter", format!("{error}.")))
}

impl Subscribe {
    fn wish(self, names_max: usize) -> Result<Wish, String> {
        let readings = match (self.devices, self.readings) {
            (Some(_), Some(_)) => {
                return Err("`devices` is short for `readings.devices`: say one of them".to_owned());
            }
            (None, None) => None,
            (Some(names), None) => {
                let devices =
                    devices(names, names_max).map_err(|error| format!("`devices`: {error}"))?;
                Some(ReadingSpec { devices, ..ReadingSpec::default() })
            }
            (None, Some(wish)) => {
                Some(wish.spec(names_max).map_err(|error| format!("`readings`: {error}"))?)
            }
        };
        let alerts = self.alerts.map(|wish| wish.spec(names_max)).transpose();
        let alerts = alerts.map_err(|error| format!("`alerts`: {error}"))?;
        Ok(Wish { readings, alerts })
    }
}

impl ReadingsWish {
    fn spec(self, names_max: usize) -> Result<ReadingSpec, String> {
        let labels = labels(self.labels)?;
        let metrics = self
            .metrics
            .map(|names| list(names, names_max, MetricName::new))
            .transpose()?
            .flatten();
        let devices = match self.devices {
            Some(names) => devices(names, names_max)?,
            None if !labels.is_empty() => Devices::Everything,
            None if metrics.is_some() => {
                return Err(
                    "`metrics` narrows `devices` or `labels`: say one of them too".to_owned()
                );
            }
            None => Devices::Nothing,
        };
        Ok(if devices == Devices::Nothing {
            ReadingSpec::default()
        } else {
            ReadingSpec { devices, labels, metrics, within: Within::default() }
        })
    }
}

impl AlertsWish {
    fn spec(self, names_max: usize) -> Result<AlertSpec, String> {
        let severity = self.severity.map(|text| {
            let known: Vec<_> = Severity::ALL.iter().map(|it| it.label()).collect();
            let wrong = || format!("`severity` is one of {}, not {text:?}", known.join(", "));
            Severity::from_label(&text).ok_or_else(wrong)
        });
        Ok(AlertSpec {
            within: Within::default(),
            devices: self
                .devices
                .map(|names| list(names, names_max, Target::new))
                .transpose()?
                .flatten(),
            labels: labels(self.labels)?,
            rules: self
                .rules
                .map(|names| list(names, names_max, RuleName::new))
                .transpose()?
                .flatten(),
            severity: severity.transpose()?.filter(|least| *least > Severity::Info),
        })
    }
}

fn labels(text: Option<String>) -> Result<Vec<Matchers>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let matchers = Matchers::parse(&text).map_err(|error| format!("`labels`: {error}"))?;
    Ok(if matchers.as_slice().is_empty() { Vec::new() } else { vec![matchers] })
}

/// Devices by name; `"*"`, alone or in the list, means every one.
fn devices(names: Names, names_max: usize) -> Result<Devices, String> {
    Ok(match list(names, names_max, DeviceId::new)? {
        None => Devices::Everything,
        Some(names) if names.is_empty() => Devices::Nothing,
        Some(names) => Devices::Named(names),
    })
}

/// A list of names without repetitions; `None` for all.
fn list<T: Ord>(
    names: Names,
    names_max: usize,
    new: impl Fn(&str) -> Result<T, IdError>,
) -> Result<Option<Vec<T>>, String> {
    let names = match names {
        Names::One(name) if name == "*" => return Ok(None),
        Names::One(name) => return Err(format!("a list of names, or \"*\", not {name:?}")),
        Names::List(names) if names.iter().any(|name| name == "*") => return Ok(None),
        Names::List(names) => names,
    };
    let list = names.iter().map(|name| new(name).map_err(|error| format!("{name:?}: {error}")));
    let mut list = list.collect::<Result<Vec<T>, String>>()?;
    list.sort_unstable();
    list.dedup();
    if list.len() > names_max {
        return Err(format!("{} names, at most {names_max}; or \"*\"", list.len()));
    }
    Ok(Some(list))
}

fn said(labels: &[Matchers]) -> String {
    let matchers = labels.iter().flat_map(Matchers::as_slice).map(ToString::to_string);
    matchers.collect::<Vec<_>>().join(",")
}

impl Serialize for Devices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.collect_seq(std::iter::empty::<&str>()),
            Self::Named(devices) => serializer.collect_seq(devices.iter().map(DeviceId::as_str)),
            Self::Everything => serializer.collect_seq(["*"]),
        }
    }
}

impl Serialize for ReadingSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("devices", &self.devices)?;
        if !self.labels.is_empty() {
            map.serialize_entry("labels", &said(&self.labels))?;
        }
        if let Some(metrics) = &self.metrics {
            map.serialize_entry(
                "metrics",
                &metrics.iter().map(MetricName::as_str).collect::<Vec<_>>(),
            )?;
        }
        map.end()
    }
}

impl Serialize for AlertSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(devices) = &self.devices {
            map.serialize_entry(
                "devices",
                &devices.iter().map(Target::as_str).collect::<Vec<_>>(),
            )?;
        }
        if !self.labels.is_empty() {
            map.serialize_entry("labels", &said(&self.labels))?;
        }
        if let Some(rules) = &self.rules {
            map.serialize_entry("rules", &rules.iter().map(RuleName::as_str).collect::<Vec<_>>())?;
        }
        if let Some(severity) = self.severity {
            map.serialize_entry("severity", severity.label())?;
        }
        map.end()
    }
}

/// How many messages a client may still send: a bucket of two seconds' worth.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(crate) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        let per_second = f64::from(per_second.get());
        Self { per_second, left: 2.0 * per_second, at: now }
    }

    /// Whether one more is allowed at `now`.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.left = (self.left + earned).min(2.0 * self.per_second) - 1.0;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wish(fields: &str) -> Result<Wish, String> {
        read(&format!(r#"{{"type":"subscribe",{fields}}}"#), 2)
    }

    fn devices_of(devices: &str) -> Result<Devices, String> {
        let wish = wish(&format!(r#""devices":{devices}"#))?;
        assert_eq!(wish.alerts, None, "alerts stay as they are");
        Ok(wish.readings.expect("readings").devices)
    }

    fn query(query: &str) -> Result<Wish, Problem> {
        let uri = format!("/x?{query}").parse().expect("a URI");
        read_query(&Params::read(&uri, &PARAMETERS)?, 2)
    }

    #[test]
    fn a_subscription_names_devices_or_all_of_them() {
        let some = |names: &[&str]| {
            let names = names.iter().map(|name| DeviceId::new(name).expect("valid"));
            Ok(Devices::Named(names.collect()))
        };
        assert_eq!(devices_of(r#"["b","a","b"]"#), some(&["a", "b"]));
        assert_eq!(devices_of("[]"), Ok(Devices::Nothing));
        assert_eq!(devices_of(r#""*""#), Ok(Devices::Everything));
        assert_eq!(devices_of(r#"["a","*"]"#), Ok(Devices::Everything));
        assert!(devices_of(r#"["a","b","c"]"#).expect_err("too many").contains("at most 2"));
        assert!(devices_of(r#"["a/b"]"#).expect_err("no name").contains("forbidden"));
        assert!(devices_of("7").is_err());
        assert!(devices_of("[7]").is_err());
    }

    #[test]
    fn a_message_and_a_query_say_the_same() {
        let by_message = wish(
            r#""readings":{"labels":"site=berlin","metrics":["t"]},
               "alerts":{"devices":["a"],"labels":"site=~\"b.*\"","rules":["hot"],"severity":"warning"}"#,
        );
        let by_query = query(
            "readings.labels=site%3Dberlin&readings.metrics=t&alerts.devices=a\
             &alerts.labels=site%3D~%22b.*%22&alerts.rules=hot&alerts.severity=warning",
        );
        let wish = by_message.expect("right");
        assert_eq!(by_query.expect("right"), wish);
        let readings = wish.readings.expect("asked for");
        assert_eq!(readings.devices, Devices::Everything);
        let alerts = wish.alerts.expect("asked for");
        assert_eq!(
            (json(&readings), json(&alerts)),
            (
                r#"{"devices":["*"],"labels":"site=\"berlin\"","metrics":["t"]}"#.to_owned(),
                r#"{"devices":["a"],"labels":"site=~\"b.*\"","rules":["hot"],"severity":"warning"}"#.to_owned(),
            )
        );
        assert_eq!(query("").expect("right"), Wish::default());
        let all = query("alerts.severity=info&alerts.rules=*").expect("right");
        assert!(all.alerts.expect("asked for").is_everything());
        assert_eq!(
            query("devices=a").expect("right").readings.expect("asked for").devices,
            Devices::Named(vec![DeviceId::new("a").expect("valid")])
        );
    }

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).expect("it serializes")
    }

    #[test]
    fn what_is_no_message_is_answered_with_what_would_be() {
        for (text, expected) in [
            ("", "no JSON"),
            ("[]", "object"),
            ("{}", "`type` is missing"),
            (r#"{"type":"shout"}"#, "known is \"subscribe\""),
            (r#"{"type":"subscribe","device":[]}"#, "expected one of"),
            (r#"{"type":"subscribe"}"#, "`alerts` is missing"),
            (r#"{"type":"subscribe","devices":"a"}"#, "a list of names"),
            (r#"{"type":"subscribe","devices":[],"readings":{}}"#, "say one of them"),
            (r#"{"type":"subscribe","readings":{"metrics":["t"]}}"#, "narrows"),
            (r#"{"type":"subscribe","alerts":{"severity":"bad"}}"#, "info, warning, critical"),
            (r#"{"type":"subscribe","alerts":{"labels":"=berlin"}}"#, "column"),
            (r#"{"type":"subscribe","alerts":{"labels":"site=~\"(\""}}"#, "not understood"),
            (r#"{"type":"subscribe","alerts":{"rule":[]}}"#, "expected one of"),
        ] {
            let error = read(text, 9).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(
            query("alerts.severity=bad").expect_err("no severity").code(),
            "invalid_parameter"
        );
        assert_eq!(query("severity=bad").expect_err("no parameter").code(), "unknown_parameter");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_say_so_much_and_no_more() {
        let per_second = NonZeroU32::new(5).expect("not zero");
        let mut allowance = Allowance::new(per_second, Instant::now());
        let n_allowed = (0..20).filter(|_| allowance.take(Instant::now())).count();
        assert_eq!(n_allowed, 10);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(allowance.take(Instant::now()));
    }
}
