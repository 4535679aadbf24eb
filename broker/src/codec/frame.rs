//! Cuts the byte stream into packets, and refuses what is too large before it is buffered.

use crate::close::{Close, CloseKind};
use crate::codec::Parsed;

/// The longest fixed header: the type and four bytes of length.
const HEADER_BYTES_MAX: usize = 5;

/// One packet as it lies in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Type and flags.
    pub(crate) first: u8,
    /// What follows the fixed header.
    pub(crate) body: &'a [u8],
}

/// The size of the packet that begins `bytes`, fixed header and all; `None` if the header is not
/// yet complete.
///
/// # Errors
/// If the length is no variable byte integer, or the packet is larger than `packet_bytes_max`.
#[inline]
pub(crate) fn measure(bytes: &[u8], packet_bytes_max: usize) -> Parsed<Option<Size>> {
    let mut body_bytes = 0_usize;
    for (index, &byte) in bytes.iter().enumerate().skip(1).take(HEADER_BYTES_MAX - 1) {
        body_bytes |= usize::from(byte & 0x7F) << (7 * (index - 1));
        if byte & 0x80 == 0 {
            let size = Size { header_bytes: index + 1, packet_bytes: index + 1 + body_bytes };
            if size.packet_bytes > packet_bytes_max {
                return Err(CloseKind::PacketTooLarge.into());
            }
            return Ok(Some(size));
        }
    }
    if bytes.len() >= HEADER_BYTES_MAX {
        return Err(Close::malformed("remaining length has more than four bytes"));
    }
    Ok(None)
}

/// How large a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Bytes of the fixed header, 2–5.
    pub(crate) header_bytes: usize,
    /// Bytes of the whole packet.
    pub(crate) packet_bytes: usize,
}

/// Splits the first packet off `bytes`; `None` if it is not yet complete.
///
/// # Errors
/// As [`measure`].
#[inline]
pub(crate) fn split(bytes: &[u8], packet_bytes_max: usize) -> Parsed<Option<(Frame<'_>, usize)>> {
    let Some(size) = measure(bytes, packet_bytes_max)? else { return Ok(None) };
    match bytes.get(size.header_bytes..size.packet_bytes) {
        Some(body) => Ok(Some((Frame { first: bytes[0], body }, size.packet_bytes))),
        None => Ok(None),
    }
}

/// Moves bytes from the front of `input` to `partial` until that holds one packet.
///
/// True if it does.
///
/// # Errors
/// As [`measure`].
pub(crate) fn complete(
    partial: &mut Vec<u8>,
    input: &mut &[u8],
    packet_bytes_max: usize,
) -> Parsed<bool> {
    loop {
        let missing = match measure(partial, packet_bytes_max)? {
            Some(size) if size.packet_bytes <= partial.len() => return Ok(true),
            Some(size) => size.packet_bytes - partial.len(),
            None => 1,
        };
        if input.is_empty() {
            return Ok(false);
        }
        let (taken, rest) = input.split_at(missing.min(input.len()));
        partial.extend_from_slice(taken);
        *input = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Parsed<Option<usize>>) {
        let found = measure(bytes, 1000).map(|size| size.map(|size| size.packet_bytes));
        assert_eq!(found, expected, "{bytes:x?}");
    }

    #[test]
    fn a_packet_is_measured_before_it_is_there() {
        check(&[], Ok(None));
        check(&[0x30], Ok(None));
        check(&[0x30, 0x80], Ok(None));
        check(&[0x30, 0], Ok(Some(2)));
        check(&[0x30, 0x80, 0x01], Ok(Some(131)));
    }

    #[test]
    fn too_large_and_endless_lengths_are_refused_from_the_header_alone() {
        check(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], Err(CloseKind::PacketTooLarge.into()));
        assert!(measure(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], usize::MAX).is_err());
        check(&[0x30, 0xE6, 0x07], Err(CloseKind::PacketTooLarge.into()));
        check(&[0x30, 0xE5, 0x07], Ok(Some(1000)));
    }

    #[test]
    fn a_packet_is_completed_byte_by_byte_and_no_further() {
        let stream = [0x30, 0x03, 1, 2, 3, 0xC0, 0x00];
        let mut partial = Vec::new();
        for byte in &stream[..4] {
            assert_eq!(complete(&mut partial, &mut &[*byte][..], 10), Ok(false));
        }
        let mut rest = &stream[4..];
        assert_eq!(complete(&mut partial, &mut rest, 10), Ok(true));
        assert_eq!((partial.as_slice(), rest), (&stream[..5], &stream[5..]));
    }
}
