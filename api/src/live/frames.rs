//! What the live feed says, as JSON text: each frame is made once, whoever gets it.

use std::sync::{Arc, OnceLock};

use bellwire_model::{
    AlertId, Cursor, DeviceId, DeviceKey, MetricKey, MetricName, Names, Reading, Timestamp,
    Transition, Value,
};
use serde::{Serialize, Serializer};

use crate::live::encoded::Encoded;
use crate::live::filter::{AlertSpec, Before, Facts, Verdict};
use crate::live::interest::{Devices, ReadingSpec};
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

/// A transition, as the ring keeps it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// What a client has seen that has heard of this.
    pub(crate) cursor: Cursor,
    pub(crate) alert: AlertId,
    /// When the record that caused it was received.
    pub(crate) received: Timestamp,
    pub(crate) frame: Encoded,
    /// The alert before and after it, as filters look at it.
    pub(crate) before: Before,
    pub(crate) after: Arc<Facts>,
    gone: OnceLock<Encoded>,
}

impl Entry {
    /// `before` is not known yet: it is the feed that does.
    pub(crate) fn new(
        cursor: Cursor,
        transition: &Transition,
        times: TimesView,
        after: Arc<Facts>,
    ) -> Self {
        let view = TransitionView::new(cursor, transition, times);
        Self {
            place: Place::of(transition),
            cursor,
            alert: transition.alert.id,
            received: transition.received_at,
            frame: Encoded::new(view.r#type, Some(cursor), &json(&view)),
            before: Before::Unknown,
            after,
            gone: OnceLock::new(),
        }
    }

    /// What those hear who have seen the alert open and are not to hear of it any more.
    fn gone(&self) -> &Encoded {
        self.gone.get_or_init(|| {
            let (cursor, alert) = (self.cursor, self.alert);
            let text = format!(r#"{{"type":"gone","cursor":"{cursor}","id":"{alert}"}}"#);
            Encoded::new("gone", Some(cursor), &text)
        })
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
    /// It has asked for other alerts.
    Subscribed,
}

impl Resume {
    pub(crate) const ALL: [Self; 9] = [
        Self::Fresh,
        Self::FromMemory,
        Self::FromHistory,
        Self::BadCursor,
        Self::OtherLog,
        Self::Ahead,
        Self::TooOld,
        Self::HistoryAway,
        Self::Subscribed,
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
            Self::Subscribed => "subscribed",
        }
    }

    /// Whether the client has now got every transition since its cursor, of those it asked for.
    pub(crate) const fn resumed(self) -> bool {
        matches!(self, Self::FromMemory | Self::FromHistory | Self::Subscribed)
    }
}

/// The snapshot of open alerts (each already JSON) at `cursor`.
pub(crate) fn snapshot<'a>(
    cursor: Cursor,
    resume: Resume,
    alerts: impl ExactSizeIterator<Item = &'a str>,
) -> Encoded {
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
    Encoded::new("snapshot", Some(cursor), &text)
}

/// The sign of life; `cursor` is of a client that has heard everything up to here.
pub(crate) fn heartbeat(now: Timestamp, cursor: Cursor) -> Encoded {
    let now = Rfc3339(now);
    let text = format!(r#"{{"type":"heartbeat","at":"{now}","cursor":"{cursor}"}}"#);
    Encoded::new("heartbeat", Some(cursor), &text)
}

/// The answer to a subscription: what is asked for from now on.
pub(crate) fn subscribed(readings: &ReadingSpec, alerts: &AlertSpec) -> Encoded {
    #[derive(Serialize)]
    struct Subscribed<'a> {
        r#type: &'static str,
        devices: &'a Devices,
        readings: &'a ReadingSpec,
        alerts: &'a AlertSpec,
    }
    let it = Subscribed { r#type: "subscribed", devices: &readings.devices, readings, alerts };
    Encoded::new("subscribed", None, &json(&it))
}

/// The answer to a message we do not understand, and the last event of an SSE stream.
pub(crate) fn error(code: &'static str, detail: &str) -> Encoded {
    #[derive(Serialize)]
    struct Refusal<'a> {
        r#type: &'static str,
        code: &'static str,
        detail: &'a str,
    }
    Encoded::new("error", None, &json(&Refusal { r#type: "error", code, detail }))
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
    pub(crate) frame: OnceLock<Encoded>,
}

impl LiveReading {
    pub(crate) fn new(reading: &Reading, names: &Names) -> Self {
        Self {
            series: (reading.device, reading.metric),
            device: names.device(reading.device).clone(),
            metric: names.metric(reading.metric).clone(),
            at: reading.at,
            value: reading.value.clone(),
            frame: OnceLock::new(),
        }
    }

    pub(crate) fn frame(&self) -> &Encoded {
        self.frame.get_or_init(|| Encoded::new("reading", None, &json(self)))
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
    Transition(Arc<Entry>),
    /// An alert that the client has seen open is not of those it asked for any more.
    Gone(Arc<Entry>),
    /// A reading of a device that was asked for.
    Reading(Arc<LiveReading>),
    /// Who is here.
    Operators(Arc<Encoded>),
}

impl Frame {
    pub(crate) fn encoded(&self) -> &Encoded {
        match self {
            Self::Transition(entry) => &entry.frame,
            Self::Gone(entry) => entry.gone(),
            Self::Reading(reading) => reading.frame(),
            Self::Operators(frame) => frame,
        }
    }

    /// What a client is told of `entry` whose filter says so of it.
    pub(crate) fn of(entry: &Arc<Entry>, verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Told => Some(Self::Transition(Arc::clone(entry))),
            Verdict::Gone => Some(Self::Gone(Arc::clone(entry))),
            Verdict::Passed => None,
        }
    }

    pub(crate) fn transition(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Transition(entry) => Some(entry),
            _ => None,
        }
    }

    /// What a client has seen that has this frame, if it tells.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Transition(entry) | Self::Gone(entry) => Some(entry.cursor),
            Self::Reading(_) | Self::Operators(_) => None,
        }
    }
}
