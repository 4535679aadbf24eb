//! What the live feed says, as JSON text: each frame is made once, whoever gets it.

use std::sync::OnceLock;

use axum::extract::ws::Utf8Bytes;
use bellwire_model::{
    AlertId, Cursor, DeviceId, DeviceKey, MetricKey, MetricName, Timestamp, Transition, Value,
};
use serde::{Serialize, Serializer};

use crate::ports::Place;
use crate::rfc3339::Rfc3339;
use crate::views::{AlertView, Text, TimesView, TransitionView};

/// The JSON of `value`.
///
/// # Panics
/// Never for what this room serializes: structs of strings, numbers and finite times.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers always serialize")
}

/// The JSON of an alert.
pub(crate) fn alert(alert: &bellwire_model::Alert) -> Box<str> {
    json(&AlertView(alert)).into_boxed_str()
}

/// A transition's frame, as the ring keeps it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) alert: AlertId,
    pub(crate) text: Utf8Bytes,
}

impl Entry {
    pub(crate) fn new(cursor: Cursor, transition: &Transition, times: TimesView) -> Self {
        Self {
            place: Place::of(transition),
            alert: transition.alert.id,
            text: json(&TransitionView::new(cursor, transition, times)).into(),
        }
    }
}

/// How a client came to its snapshot; also a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Resume {
    /// It had no cursor.
    Fresh,
    /// It got what it missed from memory.
    FromMemory,
    /// It got what it missed from history.
    FromHistory,
    /// Its cursor cannot be read.
    BadCursor,
    /// Its cursor is from another log.
    OtherLog,
    /// Its cursor is of a place that we have not reached.
    Ahead,
    /// It missed more than we send.
    TooOld,
    /// What it missed lies in the database, which is away.
    HistoryAway,
}

impl Resume {
    pub(crate) const ALL: [Self; 8] = [
        Self::Fresh,
        Self::FromMemory,
        Self::FromHistory,
        Self::BadCursor,
        Self::OtherLog,
        Self::Ahead,
        Self::TooOld,
        Self::HistoryAway,
    ];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::FromMemory => "from_memory",
            Self::FromHistory => "from_history",
            Self::BadCursor => "bad_cursor",
            Self::OtherLog => "other_log",
            Self::Ahead => "ahead",
            Self::TooOld => "too_old",
            Self::HistoryAway => "history_away",
        }
    }

    /// Whether the client has now got every transition since its cursor.
    pub(crate) const fn resumed(self) -> bool {
        matches!(self, Self::FromMemory | Self::FromHistory)
    }
}

/// The snapshot of open alerts (each already JSON) at `cursor`.
pub(crate) fn snapshot<'a>(
    cursor: Cursor,
    resume: Resume,
    alerts: impl ExactSizeIterator<Item = &'a str>,
) -> Utf8Bytes {
    let (resumed, how) = (resume.resumed(), resume.label());
    let mut text = String::with_capacity(160 + alerts.len() * 384);
    text.push_str(&format!(
        r#"{{"type":"snapshot","cursor":"{cursor}","resumed":{resumed},"resume":"{how}","alerts":["#
    ));
    for (n_before, alert) in alerts.enumerate() {
        if n_before > 0 {
            text.push(',');
        }
        text.push_str(alert);
    }
    text.push_str("]}");
    text.into()
}

/// The sign of life.
pub(crate) fn heartbeat(now: Timestamp) -> Utf8Bytes {
    format!(r#"{{"type":"heartbeat","at":"{}"}}"#, Rfc3339(now)).into()
}

/// The answer to a subscription.
pub(crate) fn subscribed(devices: &impl Serialize) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Subscribed<'a, T> {
        r#type: &'static str,
        devices: &'a T,
    }
    json(&Subscribed { r#type: "subscribed", devices }).into()
}

/// The answer to a message we do not understand, and the last event of an SSE stream.
pub(crate) fn error(code: &'static str, detail: &str) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Refusal<'a> {
        r#type: &'static str,
        code: &'static str,
        detail: &'a str,
    }
    json(&Refusal { r#type: "error", code, detail }).into()
}

/// A reading on its way to those who asked for its device. Its text is made when the first of
/// them is sent it: conflated readings never cost that.
#[derive(Debug)]
pub(crate) struct LiveReading {
    pub(crate) series: (DeviceKey, MetricKey),
    pub(crate) device: DeviceId,
    pub(crate) metric: MetricName,
    pub(crate) at: Timestamp,
    pub(crate) value: Value,
    pub(crate) text: OnceLock<Utf8Bytes>,
}

impl LiveReading {
    pub(crate) fn text(&self) -> &Utf8Bytes {
        self.text.get_or_init(|| json(self).into())
    }
}

impl Serialize for LiveReading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            r#type: &'static str,
            device: Text<&'a DeviceId>,
            metric: Text<&'a MetricName>,
            at: Rfc3339,
            #[serde(skip_serializing_if = "Option::is_none")]
            value: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<&'a str>,
        }
        let (value, text) = match &self.value {
            Value::Number(number) => (Some(*number), None),
            Value::Text(text) => (None, Some(&**text)),
        };
        let (device, metric) = (Text(&self.device), Text(&self.metric));
        Fields { r#type: "reading", device, metric, at: Rfc3339(self.at), value, text }
            .serialize(serializer)
    }
}

/// One frame on its way to a client.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// An edge between states.
    Transition(std::sync::Arc<Entry>),
    /// A reading of a device that was asked for.
    Reading(std::sync::Arc<LiveReading>),
}

impl Frame {
    pub(crate) fn text(&self) -> Utf8Bytes {
        match self {
            Self::Transition(entry) => entry.text.clone(),
            Self::Reading(reading) => reading.text().clone(),
        }
    }
}
