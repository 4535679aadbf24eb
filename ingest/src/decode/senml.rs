//! Sensor measurement lists, RFC 8428, in JSON and in CBOR.
//!
//! A record's name is its base name and its own. Where the topic names no device, the base name is
//! the device and the name is the metric; a name without a base is the device, its metric `value`.
//! Where it does, all of the name is the metric, but for a base name that is a URN.

use std::fmt;
use std::sync::Arc;

use bellwire_model::{DeviceId, DeviceKey, MetricName, RejectReason, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Output;
use super::cbor::Cbor;
use super::draft::{Draft, TimeSource};
use super::json;
use super::names::NameCache;

/// Times below it are relative to now, RFC 8428 section 4.5.3.
const ABSOLUTE_FROM: f64 = (1_u64 << 28) as f64;
/// The year 5138: beyond it nothing is a time.
const SECONDS_BELOW: f64 = 1e11;
/// The latest version of the format, RFC 8428 section 4.4.
const VERSION: u64 = 10;
/// The longest base name: it is read again for every record.
const BASE_NAME_BYTES_MAX: usize = DeviceId::BYTES_MAX + MetricName::BYTES_MAX + 2;
/// The metric of a record that has no name of its own.
const UNNAMED: &str = "value";

/// Reads a list in JSON.
pub(super) fn decode_json(
    payload: &[u8],
    draft: &mut Draft,
    names: &mut NameCache,
    out: &mut Output,
) {
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let pack = Pack::new(draft, names, out);
    match pack.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => draft.end_instants(out),
        Err(error) if error.is_data() => {
            draft.abandon(RejectReason::BadSenml, error.to_string(), out);
        }
        Err(error) => draft.abandon(json::reason_of(&error), error.to_string(), out),
    }
}

/// Reads a list in CBOR.
pub(super) fn decode_cbor(
    payload: &[u8],
    draft: &mut Draft,
    names: &mut NameCache,
    out: &mut Output,
) {
    let mut deserializer = Cbor::new(payload);
    let pack = Pack::new(draft, names, out);
    match pack.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => draft.end_instants(out),
        Err(error) => draft.abandon(RejectReason::BadCbor, error.to_string(), out),
    }
}

/// What a key of a record means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    BaseName,
    BaseTime,
    BaseValue,
    BaseSum,
    BaseUnit,
    Version,
    Name,
    Unit,
    Time,
    Value,
    Text,
    Bool,
    Data,
    Sum,
    /// Who does not know it must not read on.
    Critical,
    /// The time until the next record, and what may be passed over.
    Other,
}

impl Label {
    fn from_text(text: &str) -> Self {
        match text {
            "bn" => Self::BaseName,
            "bt" => Self::BaseTime,
            "bv" => Self::BaseValue,
            "bs" => Self::BaseSum,
            "bu" => Self::BaseUnit,
            "bver" => Self::Version,
            "n" => Self::Name,
            "u" => Self::Unit,
            "t" => Self::Time,
            "v" => Self::Value,
            "vs" => Self::Text,
            "vb" => Self::Bool,
            "vd" => Self::Data,
            "s" => Self::Sum,
            _ if text.ends_with('_') => Self::Critical,
            _ => Self::Other,
        }
    }

    /// RFC 8428 section 6, table 4.
    const fn from_number(number: i64) -> Self {
        match number {
            -1 => Self::Version,
            -2 => Self::BaseName,
            -3 => Self::BaseTime,
            -4 => Self::BaseUnit,
            -5 => Self::BaseValue,
            -6 => Self::BaseSum,
            0 => Self::Name,
            1 => Self::Unit,
            2 => Self::Value,
            3 => Self::Text,
            4 => Self::Bool,
            5 => Self::Sum,
            6 => Self::Time,
            8 => Self::Data,
            _ => Self::Other,
        }
    }
}

/// What a record may say.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Number(f64),
    Bool(bool),
    Text(Box<str>),
    /// Anything else.
    Else,
}

/// What holds for the records that follow.
#[derive(Debug, Default)]
struct Base {
    name: Box<str>,
    /// It is too long: nobody is meant.
    is_lost: bool,
    time: f64,
    value: f64,
    sum: f64,
    unit: Option<Arc<str>>,
}

/// One record.
#[derive(Debug, Default)]
struct Record {
    name: Box<str>,
    time: f64,
    value: Option<Item>,
    sum: Option<f64>,
    unit: Option<Arc<str>>,
}

/// The list being read.
struct Pack<'a> {
    base: Base,
    draft: &'a mut Draft,
    names: &'a mut NameCache,
    out: &'a mut Output,
}

impl<'a> Pack<'a> {
    fn new(draft: &'a mut Draft, names: &'a mut NameCache, out: &'a mut Output) -> Self {
        Self { base: Base::default(), draft, names, out }
    }

    /// Notes that a label has a value of the wrong kind, or one that asks for too much.
    fn bad(&mut self, what: &'static str) {
        self.draft.fault(RejectReason::BadSenml, |_| what.to_owned());
    }

    /// Takes one label of a record.
    fn take(&mut self, label: Label, item: Item, record: &mut Record) {
        match (label, item) {
            (Label::BaseName, Item::Text(name)) => {
                self.base.is_lost = name.len() > BASE_NAME_BYTES_MAX;
                if self.base.is_lost {
                    self.bad("a base name is longer than any device and metric");
                }
                self.base.name = name;
            }
            (Label::BaseTime, Item::Number(time)) => self.base.time = time,
            (Label::BaseValue, Item::Number(value)) => self.base.value = value,
            (Label::BaseSum, Item::Number(sum)) => self.base.sum = sum,
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            (Label::Version, Item::Number(version)) if version <= VERSION as f64 => {}
            (Label::Version, _) => self.bad("it is of a version later than 10"),
            (Label::BaseUnit, Item::Text(unit)) => self.base.unit = Some(unit.into()),
            (Label::Name, Item::Text(name)) => record.name = name,
            (Label::Unit, Item::Text(unit)) => record.unit = Some(unit.into()),
            (Label::Time, Item::Number(time)) => record.time = time,
            (Label::Value, item @ Item::Number(_))
            | (Label::Text, item @ Item::Text(_))
            | (Label::Bool, item @ Item::Bool(_)) => record.value = Some(item),
            (Label::Sum, Item::Number(sum)) => record.sum = Some(sum),
            (Label::Data, _) => record.value = Some(Item::Else),
            (Label::Critical, _) => self.bad("a label ends with `_`: it must be understood"),
            (Label::Other, _) => {}
            _ => self.bad("a label has a value of the wrong kind"),
        }
    }

    /// Puts a record out.
    fn emit(&mut self, record: Record) {
        // A record may say no more than what holds for the others.
        if (record.value.is_none() && record.sum.is_none()) || self.base.is_lost {
            return;
        }
        self.draft.path.clear();
        let Some(device) = self.device_of(&record) else { return };
        let Some(at) = self.time_of(&record) else { return };
        self.draft.path.push('t');
        self.draft.instant(Some(device), at, self.out);
        self.name_into(&record);
        let Self { base, draft, names, out } = self;
        draft.unit = record.unit.or_else(|| base.unit.clone());
        match record.value {
            Some(Item::Number(value)) => draft.number(value + base.value, names, out),
            Some(Item::Bool(value)) => draft.number(f64::from(u8::from(value)), names, out),
            Some(Item::Text(text)) => draft.text(&text, names, out),
            Some(Item::Else) => draft
                .fault(RejectReason::UnsupportedValue, |path| format!("{path:?} is a byte string")),
            None => {}
        }
        // A sum is over time: it is in another unit.
        draft.unit = None;
        if let Some(sum) = record.sum {
            draft.path.push_str(".sum");
            draft.number(sum + base.sum, names, out);
        }
    }

    fn device_of(&mut self, record: &Record) -> Option<DeviceKey> {
        if let Some(device) = self.draft.topic_device() {
            return Some(device);
        }
        let full = if self.base.name.is_empty() { &record.name } else { &self.base.name };
        let id = full.trim_end_matches(is_separator);
        self.draft.path.push_str(full);
        let found = self.names.device(id);
        found.map_err(|reason| self.draft.no_device(reason)).ok()
    }

    /// The record's time: `None` if it is none, `Some(None)` if it is now.
    #[expect(clippy::cast_possible_truncation, reason = "checked to lie in ±1e11")]
    fn time_of(&mut self, record: &Record) -> Option<Option<(Timestamp, TimeSource)>> {
        let seconds = self.base.time + record.time;
        let micros = (seconds * 1e6).round() as i64;
        if seconds == 0.0 {
            Some(None)
        } else if (ABSOLUTE_FROM..SECONDS_BELOW).contains(&seconds) {
            Some(Some((Timestamp::from_micros(micros), TimeSource::Own)))
        } else if seconds.abs() < ABSOLUTE_FROM {
            let at = Timestamp::from_micros(self.draft.received_at().as_micros() + micros);
            Some(Some((at, TimeSource::Relative)))
        } else {
            self.draft.fault(RejectReason::BadTimestamp, |_| format!("{seconds} s is no time"));
            None
        }
    }

    /// Leaves the metric's name in the path.
    fn name_into(&mut self, record: &Record) {
        let path = &mut self.draft.path;
        path.clear();
        let in_topic = self.draft.topic_device().is_some();
        let path = &mut self.draft.path;
        if in_topic && !self.base.name.starts_with("urn:") {
            path.push_str(&self.base.name);
        }
        if in_topic || !self.base.name.is_empty() {
            path.push_str(&record.name);
        }
        // Names may have slashes, metrics may not.
        let name = path.trim_matches(is_separator).replace('/', ".");
        path.clear();
        path.push_str(if name.is_empty() { UNNAMED } else { &name });
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, '/' | ':' | '.' | '-' | '_')
}

impl<'de> DeserializeSeed<'de> for Pack<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pack<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of SenML records")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(OneRecord(&mut self))?.is_some() {}
        Ok(())
    }
}

/// Reads one record.
struct OneRecord<'p, 'a>(&'p mut Pack<'a>);

impl<'de> DeserializeSeed<'de> for OneRecord<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneRecord<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SenML record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut record = Record::default();
        while let Some(label) = map.next_key_seed(LabelSeed)? {
            let item = map.next_value_seed(ItemSeed)?;
            self.0.take(label, item, &mut record);
        }
        self.0.emit(record);
        Ok(())
    }
}

/// Reads a label: a text, or in CBOR a number.
struct LabelSeed;

impl<'de> DeserializeSeed<'de> for LabelSeed {
    type Value = Label;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Label, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for LabelSeed {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a label")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Label, E> {
        Ok(Label::from_text(text))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Label, E> {
        Ok(i64::try_from(number).map_or(Label::Other, Label::from_number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Label, E> {
        Ok(Label::from_number(number))
    }
}

/// Reads what a label says.
struct ItemSeed;

impl<'de> DeserializeSeed<'de> for ItemSeed {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemSeed {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Item, E> {
        Ok(Item::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "readings are float8")]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "readings are float8")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Item, E> {
        Ok(Item::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Text(text.into()))
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Item, E> {
        Ok(Item::Else)
    }

    fn visit_unit<E: Error>(self) -> Result<Item, E> {
        Ok(Item::Else)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Else)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Item::Else)
    }
}
