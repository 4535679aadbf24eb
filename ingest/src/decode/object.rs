//! `devices/{device}/telemetry`: a JSON object of metrics, or an array of such objects.
//!
//! One pass over the text, straight into readings: no tree in between.

use std::fmt;

use bellwire_model::RejectReason;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::names::NameCache;
use super::{DEPTH_MAX, Draft, Output, time};

/// Reads the payload; what cannot be read is noted in `draft`, the rest goes to `out`.
///
/// A payload that is no JSON gives nothing at all: nobody knows what its cut part meant.
pub(super) fn decode(payload: &[u8], draft: &mut Draft, names: &mut NameCache, out: &mut Output) {
    let (first_reading, first_span) = (out.readings.len(), out.spans.len());
    draft.payload_first = first_reading;
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let node = Node { draft: &mut *draft, names, out: &mut *out, place: Place::Payload };
    if let Err(error) = node.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        out.readings.truncate(first_reading);
        out.spans.truncate(first_span);
        draft.own_time = false;
        draft.newest = None;
        // What was wrong before the end of sense matters less than that there is none.
        draft.fault = None;
        draft.fault(reason_of(&error), |_| error.to_string());
    }
}

fn reason_of(error: &serde_json::Error) -> RejectReason {
    // serde_json refuses 1e999 as a syntax error; there is no kind for it.
    if error.to_string().starts_with("number out of range") {
        RejectReason::NotFinite
    } else {
        RejectReason::BadJson
    }
}

/// Where in the payload a value stands.
#[derive(Clone, Copy)]
enum Place {
    /// The whole payload.
    Payload,
    /// An element of the payload's array.
    Element,
    /// A member of an object that is this deep, from 0.
    Member(usize),
}

/// One JSON value being read.
struct Node<'a> {
    draft: &'a mut Draft,
    names: &'a mut NameCache,
    out: &'a mut Output,
    place: Place,
}

impl Node<'_> {
    /// The same, for a value inside this one.
    fn inner(&mut self, place: Place) -> Node<'_> {
        Node { draft: self.draft, names: self.names, out: self.out, place }
    }

    /// Whether this is a member, not an object that should have been one.
    fn is_member(&mut self) -> bool {
        match self.place {
            Place::Member(_) => true,
            Place::Payload | Place::Element => {
                self.draft.path.clear();
                self.draft.fault(RejectReason::NotAnObject, |_| {
                    "expected an object of metrics, or an array of such objects".to_owned()
                });
                false
            }
        }
    }

    fn is_key(&self, key: &str) -> bool {
        matches!(self.place, Place::Member(0)) && self.draft.path == key
    }

    fn integer(&mut self, number: u64) {
        if !self.is_member() {
        } else if self.is_key("ts") {
            self.draft.time(time::from_integer(number));
        } else if self.is_key("seq") {
            self.seq(number);
        } else {
            #[expect(clippy::cast_precision_loss, reason = "readings are float8")]
            self.draft.number(number as f64, self.names, self.out);
        }
    }

    fn seq(&mut self, number: u64) {
        // The database keeps it as int8.
        if i64::try_from(number).is_ok() {
            self.draft.seq = Some(number);
        } else {
            self.bad_seq();
        }
    }

    fn bad_seq(&mut self) {
        self.draft.fault(RejectReason::BadSeq, |_| {
            "\"seq\" is no whole number from 0 to 2⁶³−1".to_owned()
        });
    }

    /// Reads the members of an object that is `depth` deep.
    fn members<'de, A: MapAccess<'de>>(
        &mut self,
        depth: usize,
        mut map: A,
    ) -> Result<(), A::Error> {
        let parent = self.draft.path.len();
        loop {
            if parent > 0 {
                self.draft.path.push('.');
            }
            if map.next_key_seed(Key(&mut self.draft.path))?.is_none() {
                self.draft.path.truncate(parent);
                return Ok(());
            }
            map.next_value_seed(self.inner(Place::Member(depth)))?;
            self.draft.path.truncate(parent);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("telemetry")
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        if !self.is_member() {
        } else if self.is_key("ts") {
            self.draft.time(None);
        } else if self.is_key("seq") {
            self.bad_seq();
        } else {
            self.draft.number(f64::from(u8::from(value)), self.names, self.out);
        }
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.integer(number);
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        match u64::try_from(number) {
            Ok(number) => self.integer(number),
            #[expect(clippy::cast_precision_loss, reason = "readings are float8")]
            Err(_) => return self.visit_f64(number as f64),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        if !self.is_member() {
        } else if self.is_key("ts") {
            self.draft.time(time::from_number(number));
        } else if self.is_key("seq") {
            self.bad_seq();
        } else {
            self.draft.number(number, self.names, self.out);
        }
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if !self.is_member() {
        } else if self.is_key("ts") {
            self.draft.time(time::from_text(text));
        } else if self.is_key("seq") {
            self.bad_seq();
        } else {
            self.draft.text(text, self.names, self.out);
        }
        Ok(())
    }

    /// `null` says that there is no reading: nothing is missing.
    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.is_member();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        match self.place {
            Place::Payload | Place::Element => {
                self.draft.begin_object(self.out);
                self.members(0, map)?;
                self.draft.end_object(self.out);
                Ok(())
            }
            Place::Member(depth) if depth + 1 < DEPTH_MAX => self.members(depth + 1, map),
            Place::Member(_) => {
                self.draft.fault(RejectReason::TooDeep, |path| {
                    format!("{path:?} is nested deeper than {DEPTH_MAX} objects")
                });
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(())
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        if matches!(self.place, Place::Payload) {
            let mut n_elements = 0;
            while seq.next_element_seed(self.inner(Place::Element))?.is_some() {
                n_elements += 1;
            }
            if n_elements == 0 {
                self.draft.fault(RejectReason::NoReadings, |_| "the array is empty".to_owned());
            }
            return Ok(());
        }
        if self.is_member() {
            self.draft
                .fault(RejectReason::UnsupportedValue, |path| format!("{path:?} is an array"));
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Appends an object's key to a path.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        self.0.push_str(key);
        Ok(())
    }
}
