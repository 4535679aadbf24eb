//! Turns one publish into readings, or says why it cannot.
//!
//! A pure function of topic, payload, receive time and the policy of times in force, which the log
//! says: *judge* and *keep* get the same answer.

mod json;
mod names;
mod scalar;
mod status;
mod time;

use bellwire_model::{
    DeviceKey, MetricName, Presence, PublishRef, Reading, RejectReason, SharedNames, Timestamp,
    Value,
};

use crate::policy::TimePolicy;
use crate::topics::{self, Route};
use names::NameCache;

/// The deepest nesting of objects in a payload.
pub const DEPTH_MAX: usize = 16;
/// The most readings in one object.
pub const OBJECT_READINGS_MAX: usize = 1_000;
/// The most readings in one payload.
pub const PAYLOAD_READINGS_MAX: usize = 50_000;

/// What was wrong with a payload: the first thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stable reason.
    pub reason: RejectReason,
    /// What and where, for a person.
    pub detail: Box<str>,
}

/// One instant of a payload: its readings are a range of the decoder's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose.
    pub device: DeviceKey,
    /// Event time.
    pub at: Timestamp,
    /// The device's own counter.
    pub seq: Option<u64>,
    /// First reading, as an index into the output.
    pub first: u32,
    /// How many readings.
    pub len: u32,
}

/// What one publish came to, beside its readings and spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Whose, if the topic names a device.
    pub device: Option<DeviceKey>,
    /// Whether the payload carries its own time: then equal bytes are the same event.
    pub own_time: bool,
    /// The newest time in the payload, also of what was left out because of it.
    pub newest: Option<Timestamp>,
    /// Whether the device says that it is there.
    pub presence: Option<Presence>,
    /// What was wrong, if anything was.
    pub fault: Option<Fault>,
}

/// Readings and their spans, in the order decoded.
#[derive(Debug, Default)]
pub struct Output {
    /// The readings.
    pub readings: Vec<Reading>,
    /// Each instant of each payload.
    pub spans: Vec<Span>,
}

/// Decodes publishes; keeps its buffers and name table between them.
#[derive(Debug)]
pub struct Decoder {
    names: NameCache,
    draft: Draft,
}

impl Decoder {
    /// A decoder that gives keys from `names`.
    #[must_use]
    pub fn new(names: SharedNames) -> Self {
        Self { names: NameCache::new(names), draft: Draft::default() }
    }

    /// From here on this says which times are taken.
    pub const fn set_policy(&mut self, policy: TimePolicy) {
        self.draft.policy = policy;
    }

    /// Which times are taken.
    #[must_use]
    pub const fn policy(&self) -> TimePolicy {
        self.draft.policy
    }

    /// The key of a device that came or went, and with it one for the metric that rules know that by.
    pub fn device(&mut self, id: &str) -> Option<DeviceKey> {
        debug_assert!(MetricName::new(Presence::METRIC).is_ok());
        self.names.metric(Presence::METRIC).ok()?;
        self.names.device(id).ok()
    }

    /// Decodes one publish and appends what can be read to `out`.
    pub fn decode(
        &mut self,
        publish: &PublishRef<'_>,
        received_at: Timestamp,
        out: &mut Output,
    ) -> Decoded {
        let Some(route) = topics::route(publish.topic) else {
            return rejected(RejectReason::BadTopic, "the topic names no device and metric");
        };
        let (Route::Object { device } | Route::Scalar { device, .. } | Route::Status { device }) =
            route;
        let device = match self.names.device(device) {
            Ok(key) => key,
            Err(reason) => return rejected(reason, "the device's name cannot be taken"),
        };
        self.draft.begin(device, received_at);
        let mut presence = None;
        match route {
            Route::Status { .. } => presence = status::decode(publish.payload, &mut self.draft),
            Route::Object { .. } => {
                json::decode(publish.payload, &mut self.draft, &mut self.names, out);
            }
            Route::Scalar { metric, .. } => {
                scalar::decode(metric, publish.payload, &mut self.draft, &mut self.names, out);
            }
        }
        Decoded {
            device: Some(device),
            own_time: self.draft.own_time,
            newest: self.draft.newest,
            presence,
            fault: self.draft.fault.take(),
        }
    }
}

fn rejected(reason: RejectReason, detail: &str) -> Decoded {
    let fault = Some(Fault { reason, detail: detail.into() });
    Decoded { device: None, own_time: false, newest: None, presence: None, fault }
}

/// One payload while it is being read.
#[derive(Debug)]
struct Draft {
    device: DeviceKey,
    received_at: Timestamp,
    policy: TimePolicy,
    /// The dotted name of the value being read.
    path: String,
    /// `ts` of the object being read.
    at: Option<Timestamp>,
    /// Whether the object being read must be left out because its time cannot be trusted.
    untimely: bool,
    seq: Option<u64>,
    own_time: bool,
    newest: Option<Timestamp>,
    fault: Option<Fault>,
    /// Where the object being read began in the output.
    first: usize,
    /// Where the payload began in the output.
    payload_first: usize,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            device: DeviceKey(0),
            received_at: Timestamp::EPOCH,
            policy: TimePolicy::default(),
            path: String::new(),
            at: None,
            untimely: false,
            seq: None,
            own_time: false,
            newest: None,
            fault: None,
            first: 0,
            payload_first: 0,
        }
    }
}

impl Draft {
    fn begin(&mut self, device: DeviceKey, received_at: Timestamp) {
        self.device = device;
        self.received_at = received_at;
        self.path.clear();
        self.own_time = false;
        self.newest = None;
        self.fault = None;
    }

    /// Notes what was wrong; only the first is kept.
    fn fault(&mut self, reason: RejectReason, detail: impl FnOnce(&str) -> String) {
        if self.fault.is_none() {
            self.fault = Some(Fault { reason, detail: detail(&self.path).into() });
        }
    }

    fn begin_object(&mut self, out: &Output) {
        self.path.clear();
        self.at = None;
        self.untimely = false;
        self.seq = None;
        self.first = out.readings.len();
    }

    /// Takes `ts`, or notes why the object cannot be placed in time.
    fn time(&mut self, time: Option<Timestamp>) {
        let Some(at) = time else {
            self.untimely = true;
            return self.fault(RejectReason::BadTimestamp, |_| {
                "\"ts\" is no time in s, ms, µs or RFC 3339".to_owned()
            });
        };
        self.newest = self.newest.max(time);
        let Some(reason) = self.policy.refuses(at, self.received_at) else {
            self.own_time = true;
            self.at = time;
            return;
        };
        self.untimely = true;
        let received_at = self.received_at;
        self.fault(reason, |_| {
            if at > received_at {
                format!("\"ts\" is {} s ahead of receive time", at.since(received_at).as_secs())
            } else {
                format!("\"ts\" is {} s behind receive time", received_at.since(at).as_secs())
            }
        });
    }

    /// Ends the object: its readings get their time and become a span.
    fn end_object(&mut self, out: &mut Output) {
        if self.untimely {
            out.readings.truncate(self.first);
            return;
        }
        let len = out.readings.len() - self.first;
        if len == 0 {
            self.fault(RejectReason::NoReadings, |_| "there is no reading in it".to_owned());
            return;
        }
        let at = self.at.unwrap_or(self.received_at);
        for reading in &mut out.readings[self.first..] {
            reading.at = at;
        }
        out.spans.push(Span {
            device: self.device,
            at,
            seq: self.seq,
            first: u32::try_from(self.first)
                .expect("a group of the log is far below 4 Gi readings"),
            len: u32::try_from(len).expect("checked against OBJECT_READINGS_MAX"),
        });
    }

    /// Adds a value under the current path.
    fn value(&mut self, value: Value, names: &mut NameCache, out: &mut Output) {
        if out.readings.len() - self.first >= OBJECT_READINGS_MAX
            || out.readings.len() - self.payload_first >= PAYLOAD_READINGS_MAX
        {
            self.fault(RejectReason::TooManyReadings, |_| {
                format!(
                    "more than {OBJECT_READINGS_MAX} in an object or {PAYLOAD_READINGS_MAX} in all"
                )
            });
            return;
        }
        let metric = match names.metric(&self.path) {
            Ok(key) => key,
            Err(reason) => {
                return self.fault(reason, |path| format!("{path:?} is no metric's name"));
            }
        };
        if out.readings[self.first..].iter().any(|reading| reading.metric == metric) {
            return self.fault(RejectReason::DuplicateKey, |path| format!("{path:?} stands twice"));
        }
        out.readings.push(Reading { device: self.device, metric, at: self.received_at, value });
    }

    fn number(&mut self, number: f64, names: &mut NameCache, out: &mut Output) {
        if number.is_finite() {
            self.value(Value::Number(number), names, out);
        } else {
            self.fault(RejectReason::NotFinite, |path| format!("{path:?} is not finite"));
        }
    }

    fn text(&mut self, text: &str, names: &mut NameCache, out: &mut Output) {
        if text.len() > Value::TEXT_BYTES_MAX {
            self.fault(RejectReason::TextTooLong, |path| {
                format!(
                    "{path:?} is a text of {} bytes, more than {}",
                    text.len(),
                    Value::TEXT_BYTES_MAX
                )
            });
        } else {
            self.value(Value::Text(text.into()), names, out);
        }
    }
}

#[cfg(test)]
mod tests;
