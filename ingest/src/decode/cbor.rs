//! CBOR, RFC 8949, as serde walks it; and objects in it.
//!
//! What is tagged is read as if it were not: a tagged time is a number or a text like any other.
//! Nothing is allocated by what a length only promises.

use std::fmt;

use bellwire_model::RejectReason;
use ciborium_ll::{Decoder, Error as Low, Header, simple};
use serde::de::{self, DeserializeSeed, Visitor};
use serde::forward_to_deserialize_any;

use super::Output;
use super::draft::Draft;
use super::names::NameCache;
use super::object::{Node, Part};
use crate::mapping::ObjectOptions;

/// The deepest nesting of arrays and maps, of which objects may take [`super::DEPTH_MAX`].
const NESTED_MAX: usize = 64;

/// Reads the payload; what cannot be read is noted in `draft`, the rest goes to `out`.
pub(super) fn decode(
    payload: &[u8],
    options: &ObjectOptions,
    draft: &mut Draft,
    names: &mut NameCache,
    out: &mut Output,
) {
    for part in Part::of(options) {
        let mut deserializer = Cbor::new(payload);
        let node = Node::payload(*part, options, draft, names, out);
        if let Err(error) = node.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
            return draft.abandon(RejectReason::BadCbor, error.to_string(), out);
        }
    }
    if options.each.is_some() {
        draft.end_instants(out);
    }
}

/// Why bytes are no CBOR.
#[derive(Debug)]
pub(super) enum CborError {
    /// They end inside of a value.
    End,
    /// This byte begins nothing.
    Syntax(usize),
    /// Arrays and maps are too deep.
    TooDeep,
    /// Something follows the value.
    Trailing(usize),
    /// A text is not UTF-8.
    BadUtf8(usize),
    /// It is not what was expected.
    Other(Box<str>),
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the payload ends inside of a value"),
            Self::Syntax(at) => write!(f, "no value begins at byte {at}"),
            Self::TooDeep => write!(f, "nested deeper than {NESTED_MAX} arrays and maps"),
            Self::Trailing(at) => write!(f, "something follows the value, from byte {at} on"),
            Self::BadUtf8(at) => write!(f, "the text at byte {at} is not UTF-8"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CborError {}

impl de::Error for CborError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string().into())
    }
}

/// Walks one payload.
pub(super) struct Cbor<'p> {
    payload: &'p [u8],
    /// Reads what is behind `begin`.
    decoder: Decoder<&'p [u8]>,
    begin: usize,
    /// A text that came in pieces.
    text: Vec<u8>,
    depth: usize,
}

impl<'p> Cbor<'p> {
    pub(super) fn new(payload: &'p [u8]) -> Self {
        Self { payload, decoder: Decoder::from(payload), begin: 0, text: Vec::new(), depth: 0 }
    }

    /// How much is read.
    fn offset(&mut self) -> usize {
        self.begin + self.decoder.offset()
    }

    /// Reads the next header.
    fn pull(&mut self) -> Result<Header, CborError> {
        self.decoder.pull().map_err(|error| match error {
            // A slice can only end.
            Low::Io(_) => CborError::End,
            Low::Syntax(at) => CborError::Syntax(self.begin + at),
        })
    }

    /// Takes so many bytes as they are.
    fn take(&mut self, len: usize) -> Result<&'p [u8], CborError> {
        let at = self.offset();
        let (taken, rest) = self.payload[at..].split_at_checked(len).ok_or(CborError::End)?;
        (self.begin, self.decoder) = (at + len, Decoder::from(rest));
        Ok(taken)
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), CborError> {
        match self.offset() {
            at if at < self.payload.len() => Err(CborError::Trailing(at)),
            _ => Ok(()),
        }
    }

    /// Reads a text of so many bytes, or of pieces up to a break.
    fn read_text(&mut self, len: Option<usize>, at: usize) -> Result<&str, CborError> {
        let bytes = match len {
            Some(len) => self.take(len)?,
            None => {
                self.text.clear();
                while let Some(len) = self.next_piece(|header| match header {
                    Header::Text(len) => len,
                    _ => None,
                })? {
                    let piece = self.take(len)?;
                    self.text.extend_from_slice(piece);
                }
                &self.text
            }
        };
        std::str::from_utf8(bytes).map_err(|_| CborError::BadUtf8(at))
    }

    /// Passes over a byte string.
    fn skip_bytes(&mut self, len: Option<usize>) -> Result<(), CborError> {
        if let Some(len) = len {
            return self.take(len).map(drop);
        }
        while let Some(len) = self.next_piece(|header| match header {
            Header::Bytes(len) => len,
            _ => None,
        })? {
            self.take(len)?;
        }
        Ok(())
    }

    /// The length of the next piece, which `len_of` tells of its header; `None` at a break.
    fn next_piece(
        &mut self,
        len_of: fn(Header) -> Option<usize>,
    ) -> Result<Option<usize>, CborError> {
        let at = self.offset();
        match self.pull()? {
            Header::Break => Ok(None),
            header => len_of(header).map(Some).ok_or(CborError::Syntax(at)),
        }
    }

    fn nested<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, CborError>,
    ) -> Result<T, CborError> {
        if self.depth == NESTED_MAX {
            return Err(CborError::TooDeep);
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }
}

impl<'de> de::Deserializer<'de> for &mut Cbor<'_> {
    type Error = CborError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CborError> {
        loop {
            let at = self.offset();
            return match self.pull()? {
                Header::Tag(_) => continue,
                Header::Positive(number) => visitor.visit_u64(number),
                Header::Negative(number) => match i64::try_from(number) {
                    Ok(number) => visitor.visit_i64(-1 - number),
                    #[expect(clippy::cast_precision_loss, reason = "readings are float8")]
                    Err(_) => visitor.visit_f64(-1.0 - number as f64),
                },
                Header::Float(number) => visitor.visit_f64(number),
                Header::Simple(simple::TRUE) => visitor.visit_bool(true),
                Header::Simple(simple::FALSE) => visitor.visit_bool(false),
                Header::Simple(simple::NULL | simple::UNDEFINED) => visitor.visit_unit(),
                Header::Simple(_) | Header::Break => Err(CborError::Syntax(at)),
                Header::Bytes(len) => {
                    self.skip_bytes(len)?;
                    visitor.visit_bytes(&[])
                }
                Header::Text(len) => {
                    let text = self.read_text(len, at)?;
                    visitor.visit_str(text)
                }
                Header::Array(left) => self.nested(|cbor| visitor.visit_seq(Items { cbor, left })),
                Header::Map(left) => self.nested(|cbor| visitor.visit_map(Items { cbor, left })),
            };
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// The items of an array, or the entries of a map, that are left; `None`: up to a break.
struct Items<'c, 'p> {
    cbor: &'c mut Cbor<'p>,
    left: Option<usize>,
}

impl Items<'_, '_> {
    /// Whether there is another one.
    fn go_on(&mut self) -> Result<bool, CborError> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => match self.cbor.pull()? {
                Header::Break => {
                    // Whoever asks again gets the same answer.
                    self.left = Some(0);
                    Ok(false)
                }
                header => {
                    self.cbor.decoder.push(header);
                    Ok(true)
                }
            },
        }
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = CborError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, CborError> {
        if self.go_on()? { seed.deserialize(&mut *self.cbor).map(Some) } else { Ok(None) }
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, '_> {
    type Error = CborError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, CborError> {
        if self.go_on()? { seed.deserialize(&mut *self.cbor).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CborError> {
        seed.deserialize(&mut *self.cbor)
    }
}
