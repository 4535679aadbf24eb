//! Sparkplug B: births say which metrics there are, data refers to them, deaths end both.
//!
//! An edge node is the device `group:edge`, a device behind it `group:edge:device`. Slashes in the
//! names of metrics become dots. What is historical has its own time, and that decides.

use std::sync::Arc;

use bellwire_model::{Base, DeviceKey, Label, Presence, RejectReason, Timestamp};
use bytes::Bytes;
use hashbrown::HashMap;
use prost::Message as _;

use super::draft::{Draft, TimeSource};
use super::names::NameCache;
use super::{LabelsOf, Output, PAYLOAD_READINGS_MAX};
use crate::mapping::LabelKey;
use crate::nodes::{Place, Session, SharedNodes, Table, Term};
use crate::sparkplug::{BD_SEQ, COMPRESSED, Kind, Metric, Payload, Route, UNIT, Value, datatype};

/// What begins so is for commands, and no reading.
const CONTROLS: [&str; 2] = ["Node Control.", "Device Control."];

/// What is known of edge nodes, and of their counters.
#[derive(Debug, Default)]
pub(super) struct Edges {
    nodes: SharedNodes,
    /// The publish being read.
    pub(super) place: Place,
    /// Of each node: the `seq` that comes next.
    next_seqs: HashMap<Box<str>, u8>,
    /// Whether messages come now.
    pub(super) past: Past,
}

/// Whether a message comes now, or came long ago and is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Past {
    /// It comes now: what it says of its node holds from here on.
    #[default]
    Present,
    /// It is from quarantine: it changes nothing that is known of its node.
    Replayed,
}

/// What a message says beside its readings.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) presence: Vec<(DeviceKey, Presence)>,
    /// Whether the node must tell all again: data is not understood, or was lost.
    pub(super) needs_birth: bool,
    /// How many messages were lost before it.
    pub(super) n_lost: u64,
}

/// The device that a message is of.
pub(super) fn device_name(route: Route<'_>) -> String {
    match route.device {
        Some(device) => format!("{}:{}:{device}", route.group, route.edge),
        None => format!("{}:{}", route.group, route.edge),
    }
}

impl Edges {
    pub(super) fn new(nodes: SharedNodes) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// Reads one message of `device`, which the draft has begun.
    pub(super) fn decode(
        &mut self,
        (route, device, labels): (Route<'_>, DeviceKey, &[LabelKey]),
        payload: &[u8],
        draft: &mut Draft,
        names: &mut NameCache,
        out: &mut Output,
    ) -> Said {
        let payload = match Payload::decode(Bytes::copy_from_slice(payload)) {
            Ok(payload) => payload,
            Err(error) => return malformed(&error, draft, out),
        };
        if payload.uuid.as_deref() == Some(COMPRESSED) {
            let detail = "the body is compressed".to_owned();
            draft.abandon(RejectReason::UnsupportedValue, detail, out);
            return Said::default();
        }
        let edge = format!("{}/{}", route.group, route.edge);
        let mut message = Message { labels, ..self.message(route, &edge, payload.timestamp) };
        if payload.metrics.len() > PAYLOAD_READINGS_MAX {
            draft.fault(RejectReason::TooManyReadings, |_| {
                format!("more than {PAYLOAD_READINGS_MAX} metrics")
            });
        }
        for metric in payload.metrics.into_iter().take(PAYLOAD_READINGS_MAX) {
            match Metric::decode(metric) {
                Ok(metric) => message.take(metric, device, (draft, names, out)),
                Err(error) => return malformed(&error, draft, out),
            }
        }
        draft.close_instant(out);
        if self.past == Past::Replayed {
            return Said::default();
        }
        let n_lost = self.count(&edge, route.kind, payload.seq);
        let needs_birth = message.needs_birth || n_lost > 0;
        message.end_labels(device, out);
        let presence = self.presence(&message, &edge, device, names);
        self.remember(message, &edge);
        Said { presence, needs_birth, n_lost }
    }

    /// The message, and what held before it.
    fn message<'a>(&self, route: Route<'a>, edge: &str, timestamp: Option<u64>) -> Message<'a> {
        let session = self.nodes.session(edge, self.place);
        let own = session.as_ref().and_then(|session| session.own.clone());
        let (needs_birth, table) = match (route.kind, route.device) {
            (Kind::NodeData, _) => (own.is_none(), own),
            (Kind::DeviceData, Some(device)) => {
                let table = self.nodes.table(edge, device, self.place);
                (table.is_none(), table)
            }
            (Kind::DeviceBirth, _) => (own.is_none(), None),
            _ => (false, None),
        };
        let known_bd_seq = session.and_then(|session| session.bd_seq);
        let (born, bd_seq) = (Table::new(), None);
        let (labels, said) = (&[][..], Vec::new());
        Message { route, timestamp, known_bd_seq, table, born, bd_seq, needs_birth, labels, said }
    }

    /// Who came or went by it.
    fn presence(
        &self,
        message: &Message<'_>,
        edge: &str,
        device: DeviceKey,
        names: &mut NameCache,
    ) -> Vec<(DeviceKey, Presence)> {
        match message.route.kind {
            Kind::NodeBirth | Kind::DeviceBirth => vec![(device, Presence::Online)],
            Kind::DeviceDeath => vec![(device, Presence::Offline)],
            Kind::NodeDeath if message.is_end() => {
                let behind = self.nodes.devices(edge, self.place).into_iter();
                let keys = behind.filter_map(|name| {
                    let route = Route { device: Some(&name), ..message.route };
                    names.device(&device_name(route)).ok()
                });
                std::iter::once(device).chain(keys).map(|key| (key, Presence::Offline)).collect()
            }
            Kind::NodeData | Kind::DeviceData | Kind::NodeDeath => Vec::new(),
        }
    }

    /// Notes what holds from now on.
    fn remember(&self, message: Message<'_>, edge: &str) {
        let place = self.place;
        match (message.route.kind, message.route.device) {
            (Kind::NodeBirth, _) => {
                let session = Session { bd_seq: message.bd_seq, own: Some(message.born.into()) };
                self.nodes.set_session(edge, place, session);
            }
            (Kind::NodeDeath, _) if message.is_end() => {
                let session = Session { bd_seq: message.known_bd_seq, own: None };
                self.nodes.set_session(edge, place, session);
            }
            (Kind::DeviceBirth, Some(device)) => {
                self.nodes.set_device(edge, device, place, Some(message.born.into()));
            }
            (Kind::DeviceDeath, Some(device)) => self.nodes.set_device(edge, device, place, None),
            _ => {}
        }
    }

    /// How many messages are missing before this one: `seq` goes from 0 to 255 and around, a birth of
    /// the node begins anew, and its death has none (chapter 6.4.4 of the specification).
    fn count(&mut self, edge: &str, kind: Kind, seq: Option<u64>) -> u64 {
        let Some(seq) = seq.and_then(|seq| u8::try_from(seq).ok()) else { return 0 };
        if kind == Kind::NodeDeath {
            return 0;
        }
        match self.next_seqs.insert(edge.into(), seq.wrapping_add(1)) {
            // The same once more is none that was lost.
            Some(next) if kind != Kind::NodeBirth && seq != next.wrapping_sub(1) => {
                u64::from(seq.wrapping_sub(next))
            }
            _ => 0,
        }
    }
}

fn malformed(error: &prost::DecodeError, draft: &mut Draft, out: &mut Output) -> Said {
    draft.abandon(RejectReason::BadSparkplug, error.to_string(), out);
    Said::default()
}

/// One message while its metrics are read.
struct Message<'a> {
    route: Route<'a>,
    timestamp: Option<u64>,
    /// The number of the birth before it.
    known_bd_seq: Option<u64>,
    /// The aliases that hold for its data.
    table: Option<Arc<Table>>,
    /// Those that it gives.
    born: Table,
    bd_seq: Option<u64>,
    needs_birth: bool,
    /// Which metrics are labels of the device, and those that it has said.
    labels: &'a [LabelKey],
    said: Vec<Label>,
}

impl Message<'_> {
    const fn is_birth(&self) -> bool {
        matches!(self.route.kind, Kind::NodeBirth | Kind::DeviceBirth)
    }

    /// Takes a metric: its alias, its number, or its value.
    fn take(
        &mut self,
        metric: Metric,
        device: DeviceKey,
        (draft, names, out): (&mut Draft, &mut NameCache, &mut Output),
    ) {
        draft.path.clear();
        let of_node = matches!(self.route.kind, Kind::NodeBirth | Kind::NodeDeath);
        if of_node && metric.name.as_deref() == Some(BD_SEQ) {
            self.bd_seq = metric.value.as_ref().and_then(Value::unsigned);
            return;
        }
        let Some(term) = self.term(&metric, draft) else { return };
        let is_reading = metric.is_transient != Some(true) && metric.is_null != Some(true);
        let is_control = CONTROLS.iter().any(|begin| term.name.starts_with(begin));
        let Some(value) = metric.value.as_ref().filter(|_| is_reading && !is_control) else {
            return;
        };
        if let Some(label) = self.labels.iter().find(|it| it.path.as_str() == &*term.name) {
            draft.path.push_str(&term.name);
            let said = words(value).and_then(|value| draft.as_label(&label.name, &value));
            self.said.extend(said);
            return;
        }
        if draft.is_full(out) {
            draft.close_instant(out);
        }
        let at = match metric.timestamp.or(self.timestamp).map(from_millis) {
            Some(None) => {
                draft.path.push_str(&term.name);
                return draft.fault(RejectReason::BadTimestamp, |path| {
                    format!("the time of {path:?} is none")
                });
            }
            at => at.flatten().map(|at| (at, TimeSource::Own)),
        };
        draft.path.push_str("timestamp");
        draft.instant(Some(device), at, out);
        draft.path.clear();
        draft.path.push_str(&term.name);
        draft.unit = metric.properties.as_ref().and_then(|it| it.text(UNIT)).map(Into::into);
        put(value, term.datatype, (draft, names, out));
        draft.unit = None;
    }

    /// What it says of the device; a birth says all of it.
    fn end_labels(&mut self, device: DeviceKey, out: &mut Output) {
        let base = if self.is_birth() { Base::Replaced } else { Base::Kept };
        if self.said.is_empty() && (base == Base::Kept || self.labels.is_empty()) {
            return;
        }
        out.labels.push(LabelsOf { device, base, labels: self.said.drain(..).collect() });
    }

    /// What the metric is; a birth gives its alias a meaning.
    fn term(&mut self, metric: &Metric, draft: &mut Draft) -> Option<Term> {
        let datatype = metric.datatype.unwrap_or_default();
        let known = metric.alias.and_then(|alias| self.table.as_ref()?.get(&alias));
        match (&metric.name, known) {
            (Some(name), known) => {
                let datatype = match datatype {
                    0 => known.map_or(0, |known| known.datatype),
                    told => told,
                };
                let term = Term { name: name.replace('/', ".").into(), datatype };
                if let Some(alias) = metric.alias.filter(|_| self.is_birth()) {
                    self.born.insert(alias, term.clone());
                }
                Some(term)
            }
            (None, Some(known)) => Some(known.clone()),
            (None, None) => {
                self.needs_birth = true;
                draft.fault(RejectReason::UnknownAlias, |_| match metric.alias {
                    Some(alias) => format!("no birth has given alias {alias} a name"),
                    None => "a metric has neither a name nor an alias".to_owned(),
                });
                None
            }
        }
    }

    /// Whether a death ends the session that is known. That of an earlier one comes late, as a will
    /// does, and says nothing of this.
    fn is_end(&self) -> bool {
        let known = self.known_bd_seq;
        known.is_none() || self.bd_seq.is_none() || known == self.bd_seq
    }
}

/// A value as a label has it; `None` if it can be none.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        Value::Long(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Boolean(is_set) => Some(is_set.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Bytes(_) | Value::DataSet(_) | Value::Template(_) | Value::Extension(_) => None,
    }
}

fn from_millis(millis: u64) -> Option<Timestamp> {
    let micros = i64::try_from(millis).ok()?.checked_mul(1_000)?;
    Some(Timestamp::from_micros(micros))
}

/// Puts a value out as its type says: whole numbers with a sign are sent without one.
#[expect(clippy::cast_precision_loss, reason = "a reading is a float")]
#[expect(clippy::cast_possible_truncation, reason = "the lower bits are the number")]
#[expect(clippy::cast_possible_wrap, reason = "so they are sent")]
fn put(
    value: &Value,
    datatype: u32,
    (draft, names, out): (&mut Draft, &mut NameCache, &mut Output),
) {
    let number = match (datatype, value) {
        (datatype::INT8, Value::Int(bits)) => f64::from(*bits as u8 as i8),
        (datatype::INT16, Value::Int(bits)) => f64::from(*bits as u16 as i16),
        (datatype::INT32, Value::Int(bits)) => f64::from(*bits as i32),
        (datatype::INT64, Value::Long(bits)) => *bits as i64 as f64,
        (_, Value::Int(number)) => f64::from(*number),
        (_, Value::Long(number)) => *number as f64,
        (_, Value::Float(number)) => f64::from(*number),
        (_, Value::Double(number)) => *number,
        (_, Value::Boolean(is_set)) => f64::from(u8::from(*is_set)),
        (_, Value::String(text)) => return draft.text(text, names, out),
        (_, Value::Bytes(_) | Value::DataSet(_) | Value::Template(_) | Value::Extension(_)) => {
            return draft.fault(RejectReason::UnsupportedValue, |path| {
                format!("{path:?} is bytes, a data set or a template")
            });
        }
    };
    draft.number(number, names, out);
}
