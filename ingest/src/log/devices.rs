//! The body of a record of devices: what the registry says of them from here on.
//!
//! `device_bytes u16 | device | verb u8 | n_labels u16 | labels`, again and again. A label is
//! `name_bytes u8 | name | value_bytes u16 | value`; [`REMOVED`] in the place of its length says that
//! it is removed. Little endian.

use std::sync::Arc;

use bellwire_model::{Base, DeviceId, DevicePatch};

/// A change of what the registry says of a device.
pub type DeviceChange = (DeviceId, DevicePatch);

/// As the length of a value: there is none.
const REMOVED: u16 = u16::MAX;

/// Verbs; the numbers are on disk.
const PUT: u8 = 1;
const REPLACE: u8 = 2;
const REMOVE: u8 = 3;
const FORGET: u8 = 4;

pub(super) fn bytes(changes: &[DeviceChange]) -> usize {
    let of_label = |(name, value): &(Arc<str>, Option<Arc<str>>)| {
        3 + name.len() + value.as_ref().map_or(0, |value| value.len())
    };
    let of_patch = |patch: &DevicePatch| match patch {
        DevicePatch::Put(_, labels) => labels.iter().map(of_label).sum(),
        DevicePatch::Remove | DevicePatch::Forget => 0,
    };
    changes.iter().map(|(device, patch)| 5 + device.as_str().len() + of_patch(patch)).sum()
}

pub(super) fn write(changes: &[DeviceChange], buffer: &mut Vec<u8>) {
    for (device, patch) in changes {
        text_u16(device.as_str(), buffer);
        let (verb, labels) = match patch {
            DevicePatch::Put(Base::Kept, labels) => (PUT, &labels[..]),
            DevicePatch::Put(Base::Replaced, labels) => (REPLACE, &labels[..]),
            DevicePatch::Remove => (REMOVE, &[][..]),
            DevicePatch::Forget => (FORGET, &[][..]),
        };
        buffer.push(verb);
        let n_labels = u16::try_from(labels.len()).expect("few labels: checked when it was made");
        buffer.extend_from_slice(&n_labels.to_le_bytes());
        for (name, value) in labels {
            buffer.push(u8::try_from(name.len()).expect("a label's name is short"));
            buffer.extend_from_slice(name.as_bytes());
            match value {
                Some(value) => text_u16(value, buffer),
                None => buffer.extend_from_slice(&REMOVED.to_le_bytes()),
            }
        }
    }
}

fn text_u16(text: &str, buffer: &mut Vec<u8>) {
    let bytes = u16::try_from(text.len()).expect("names and values are short");
    buffer.extend_from_slice(&bytes.to_le_bytes());
    buffer.extend_from_slice(text.as_bytes());
}

pub(super) fn read(mut body: &[u8]) -> Option<Vec<(&str, DevicePatch)>> {
    let mut changes = Vec::new();
    while !body.is_empty() {
        let (bytes, rest) = number(body)?;
        let (device, rest) = text(rest, bytes.into())?;
        let (verb, rest) = rest.split_first()?;
        let (n_labels, mut rest) = number(rest)?;
        let mut labels = Vec::with_capacity(usize::from(n_labels));
        for _ in 0..n_labels {
            let (label, after) = read_label(rest)?;
            labels.push(label);
            rest = after;
        }
        let patch = match *verb {
            PUT => DevicePatch::Put(Base::Kept, labels),
            REPLACE => DevicePatch::Put(Base::Replaced, labels),
            REMOVE => DevicePatch::Remove,
            FORGET => DevicePatch::Forget,
            _ => return None,
        };
        changes.push((device, patch));
        body = rest;
    }
    Some(changes)
}

type Read<'a> = ((Arc<str>, Option<Arc<str>>), &'a [u8]);

fn read_label(body: &[u8]) -> Option<Read<'_>> {
    let (bytes, rest) = body.split_first()?;
    let (name, rest) = text(rest, (*bytes).into())?;
    let (bytes, rest) = number(rest)?;
    if bytes == REMOVED {
        return Some(((name.into(), None), rest));
    }
    let (value, rest) = text(rest, bytes.into())?;
    Some(((name.into(), Some(value.into())), rest))
}

fn number(body: &[u8]) -> Option<(u16, &[u8])> {
    let (bytes, rest) = body.split_first_chunk()?;
    Some((u16::from_le_bytes(*bytes), rest))
}

fn text(body: &[u8], bytes: usize) -> Option<(&str, &[u8])> {
    let (text, rest) = body.split_at_checked(bytes)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back() {
        let device = |name: &str| DeviceId::new(name).expect("valid");
        let labels = vec![("site".into(), Some("berlin ü".into())), ("kind".into(), None)];
        let changes = [
            (device("ü"), DevicePatch::Put(Base::Kept, labels.clone())),
            (device("b"), DevicePatch::Put(Base::Replaced, Vec::new())),
            (device("c"), DevicePatch::Remove),
            (device("d"), DevicePatch::Forget),
        ];
        let mut body = Vec::new();
        write(&changes, &mut body);
        assert_eq!(body.len(), bytes(&changes));
        let back = read(&body).expect("as written");
        let expected: Vec<_> =
            changes.iter().map(|(device, patch)| (device.as_str(), patch.clone())).collect();
        assert_eq!(back, expected);
        for cut in 1..body.len() {
            let read = read(&body[..cut]);
            assert!(read.is_none_or(|read| read.len() < changes.len()), "cut at {cut}");
        }
        assert!(read(&[1, 0, b'a', 9, 0, 0]).is_none(), "an unknown verb");
    }
}
