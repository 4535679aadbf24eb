//! Objects in JSON.

use bellwire_model::RejectReason;
use serde::de::DeserializeSeed;

use super::Output;
use super::draft::Draft;
use super::names::NameCache;
use super::object::{Node, Part};
use crate::mapping::ObjectOptions;

/// Reads the payload; what cannot be read is noted in `draft`, the rest goes to `out`.
///
/// A payload that is no JSON gives nothing at all: nobody knows what its cut part meant.
pub(super) fn decode(
    payload: &[u8],
    options: &ObjectOptions,
    draft: &mut Draft,
    names: &mut NameCache,
    out: &mut Output,
) {
    for part in Part::of(options) {
        let mut deserializer = serde_json::Deserializer::from_slice(payload);
        let node = Node::payload(*part, options, draft, names, out);
        if let Err(error) = node.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
            return draft.abandon(reason_of(&error), error.to_string(), out);
        }
    }
    if options.each.is_some() {
        draft.end_instants(out);
    }
}

/// Why a text is no JSON.
pub(super) fn reason_of(error: &serde_json::Error) -> RejectReason {
    // serde_json refuses 1e999 as a syntax error; there is no kind for it.
    if error.to_string().starts_with("number out of range") {
        RejectReason::NotFinite
    } else {
        RejectReason::BadJson
    }
}
