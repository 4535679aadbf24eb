//! A session of Sparkplug B: birth, data by alias, what was lost, rebirth, death.
//!
//! The payloads were made by Eclipse Tahu's library for JavaScript (`sparkplug-payload` 1.0.3).

use std::sync::Arc;

use bellwire_ingest::decode::{Decoder, Fault, Output};
use bellwire_ingest::mapping::Mappings;
use bellwire_ingest::nodes::SharedNodes;
use bellwire_model::{LogPosition, Presence, PublishRef, QoS, RejectReason, SharedNames, Value};

use crate::RECEIVED;
use crate::families::hex;

const NODE_BIRTH: &str = "08f081eab6b733120b0a05626453657120045803121a0a144e6f646520436f6e74726f6c2f52656269727468200b700012170a08496e707574732f4110011888fae9b6b733200b700112390a0e537570706c7920566f6c74616765100220094a1e0a07656e67556e69740a06656e674c6f771205080c42015612040803180065000048411800";
const DEVICE_BIRTH: &str = "08f181eab6b733122b0a0b54656d7065726174757265100a20024a120a07656e67556e69741207080c4203c2b04350d8ffffff0f12110a05436f756e74100b20085880e497d01212140a055374617465100c200c7a0772756e6e696e6712110a06526563697065100d201182010201021801";
const DEVICE_DATA: &str = "08c091eab6b7331211100a18c091eab6b733200250d9ffffff0f1214100c18c091eab6b733200c7a0773746f707065641802";
const NODE_DATA: &str = "08a899eab6b733121210021890ade6b6b7332009280165000038411210100218a899eab6b73320096500004441120d100118a899eab6b733200b38011803";
const DEVICE_DATA_5: &str = "0890a1eab6b7331211100a1890a1eab6b733200250daffffff0f1805";
const UNKNOWN_ALIAS: &str = "08f8a8eab6b7331206106320025001120a100a200250dbffffff0f1806";
const DEVICE_DEATH: &str = "08e0b0eab6b7331807";
/// With the `bdSeq` before that of the birth.
const EARLIER_DEATH: &str = "08f081eab6b733120b0a05626453657120045802";
const NODE_DEATH: &str = "08f081eab6b733120b0a05626453657120045803";

/// A reader of the log.
struct Session {
    names: SharedNames,
    decoder: Decoder,
    position: u64,
}

/// What a message comes to: `device metric=value unit@seconds before receipt`.
struct Told {
    readings: Vec<String>,
    presence: Vec<(String, Presence)>,
    rebirth: Option<Box<str>>,
    n_lost: u64,
    fault: Option<Fault>,
}

impl Session {
    fn new(nodes: SharedNodes) -> Self {
        let names = SharedNames::default();
        let mut decoder = Decoder::with_nodes(names.clone(), nodes);
        let mappings = Mappings::parse("[[mapping]]\npreset = 'sparkplug'").expect("right");
        decoder.set_mappings(Arc::new(mappings));
        Self { names, decoder, position: 0 }
    }

    /// Reads the next message of the log.
    fn take(&mut self, levels: &str, payload: &str) -> Told {
        self.position += 1;
        self.take_at(self.position, levels, payload)
    }

    fn take_at(&mut self, position: u64, levels: &str, payload: &str) -> Told {
        let topic = format!("spBv1.0/{levels}");
        let payload = hex(payload);
        let publish = PublishRef {
            topic: &topic,
            payload: &payload,
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            packet_id: 0,
        };
        let mut out = Output::default();
        self.decoder.set_place(LogPosition(position), 0);
        let decoded = self.decoder.decode(&publish, RECEIVED, &mut out);
        let names = self.names.read();
        let readings = out.readings.iter().map(|reading| {
            let unit = out.units.iter().find(|unit| unit.metric == reading.metric);
            let unit = unit.map(|unit| format!(" {}", unit.unit)).unwrap_or_default();
            let value = match &reading.value {
                Value::Number(number) => number.to_string(),
                Value::Text(text) => format!("{text:?}"),
            };
            let (device, metric) = (names.device(reading.device), names.metric(reading.metric));
            let before = RECEIVED.as_micros() - reading.at.as_micros();
            format!("{device} {metric}={value}{unit}@{}", before as f64 / 1e6)
        });
        let presence = decoded.told.iter().flat_map(|told| &told.presence);
        let beside = decoded.told.as_deref().cloned().unwrap_or_default();
        Told {
            rebirth: beside.rebirth,
            n_lost: beside.n_lost,
            fault: decoded.fault.clone(),
            readings: readings.collect(),
            presence: presence.map(|(key, is)| (names.device(*key).to_string(), *is)).collect(),
        }
    }
}

fn said(told: &Told) -> Vec<(&str, Presence)> {
    told.presence.iter().map(|(device, presence)| (device.as_str(), *presence)).collect()
}

#[test]
fn from_birth_to_death() {
    let mut session = Session::new(SharedNodes::default());
    let told = session.take("plant/NBIRTH/line1", NODE_BIRTH);
    let expected = ["plant:line1 Inputs.A=1@11", "plant:line1 Supply Voltage=12.5 V@10"];
    assert_eq!(told.readings, expected);
    assert_eq!(said(&told), [("plant:line1", Presence::Online)]);
    assert_eq!((&told.fault, &told.rebirth), (&None, &None));

    let told = session.take("plant/DBIRTH/line1/oven", DEVICE_BIRTH);
    let expected = [
        "plant:line1:oven Temperature=-40 °C@9.999",
        "plant:line1:oven Count=5000000000@9.999",
        "plant:line1:oven State=\"running\"@9.999",
    ];
    assert_eq!(told.readings, expected);
    assert_eq!(
        said(&told),
        [("plant:line1:oven", Presence::Online)],
        "though a part is no reading"
    );
    let fault = told.fault.expect("bytes are no reading");
    assert_eq!(fault.reason, RejectReason::UnsupportedValue);
    assert!(fault.detail.starts_with("\"Recipe\""), "{}", fault.detail);

    let told = session.take("plant/DDATA/line1/oven", DEVICE_DATA);
    let expected = ["plant:line1:oven Temperature=-39@8", "plant:line1:oven State=\"stopped\"@8"];
    assert_eq!((told.readings, told.fault), (expected.map(Into::into).into(), None));

    // What is historical has its time; what is null has no value.
    let told = session.take("plant/NDATA/line1", NODE_DATA);
    let expected = ["plant:line1 Supply Voltage=11.5@70", "plant:line1 Supply Voltage=12.25@7"];
    assert_eq!((told.readings, told.rebirth), (expected.map(Into::into).into(), None));

    let told = session.take("plant/DDEATH/line1/oven", DEVICE_DEATH);
    assert_eq!(said(&told), [("plant:line1:oven", Presence::Offline)]);
    let told = session.take("plant/NDEATH/line1", EARLIER_DEATH);
    assert_eq!((said(&told), &told.fault), (Vec::new(), &None), "of the session before");
    let told = session.take("plant/NDEATH/line1", NODE_DEATH);
    assert_eq!((said(&told), told.readings.len()), (vec![("plant:line1", Presence::Offline)], 0));
}

#[test]
fn a_node_takes_its_devices_with_it() {
    let mut session = Session::new(SharedNodes::default());
    session.take("plant/NBIRTH/line1", NODE_BIRTH);
    session.take("plant/DBIRTH/line1/oven", DEVICE_BIRTH);
    let told = session.take("plant/NDEATH/line1", NODE_DEATH);
    let offline = [("plant:line1", Presence::Offline), ("plant:line1:oven", Presence::Offline)];
    assert_eq!(said(&told), offline);
    let told = session.take("plant/DDATA/line1/oven", DEVICE_DATA);
    let fault = told.fault.map(|fault| fault.reason);
    assert_eq!((told.readings.len(), fault), (0, Some(RejectReason::UnknownAlias)));
    assert_eq!(told.rebirth.as_deref(), Some("spBv1.0/plant/NCMD/line1"));
}

#[test]
fn what_was_lost_is_counted_and_the_node_asked() {
    let mut session = Session::new(SharedNodes::default());
    session.take("plant/NBIRTH/line1", NODE_BIRTH);
    session.take("plant/DBIRTH/line1/oven", DEVICE_BIRTH);
    session.take("plant/DDATA/line1/oven", DEVICE_DATA);
    // 5 instead of 3: what arrived is taken all the same.
    let told = session.take("plant/DDATA/line1/oven", DEVICE_DATA_5);
    assert_eq!(told.readings, ["plant:line1:oven Temperature=-38@6"]);
    assert_eq!(told.n_lost, 2);
    assert_eq!(told.rebirth.as_deref(), Some("spBv1.0/plant/NCMD/line1"));
    let told = session.take("plant/DDATA/line1/oven", DEVICE_DATA_5);
    assert_eq!((told.n_lost, told.rebirth), (0, None), "the same again");
    // The rebirth begins anew.
    let told = session.take("plant/NBIRTH/line1", NODE_BIRTH);
    assert_eq!((told.n_lost, told.rebirth), (0, None));
    let told = session.take("plant/DBIRTH/line1/oven", DEVICE_BIRTH);
    assert_eq!((told.n_lost, told.rebirth), (0, None));
    let told = session.take("plant/DDATA/line1/oven", DEVICE_DATA);
    assert_eq!((told.n_lost, told.readings.len()), (0, 2));
}

#[test]
fn an_alias_that_no_birth_has_told_spoils_only_itself() {
    let mut session = Session::new(SharedNodes::default());
    session.take("plant/NBIRTH/line1", NODE_BIRTH);
    session.take("plant/DBIRTH/line1/oven", DEVICE_BIRTH);
    let told = session.take("plant/DDATA/line1/oven", UNKNOWN_ALIAS);
    assert_eq!(told.readings, ["plant:line1:oven Temperature=-37@5"]);
    let fault = told.fault.expect("one of them");
    assert_eq!(
        (fault.reason, &*fault.detail),
        (RejectReason::UnknownAlias, "no birth has given alias 99 a name")
    );
    assert!(told.rebirth.is_some());
    // A birth without that of its node before it is understood, and the rest is asked for.
    let mut session = Session::new(SharedNodes::default());
    let told = session.take("plant/DBIRTH/line1/oven", DEVICE_BIRTH);
    assert_eq!((told.readings.len(), told.rebirth.is_some()), (3, true));
}

/// *Keep* reads the log when *judge* has gone on, and must understand what *judge* understood.
#[test]
fn who_reads_later_reads_the_same() {
    let nodes = SharedNodes::default();
    let mut judge = Session::new(nodes.clone());
    let log = [
        ("plant/NBIRTH/line1", NODE_BIRTH),
        ("plant/DBIRTH/line1/oven", DEVICE_BIRTH),
        ("plant/DDATA/line1/oven", DEVICE_DATA),
        ("plant/NDEATH/line1", NODE_DEATH),
        ("plant/DDATA/line1/oven", DEVICE_DATA),
        ("plant/NBIRTH/line1", NODE_BIRTH),
        ("plant/DDATA/line1/oven", DEVICE_DATA),
    ];
    let first: Vec<_> = log.iter().map(|(topic, payload)| judge.take(topic, payload)).collect();
    assert_eq!(
        first.iter().map(|told| told.readings.len()).collect::<Vec<_>>(),
        [2, 3, 2, 0, 0, 2, 0]
    );
    // From any place on, and with a snapshot in between.
    for begin in 1..=log.len() {
        nodes.forget_before(LogPosition(begin as u64));
        let mut keep = Session::new(nodes.clone());
        for (index, (topic, payload)) in log.iter().enumerate().skip(begin - 1) {
            let told = keep.take_at(index as u64 + 1, topic, payload);
            assert_eq!(told.readings, first[index].readings, "{topic} from {begin} on");
            assert_eq!(told.presence, first[index].presence, "{topic} from {begin} on");
        }
    }
}

/// Two bytes for each metric: what comes of them must cost about as little.
#[test]
fn a_million_empty_metrics_are_cut_short() {
    let mut session = Session::new(SharedNodes::default());
    let told = session.take("plant/NBIRTH/line1", &"1200".repeat(1_000_000));
    let fault = told.fault.map(|fault| fault.reason);
    assert_eq!((told.readings.len(), fault), (0, Some(RejectReason::TooManyReadings)));
}

#[test]
fn what_is_none_is_refused() {
    let mut session = Session::new(SharedNodes::default());
    let fault = |told: Told| told.fault.map(|fault| fault.reason);
    let malformed = session.take("plant/NDATA/line1", "0affff");
    assert_eq!(fault(malformed), Some(RejectReason::BadSparkplug));
    let topic = session.take("plant/NDATA/line1/oven", NODE_DATA);
    assert_eq!(fault(topic), Some(RejectReason::BadTopic));
    // `uuid` says that the body is compressed.
    let compressed = session.take("plant/NDATA/line1", "221253504256312e305f434f4d50524553534544");
    assert_eq!(fault(compressed), Some(RejectReason::UnsupportedValue));
}
