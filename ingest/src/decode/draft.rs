//! One payload while it is being read: which instant and which device its values belong to, and
//! what was wrong with it.

use std::sync::Arc;

use bellwire_model::registry::{LabelError, check_label_value};
use bellwire_model::{Base, DeviceKey, Label, Reading, RejectReason, Timestamp, Value};

use super::names::NameCache;
use super::{Fault, LabelsOf, OBJECT_READINGS_MAX, Output, PAYLOAD_READINGS_MAX, Span, UnitOf};
use crate::policy::TimePolicy;

/// Where a time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeSource {
    /// The device's clock: equal bytes are the same event.
    Own,
    /// So long before or after receive time.
    Relative,
}

/// One payload while it is being read.
#[derive(Debug)]
pub(super) struct Draft {
    /// The device that the topic names.
    device: Option<DeviceKey>,
    /// The first device that a payload names itself.
    first_device: Option<DeviceKey>,
    received_at: Timestamp,
    pub(super) policy: TimePolicy,
    /// The dotted name of the value being read.
    pub(super) path: String,
    /// What metrics' names begin with: it is in the topic.
    pub(super) prefix: String,
    /// So many bytes of a path are not in the metric's name.
    pub(super) stripped: usize,
    /// The metric's name, where it is not the path.
    name: String,
    /// What stands around an array of objects: whose they are, and when they were.
    base: (Option<DeviceKey>, Option<Timestamp>),
    /// The device of the object being read.
    object_device: Option<DeviceKey>,
    /// The time of the object being read.
    at: Option<Timestamp>,
    /// What an instant was asked to be at.
    asked: Option<Timestamp>,
    /// Whether an instant is being read.
    is_open: bool,
    /// Whether the object being read must be left out: its time or device cannot be trusted.
    is_refused: bool,
    pub(super) seq: Option<u64>,
    pub(super) own_time: bool,
    pub(super) newest: Option<Timestamp>,
    pub(super) fault: Option<Fault>,
    /// The unit of the value being read, if the payload says it.
    pub(super) unit: Option<Arc<str>>,
    /// Where the object being read began in the output.
    first: usize,
    /// Where the payload began in the output: readings, spans, units and labels.
    payload_first: (usize, usize, usize, usize),
    /// Labels that the object being read says.
    labels: Vec<Label>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            device: None,
            first_device: None,
            received_at: Timestamp::EPOCH,
            policy: TimePolicy::default(),
            path: String::new(),
            prefix: String::new(),
            stripped: 0,
            name: String::new(),
            base: (None, None),
            object_device: None,
            at: None,
            asked: None,
            is_open: false,
            is_refused: false,
            seq: None,
            own_time: false,
            newest: None,
            fault: None,
            unit: None,
            first: 0,
            payload_first: (0, 0, 0, 0),
            labels: Vec::new(),
        }
    }
}

/// The longest unit, in bytes: it is kept for each metric of each device. What is longer is none.
const UNIT_BYTES_MAX: usize = 64;

/// The longest that is said of a fault, in bytes: names in payloads may be of any length.
const DETAIL_BYTES_MAX: usize = 500;

/// A detail as long as it may be.
fn cut(mut detail: String) -> Box<str> {
    if detail.len() > DETAIL_BYTES_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        detail.push('…');
    }
    detail.into()
}

impl Draft {
    /// Begins a payload; `device` is in its topic.
    pub(super) fn begin(
        &mut self,
        device: Option<DeviceKey>,
        received_at: Timestamp,
        out: &Output,
    ) {
        self.device = device;
        self.first_device = None;
        self.received_at = received_at;
        self.path.clear();
        self.prefix.clear();
        self.stripped = 0;
        self.base = (None, None);
        self.is_open = false;
        self.own_time = false;
        self.newest = None;
        self.fault = None;
        self.unit = None;
        self.payload_first =
            (out.readings.len(), out.spans.len(), out.units.len(), out.labels.len());
    }

    /// Whose the payload is: the topic says it, or else the first instant of it.
    pub(super) fn owner(&self) -> Option<DeviceKey> {
        self.device.or(self.first_device)
    }

    /// The device that the topic names.
    pub(super) const fn topic_device(&self) -> Option<DeviceKey> {
        self.device
    }

    pub(super) const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Notes what was wrong; only the first is kept.
    pub(super) fn fault(&mut self, reason: RejectReason, detail: impl FnOnce(&str) -> String) {
        if self.fault.is_none() {
            self.fault = Some(Fault { reason, detail: cut(detail(&self.path)) });
        }
    }

    /// Takes everything back: the payload makes no sense as a whole.
    pub(super) fn abandon(&mut self, reason: RejectReason, detail: String, out: &mut Output) {
        let (first_reading, first_span, first_unit, first_label) = self.payload_first;
        out.readings.truncate(first_reading);
        out.spans.truncate(first_span);
        out.units.truncate(first_unit);
        out.labels.truncate(first_label);
        self.is_open = false;
        self.own_time = false;
        self.newest = None;
        self.first_device = None;
        // What was wrong before the end of sense matters less than that there is none.
        self.fault = Some(Fault { reason, detail: cut(detail) });
    }

    pub(super) fn begin_object(&mut self, out: &Output) {
        self.path.clear();
        self.at = None;
        self.is_refused = false;
        self.object_device = self.base.0.or(self.device);
        self.seq = None;
        self.first = out.readings.len();
        self.labels.clear();
    }

    /// Goes on with the instant being read if it is this one; otherwise ends it and begins this one.
    pub(super) fn instant(
        &mut self,
        device: Option<DeviceKey>,
        at: Option<(Timestamp, TimeSource)>,
        out: &mut Output,
    ) {
        let asked = at.map(|(at, _)| at);
        if self.is_open && self.object_device == device && self.asked == asked {
            return;
        }
        self.close_instant(out);
        let path = std::mem::take(&mut self.path);
        self.begin_object(out);
        self.path = path;
        (self.is_open, self.asked, self.object_device) = (true, asked, device);
        match at {
            Some((at, TimeSource::Own)) => self.time(Some(at)),
            Some((at, TimeSource::Relative)) => {
                // Equal bytes at another time are another event, and say nothing of a clock.
                let before = (self.own_time, self.newest);
                self.time(Some(at));
                (self.own_time, self.newest) = before;
            }
            None => {}
        }
    }

    /// Ends the object around an array of objects, and holds its device and time for those.
    pub(super) fn end_around(&mut self, out: &mut Output) {
        self.base.0 = self.object_device;
        if self.base.1.is_none() {
            self.base.1 = self.at;
        }
        if out.readings.len() > self.first || !self.labels.is_empty() {
            self.end_object(out);
        }
    }

    /// Takes the time that those of the objects in an array are relative to.
    pub(super) fn base_time(&mut self, time: Option<Timestamp>) {
        self.time(time);
        self.base.1 = time;
    }

    /// So many seconds after the time around the array.
    pub(super) fn after_base(&self, seconds: f64) -> Option<Timestamp> {
        /// As in `SenML`: what is larger is no offset but a time.
        const OFFSET_BELOW: f64 = (1_u64 << 28) as f64;
        let base = self.base.1.filter(|_| seconds.abs() < OFFSET_BELOW)?;
        #[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
        let micros = (seconds * 1e6).round() as i64;
        Some(Timestamp::from_micros(base.as_micros() + micros))
    }

    /// Whether the instant being read can take no more.
    pub(super) fn is_full(&self, out: &Output) -> bool {
        self.is_open && out.readings.len() - self.first >= OBJECT_READINGS_MAX
    }

    /// Ends the instant being read, if one is.
    pub(super) fn close_instant(&mut self, out: &mut Output) {
        if std::mem::take(&mut self.is_open) && out.readings.len() > self.first {
            self.end_object(out);
        }
    }

    /// Ends a payload of instants.
    pub(super) fn end_instants(&mut self, out: &mut Output) {
        self.close_instant(out);
        if out.spans.len() == self.payload_first.1 {
            self.path.clear();
            self.fault(RejectReason::NoReadings, |_| "there is no reading in it".to_owned());
        }
    }

    /// Takes the object's device, or notes why it can be none.
    pub(super) fn object_device(&mut self, id: &str, names: &mut NameCache) {
        match names.device(id) {
            Ok(device) => self.object_device = Some(device),
            Err(reason) => {
                self.is_refused = true;
                self.no_device(reason);
            }
        }
    }

    /// Notes that the payload names a device that cannot be one.
    pub(super) fn no_device(&mut self, reason: RejectReason) {
        let reason = match reason {
            RejectReason::BadTopic => RejectReason::NoDevice,
            other => other,
        };
        self.fault(reason, |path| format!("what {path:?} says cannot be a device's name"));
    }

    /// Takes the object's time, or notes why the object cannot be placed in time.
    pub(super) fn time(&mut self, time: Option<Timestamp>) {
        let Some(at) = time else {
            self.is_refused = true;
            return self.fault(RejectReason::BadTimestamp, |path| {
                format!("{path:?} is no time in s, ms, µs or RFC 3339")
            });
        };
        self.newest = self.newest.max(time);
        let Some(reason) = self.policy.refuses(at, self.received_at) else {
            self.own_time = true;
            self.at = time;
            return;
        };
        self.is_refused = true;
        let received_at = self.received_at;
        self.fault(reason, |path| {
            if at > received_at {
                format!("{path:?} is {} s ahead of receive time", at.since(received_at).as_secs())
            } else {
                format!("{path:?} is {} s behind receive time", received_at.since(at).as_secs())
            }
        });
    }

    /// Takes the device's own counter.
    pub(super) fn seq(&mut self, number: u64) {
        // The database keeps it as int8.
        if i64::try_from(number).is_ok() {
            self.seq = Some(number);
        } else {
            self.bad_seq();
        }
    }

    pub(super) fn bad_seq(&mut self) {
        self.fault(RejectReason::BadSeq, |path| {
            format!("{path:?} is no whole number from 0 to 2⁶³−1")
        });
    }

    /// Ends the object: its readings get their time and device, and become a span.
    pub(super) fn end_object(&mut self, out: &mut Output) {
        if self.at.is_none() && self.base.1.is_some() && !self.is_refused {
            self.time(self.base.1);
        }
        if self.is_refused {
            out.readings.truncate(self.first);
            return;
        }
        let len = out.readings.len() - self.first;
        if len == 0 && !self.labels.is_empty() {
            return self.end_labels(out);
        }
        if len == 0 {
            self.fault(RejectReason::NoReadings, |_| "there is no reading in it".to_owned());
            return;
        }
        let Some(device) = self.object_device else {
            out.readings.truncate(self.first);
            return self.fault(RejectReason::NoDevice, |_| {
                "neither the topic nor the payload says of which device it is".to_owned()
            });
        };
        self.first_device.get_or_insert(device);
        self.end_labels(out);
        let at = self.at.unwrap_or(self.received_at);
        for reading in &mut out.readings[self.first..] {
            (reading.at, reading.device) = (at, device);
        }
        out.spans.push(Span {
            device,
            at,
            seq: self.seq,
            first: u32::try_from(self.first)
                .expect("a group of the log is far below 4 Gi readings"),
            len: u32::try_from(len).expect("checked against OBJECT_READINGS_MAX"),
        });
    }

    /// What the object says of its device, if it says so.
    fn end_labels(&mut self, out: &mut Output) {
        if self.labels.is_empty() {
            return;
        }
        let Some(device) = self.object_device else {
            return self.fault(RejectReason::NoDevice, |_| {
                "neither the topic nor the payload says of which device it is".to_owned()
            });
        };
        self.first_device.get_or_insert(device);
        let labels = self.labels.drain(..).collect();
        out.labels.push(LabelsOf { device, base: Base::Kept, labels });
    }

    /// Takes a label of the object's device, or notes why it can be none.
    pub(super) fn label(&mut self, name: &Arc<str>, value: &str) {
        if let Some(label) = self.as_label(name, value) {
            self.labels.push(label);
        }
    }

    /// A label, or a note why it can be none. An empty one is none.
    pub(super) fn as_label(&mut self, name: &Arc<str>, value: &str) -> Option<Label> {
        match check_label_value(value) {
            Ok(()) => return Some((Arc::clone(name), value.into())),
            Err(LabelError::Empty) => {}
            Err(error @ LabelError::ValueTooLong) => {
                self.fault(RejectReason::TextTooLong, |path| format!("{path:?}: {error}"));
            }
            Err(error) => {
                self.fault(RejectReason::UnsupportedValue, |path| format!("{path:?}: {error}"));
            }
        }
        None
    }

    /// Adds a value under the current path.
    fn value(&mut self, value: Value, names: &mut NameCache, out: &mut Output) {
        if out.readings.len() - self.first >= OBJECT_READINGS_MAX
            || out.readings.len() - self.payload_first.0 >= PAYLOAD_READINGS_MAX
        {
            self.fault(RejectReason::TooManyReadings, |_| {
                format!(
                    "more than {OBJECT_READINGS_MAX} in an object or {PAYLOAD_READINGS_MAX} in all"
                )
            });
            return;
        }
        let mut name = self.path.get(self.stripped..).unwrap_or_default();
        if !self.prefix.is_empty() {
            self.name.clone_from(&self.prefix);
            if !name.is_empty() {
                self.name.push('.');
            }
            self.name.push_str(name);
            name = &self.name;
        }
        let metric = match names.metric(name) {
            Ok(key) => key,
            Err(reason) => {
                return self.fault(reason, |path| format!("{path:?} is no metric's name"));
            }
        };
        if out.readings[self.first..].iter().any(|reading| reading.metric == metric) {
            return self.fault(RejectReason::DuplicateKey, |path| format!("{path:?} stands twice"));
        }
        // Its time and device are set when the object ends.
        let device = self.object_device.unwrap_or(DeviceKey(0));
        if let Some(unit) = self.unit.as_ref().filter(|unit| unit.len() <= UNIT_BYTES_MAX) {
            out.units.push(UnitOf { device, metric, unit: Arc::clone(unit) });
        }
        out.readings.push(Reading { device, metric, at: self.received_at, value });
    }

    pub(super) fn number(&mut self, number: f64, names: &mut NameCache, out: &mut Output) {
        if number.is_finite() {
            self.value(Value::Number(number), names, out);
        } else {
            self.fault(RejectReason::NotFinite, |path| format!("{path:?} is not finite"));
        }
    }

    pub(super) fn text(&mut self, text: &str, names: &mut NameCache, out: &mut Output) {
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
