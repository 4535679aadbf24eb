//! Payloads made to cost much: each as large as a packet may be by default.

use std::iter::repeat_n;

/// `mqtt.packet_bytes_max` as it is by default.
pub(crate) const BYTES: usize = 1 << 20;

/// A payload that is made to cost much.
#[derive(Debug)]
pub(crate) struct Bomb {
    /// What is bad about it.
    pub(crate) name: &'static str,
    /// Where it is published, under the mappings of `hostile.toml`.
    pub(crate) topic: &'static str,
    /// The payload, of [`BYTES`] at most.
    pub(crate) payload: Vec<u8>,
}

/// `begin`, then `again` as often as there is room, then `end`.
fn filled(begin: &[u8], again: &[u8], end: &[u8]) -> Vec<u8> {
    let n = (BYTES - begin.len() - end.len()) / again.len();
    [begin, &again.repeat(n), end].concat()
}

/// Half a payload of one letter.
fn long() -> Vec<u8> {
    repeat_n(b'x', BYTES / 2).collect()
}

/// All of them.
pub(crate) fn all() -> Vec<Bomb> {
    let bomb = |(name, topic, payload)| Bomb { name, topic, payload };
    [json(), cbor(), lines(), senml(), sparkplug()].concat().into_iter().map(bomb).collect()
}

type Case = (&'static str, &'static str, Vec<u8>);

fn json() -> Vec<Case> {
    let keys: String = (0..80_000).map(|n| format!("\"k{n}\":1,")).collect();
    let under_a_long_key = [b"{\"", &*long(), b"\":{"].concat();
    vec![
        ("arrays in arrays", "json/d", filled(b"", b"[", b"")),
        ("objects in objects", "json/d", filled(b"", b"{\"a\":", b"")),
        ("many keys", "json/d", format!("{{{keys}\"k\":1}}").into_bytes()),
        ("one key again and again", "json/d", filled(b"{", b"\"a\":1,", b"\"b\":1}")),
        ("many objects", "json/d", filled(b"[", b"{\"t\":1},", b"{}]")),
        ("many empty objects", "json/d", filled(b"[", b"{},", b"{}]")),
        (
            "many keys under a long one",
            "json/d",
            filled(&under_a_long_key, b"\"a\":1,", b"\"b\":1}}"),
        ),
        ("a long number", "json/d", filled(b"{\"a\":", b"1", b"}")),
        ("a long text", "json/d", filled(b"{\"a\":\"", b"\\u00e4", b"\"}")),
        ("times again and again", "json/d", filled(b"{", b"\"a\":1,", b"\"a\":2}")),
        ("many elements", "each/d", filled(b"{\"a\":{\"b\":[", b"{\"x\":1},", b"{}]}}")),
        ("a long array", "json/d", filled(b"{\"a\":[", b"1,", b"1]}")),
        ("a long text for a device", "json/d", filled(b"{\"c\":\"", b"d", b"\",\"x\":1}")),
        ("a long scalar", "scalar/d/m", filled(b"", b"1", b"")),
        ("a long status", "status/d", filled(b"{\"state\":\"", b"x", b"\"}")),
    ]
}

fn cbor() -> Vec<Case> {
    vec![
        ("arrays in arrays", "cbor/d", filled(b"", b"\x81", b"")),
        ("endless arrays in arrays", "cbor/d", filled(b"", b"\x9f", b"")),
        ("maps in maps", "cbor/d", filled(b"", b"\xa1\x61a", b"")),
        ("tags on tags", "cbor/d", filled(b"", b"\xc1", b"")),
        ("tags on a value", "cbor/d", filled(b"\xa1\x61a", b"\xc1", b"\x01")),
        (
            "an array of all there is",
            "cbor/d",
            filled(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", b"\x01", b""),
        ),
        (
            "a map of all there is",
            "cbor/d",
            filled(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", b"\x61a\x01", b""),
        ),
        (
            "a text of all there is",
            "cbor/d",
            filled(b"\xa1\x7b\x7f\xff\xff\xff\xff\xff\xff\xff", b"a", b""),
        ),
        ("a text of empty pieces", "cbor/d", filled(b"\xa1\x7f", b"\x60", b"\xff\x01")),
        ("one key again and again", "cbor/d", filled(b"\xbf", b"\x61x\x01", b"\xff")),
        ("many elements", "cbor/d", filled(b"\xbf\x61b\x9f", b"\xa1\x61x\x01", b"\xff\xff")),
        ("records without end", "senml_cbor/d", filled(b"\x9f", b"\xa1\x02\x01", b"")),
    ]
}

fn lines() -> Vec<Case> {
    vec![
        ("many fields", "influx/d", filled(b"m a=1", b",f=1", b"")),
        ("many tags", "influx/d", filled(b"m", b",a=b", b" f=1")),
        ("many lines", "influx/d", filled(b"", b"m,a=d f=1\n", b"")),
        ("empty lines", "influx/d", filled(b"", b"\n", b"")),
        ("backslashes", "influx/d", filled(b"", b"\\", b"")),
        ("a text without end", "influx/d", filled(b"m f=\"", b"\\\"", b"")),
    ]
}

fn senml() -> Vec<Case> {
    let under_a_long_name = [b"[{\"bn\":\"", &*long(), b"\"}"].concat();
    vec![
        ("records under a long name", "senml/d", filled(&under_a_long_name, b",{\"v\":1}", b"]")),
        ("a long unit", "senml/d", filled(b"[{\"n\":\"t\",\"v\":1,\"u\":\"", b"u", b"\"}]")),
        ("many records", "senml/d", filled(b"[{\"bn\":\"d:\"}", b",{\"n\":\"a\",\"v\":1}", b"]")),
        ("empty records", "senml/d", filled(b"[{}", b",{}", b"]")),
        ("arrays in arrays", "senml/d", filled(b"", b"[", b"")),
    ]
}

fn sparkplug() -> Vec<Case> {
    // A metric is field 2 of a payload; in it the name is 1, the alias 2, a double 13.
    let metric = b"\x12\x0f\x0a\x01a\x10\x01\x20\x0a\x69\0\0\0\0\0\0\0";
    vec![
        ("empty metrics", "spBv1.0/g/NBIRTH/e", filled(b"", b"\x12\x00", b"")),
        ("many metrics", "spBv1.0/g/NBIRTH/e", filled(b"", metric, b"")),
        ("aliases that nobody knows", "spBv1.0/g/NDATA/e", filled(b"", b"\x12\x02\x10\x05", b"")),
        ("groups in groups", "spBv1.0/g/NDATA/e", filled(b"", b"\x0b", b"")),
        ("a length of all there is", "spBv1.0/g/NDATA/e", b"\x12\xff\xff\xff\xff\x0f".to_vec()),
        ("a large body", "spBv1.0/g/NDATA/e", filled(b"\x2a\xf0\xff\x3f", b"x", b"")),
    ]
}
