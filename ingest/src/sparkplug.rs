//! Sparkplug B's topics and protocol buffers, as far as a host application needs them.
//!
//! Written down from the specification, version 3.0, chapters 4 and 6: no compiler of `.proto` files is needed.

use bytes::Bytes;
use prost::Message;

use bellwire_model::Timestamp;

/// The metric by which a host asks for all births again.
pub const REBIRTH: &str = "Node Control/Rebirth";
/// The number that a node's birth and its death share.
pub(crate) const BD_SEQ: &str = "bdSeq";
/// The property that says a metric's unit, as Ignition has it.
pub(crate) const UNIT: &str = "engUnit";
/// `uuid` of a payload whose body is compressed.
pub(crate) const COMPRESSED: &str = "SPBV1.0_COMPRESSED";

/// Numbers of data types, chapter 6.4.16.
pub(crate) mod datatype {
    pub(crate) const INT8: u32 = 1;
    pub(crate) const INT16: u32 = 2;
    pub(crate) const INT32: u32 = 3;
    pub(crate) const INT64: u32 = 4;
    pub(crate) const BOOLEAN: u32 = 11;
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NodeBirth,
    NodeData,
    NodeDeath,
    DeviceBirth,
    DeviceData,
    DeviceDeath,
}

/// The levels of a topic behind the namespace: `{group}/{kind}/{edge node}[/{device}]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route<'t> {
    pub(crate) group: &'t str,
    pub(crate) kind: Kind,
    pub(crate) edge: &'t str,
    pub(crate) device: Option<&'t str>,
}

impl<'t> Route<'t> {
    /// Reads the levels; `None` if they are those of no message from an edge node.
    pub(crate) fn new(levels: &'t str) -> Option<Self> {
        let mut levels = levels.split('/');
        let (group, kind, edge) = (levels.next()?, levels.next()?, levels.next()?);
        let device = levels.next();
        let kind = match (kind, device) {
            ("NBIRTH", None) => Kind::NodeBirth,
            ("NDATA", None) => Kind::NodeData,
            ("NDEATH", None) => Kind::NodeDeath,
            ("DBIRTH", Some(_)) => Kind::DeviceBirth,
            ("DDATA", Some(_)) => Kind::DeviceData,
            ("DDEATH", Some(_)) => Kind::DeviceDeath,
            _ => return None,
        };
        let is_whole = levels.next().is_none() && !group.is_empty() && !edge.is_empty();
        is_whole.then_some(Self { group, kind, edge, device })
    }
}

/// A payload; its metrics are read one by one.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Payload {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) timestamp: Option<u64>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) metrics: Vec<Bytes>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) seq: Option<u64>,
    #[prost(string, optional, tag = "4")]
    pub(crate) uuid: Option<String>,
}

/// A metric.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(crate) datatype: Option<u32>,
    #[prost(bool, optional, tag = "6")]
    pub(crate) is_transient: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub(crate) is_null: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub(crate) properties: Option<Properties>,
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19")]
    pub(crate) value: Option<Value>,
}

/// A metric's value. What is no reading is not looked into.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Value {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    String(String),
    #[prost(bytes = "bytes", tag = "16")]
    Bytes(Bytes),
    #[prost(bytes = "bytes", tag = "17")]
    DataSet(Bytes),
    #[prost(bytes = "bytes", tag = "18")]
    Template(Bytes),
    #[prost(bytes = "bytes", tag = "19")]
    Extension(Bytes),
}

/// What a birth says of a metric beside its value: keys, and as many values.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Properties {
    #[prost(string, repeated, tag = "1")]
    pub(crate) keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) values: Vec<Property>,
}

/// The value of a property, if it is a text.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Property {
    #[prost(string, optional, tag = "8")]
    pub(crate) text: Option<String>,
}

impl Value {
    /// A whole number that has no sign.
    pub(crate) fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Int(number) => Some((*number).into()),
            Self::Long(number) => Some(*number),
            _ => None,
        }
    }
}

impl Properties {
    /// The text under a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let index = self.keys.iter().position(|known| known == key)?;
        self.values.get(index)?.text.as_deref()
    }
}

/// Asks an edge node for all its births again, chapter 5.12.
#[must_use]
pub fn rebirth_request(now: Timestamp) -> Vec<u8> {
    let timestamp = u64::try_from(now.as_micros() / 1_000).ok();
    let metric = Metric {
        name: Some(REBIRTH.into()),
        timestamp,
        datatype: Some(datatype::BOOLEAN),
        value: Some(Value::Boolean(true)),
        ..Metric::default()
    };
    let metrics = vec![metric.encode_to_vec().into()];
    Payload { timestamp, metrics, seq: None, uuid: None }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_edge_nodes_are_told_from_others() {
        let route = |kind, device| Some(Route { group: "g", kind, edge: "e", device });
        for (levels, expected) in [
            ("g/NBIRTH/e", route(Kind::NodeBirth, None)),
            ("g/NDEATH/e", route(Kind::NodeDeath, None)),
            ("g/DDATA/e/d", route(Kind::DeviceData, Some("d"))),
            ("g/DDATA/e", None),
            ("g/NDATA/e/d", None),
            ("g/NCMD/e", None),
            ("g/DDATA/e/d/x", None),
            ("g/NDATA/", None),
            ("STATE/host", None),
        ] {
            assert_eq!(Route::new(levels), expected, "{levels}");
        }
    }

    #[test]
    fn a_request_for_rebirth_is_what_the_specification_says() {
        let request = rebirth_request(Timestamp::from_millis(1_700_000_000_123));
        let payload = Payload::decode(&request[..]).expect("protocol buffers");
        assert_eq!((payload.timestamp, payload.seq), (Some(1_700_000_000_123), None));
        let metric = Metric::decode(payload.metrics[0].clone()).expect("a metric");
        assert_eq!(metric.name.as_deref(), Some("Node Control/Rebirth"));
        assert_eq!(metric.value, Some(Value::Boolean(true)));
    }
}
