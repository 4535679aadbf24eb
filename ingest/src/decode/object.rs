//! An object of metrics, or an array of such objects, in any format that serde can walk.
//!
//! One pass over the bytes, straight into readings: no tree in between.

use std::fmt::{self, Write};
use std::sync::Arc;

use bellwire_model::RejectReason;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::draft::Draft;
use super::names::NameCache;
use super::time::{self, TextRead};
use super::{DEPTH_MAX, Output};
use crate::mapping::{Arrays, KeyPath, ObjectOptions};

/// Which part of a payload with an array of objects is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: there is no such array.
    Whole,
    /// What stands around the array.
    Around,
    /// The way to the array.
    Each,
    /// Its elements.
    Inside,
}

impl Part {
    /// The parts to read, one after the other: what is behind the array holds for it too.
    pub(super) fn of(options: &ObjectOptions) -> &'static [Self] {
        if options.each.is_some() { &[Self::Around, Self::Each] } else { &[Self::Whole] }
    }
}

/// Where in the payload a value stands.
#[derive(Clone, Copy)]
enum Place {
    /// The whole payload.
    Payload,
    /// The array of objects.
    Each,
    /// An element of the payload's array.
    Element,
    /// A member of an object that is this deep, from 0.
    Member(usize),
}

/// One value being read.
pub(super) struct Node<'a> {
    options: &'a ObjectOptions,
    draft: &'a mut Draft,
    names: &'a mut NameCache,
    out: &'a mut Output,
    part: Part,
    place: Place,
}

impl<'a> Node<'a> {
    /// The whole payload.
    pub(super) fn payload(
        part: Part,
        options: &'a ObjectOptions,
        draft: &'a mut Draft,
        names: &'a mut NameCache,
        out: &'a mut Output,
    ) -> Self {
        draft.stripped = options.root.as_ref().map_or(0, |root| root.as_str().len() + 1);
        Node { options, draft, names, out, part, place: Place::Payload }
    }

    /// The same, for a value inside this one.
    #[inline]
    fn inner(&mut self, place: Place) -> Node<'_> {
        let Self { options, draft, names, out, part, .. } = self;
        Node { options, draft, names, out, part: *part, place }
    }

    /// Whether this is a member, not an object that should have been one.
    #[inline]
    fn is_member(&mut self) -> bool {
        match self.place {
            Place::Member(_) => true,
            Place::Payload | Place::Each | Place::Element => {
                self.draft.path.clear();
                self.draft.fault(RejectReason::NotAnObject, |_| {
                    "expected an object of metrics, or an array of such objects".to_owned()
                });
                false
            }
        }
    }

    /// What the value's key means.
    #[inline]
    fn role(&self) -> Role<'a> {
        let Place::Member(depth) = self.place else { return Role::Reading };
        let path = self.draft.path.as_str();
        let is = |key: &Option<KeyPath>| key.as_ref().is_some_and(|key| key.is(path, depth));
        if self.part == Part::Around && is(&self.options.base_time) {
            Role::BaseTime
        } else if is(&self.options.time) {
            Role::Time
        } else if is(&self.options.seq) {
            Role::Seq
        } else if is(&self.options.device) {
            Role::Device
        } else if let Some(label) = self.options.labels.iter().find(|it| it.path.is(path, depth)) {
            Role::Label(&label.name)
        } else if self.is_aside() {
            Role::Aside
        } else {
            Role::Reading
        }
    }

    /// Whether it is outside of what is to be read.
    #[inline]
    fn is_aside(&self) -> bool {
        self.options.root.as_ref().is_some_and(|root| root.within(&self.draft.path).is_none())
    }

    fn integer(&mut self, number: u64) {
        if !self.is_member() {
            return;
        }
        match self.role() {
            Role::BaseTime => self.draft.base_time(time::from_integer(number)),
            #[expect(clippy::cast_precision_loss, reason = "exact as far as it is an offset")]
            Role::Time => {
                let at = self.offset(number as f64).or_else(|| time::from_integer(number));
                self.draft.time(at);
            }
            Role::Seq => self.draft.seq(number),
            Role::Device => self.draft.object_device(&number.to_string(), self.names),
            Role::Label(name) => self.draft.label(name, &number.to_string()),
            Role::Aside => {}
            #[expect(clippy::cast_precision_loss, reason = "readings are float8")]
            Role::Reading => self.draft.number(number as f64, self.names, self.out),
        }
    }

    fn float(&mut self, number: f64) {
        if !self.is_member() {
            return;
        }
        match self.role() {
            Role::BaseTime => self.draft.base_time(time::from_number(number)),
            Role::Time => {
                let at = self.offset(number).or_else(|| time::from_number(number));
                self.draft.time(at);
            }
            Role::Seq => self.draft.bad_seq(),
            Role::Device => self.draft.no_device(RejectReason::NoDevice),
            Role::Label(name) => self.draft.label(name, &number.to_string()),
            Role::Aside => {}
            Role::Reading => self.draft.number(number, self.names, self.out),
        }
    }

    /// The time of an object in an array, if it is relative to what stands around that.
    fn offset(&self, seconds: f64) -> Option<bellwire_model::Timestamp> {
        let is_relative = self.part == Part::Inside && self.options.base_time.is_some();
        is_relative.then(|| self.draft.after_base(seconds)).flatten()
    }

    /// What is no reading, whatever it holds.
    fn unsupported(&mut self, what: &str) {
        if self.is_member() && !self.is_aside() {
            self.draft.fault(RejectReason::UnsupportedValue, |path| format!("{path:?} is {what}"));
        }
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
            match self.way(depth) {
                Some(place) => map.next_value_seed(self.inner(place))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            self.draft.path.truncate(parent);
        }
    }

    /// What the value of the key just read is to be read as; `None` if it is passed over.
    #[inline]
    fn way(&self, depth: usize) -> Option<Place> {
        let path = self.draft.path.as_str();
        if self.options.omits(path, depth) {
            return None;
        }
        let member = Place::Member(depth);
        let Some(each) = &self.options.each else { return Some(member) };
        match self.part {
            Part::Whole | Part::Inside => Some(member),
            Part::Around => (!each.is(path, depth)).then_some(member),
            Part::Each if each.is(path, depth) => Some(Place::Each),
            Part::Each => each.is_inside(path).then_some(member),
        }
    }

    /// Reads the array of objects.
    fn each<'de, A: SeqAccess<'de>>(&mut self, mut seq: A) -> Result<(), A::Error> {
        let path = std::mem::take(&mut self.draft.path);
        self.part = Part::Inside;
        while seq.next_element_seed(self.inner(Place::Element))?.is_some() {}
        self.draft.path = path;
        Ok(())
    }

    /// Reads the elements of an array inside an object, as members of `depth`.
    fn elements<'de, A: SeqAccess<'de>>(
        &mut self,
        depth: usize,
        mut seq: A,
    ) -> Result<(), A::Error> {
        let parent = self.draft.path.len();
        for index in 0_usize.. {
            // Writing to a text cannot fail.
            let _ = write!(self.draft.path, ".{index}");
            let next = seq.next_element_seed(self.inner(Place::Member(depth)))?;
            self.draft.path.truncate(parent);
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug)]
enum Role<'a> {
    BaseTime,
    Time,
    Seq,
    Device,
    /// It is a label of the device, with this name.
    Label(&'a Arc<str>),
    /// It is outside of what is to be read.
    Aside,
    Reading,
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
            return Ok(());
        }
        match self.role() {
            Role::BaseTime => self.draft.base_time(None),
            Role::Time => self.draft.time(None),
            Role::Seq => self.draft.bad_seq(),
            Role::Device => self.draft.no_device(RejectReason::NoDevice),
            Role::Label(name) => self.draft.label(name, &value.to_string()),
            Role::Aside => {}
            Role::Reading => {
                self.draft.number(f64::from(u8::from(value)), self.names, self.out);
            }
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
            Err(_) => self.float(number as f64),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.float(number);
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        if !self.is_member() {
            return Ok(());
        }
        match self.role() {
            role @ (Role::BaseTime | Role::Time) => {
                let at = match time::read_text(text, self.options.text_time) {
                    TextRead::Time(at) => Some(at),
                    TextRead::Unplaced => return Ok(()),
                    TextRead::NoTime => None,
                };
                match role {
                    Role::BaseTime => self.draft.base_time(at),
                    _ => self.draft.time(at),
                }
            }
            Role::Seq => self.draft.bad_seq(),
            Role::Device => self.draft.object_device(text, self.names),
            Role::Label(name) => self.draft.label(name, text),
            Role::Aside => {}
            Role::Reading => self.draft.text(text, self.names, self.out),
        }
        Ok(())
    }

    fn visit_bytes<E: Error>(mut self, _: &[u8]) -> Result<(), E> {
        self.unsupported("a byte string");
        Ok(())
    }

    /// `null` says that there is no reading: nothing is missing.
    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.is_member();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        match self.place {
            Place::Payload if self.part == Part::Each => {
                self.draft.path.clear();
                self.members(0, map)
            }
            Place::Payload | Place::Element => {
                self.draft.begin_object(self.out);
                self.members(0, map)?;
                match self.part {
                    Part::Around => self.draft.end_around(self.out),
                    _ => self.draft.end_object(self.out),
                }
                Ok(())
            }
            Place::Each => {
                self.is_member();
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
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
        if matches!(self.place, Place::Each) {
            return self.each(seq);
        }
        if matches!((self.place, self.part), (Place::Payload, Part::Whole)) {
            let mut n_elements = 0;
            while seq.next_element_seed(self.inner(Place::Element))?.is_some() {
                n_elements += 1;
            }
            if n_elements == 0 {
                self.draft.fault(RejectReason::NoReadings, |_| "the array is empty".to_owned());
            }
            return Ok(());
        }
        match self.place {
            Place::Member(depth)
                if self.options.arrays == Arrays::Index && depth + 1 < DEPTH_MAX =>
            {
                return self.elements(depth + 1, seq);
            }
            _ => self.unsupported("an array"),
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Appends an object's key to a path. CBOR has numbers as keys too.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
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

    fn visit_u64<E: Error>(self, key: u64) -> Result<(), E> {
        write!(self.0, "{key}").map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<(), E> {
        write!(self.0, "{key}").map_err(E::custom)
    }
}
