//! What devices say of themselves: keys that a mapping names are labels, and no readings.

use bellwire_ingest::trial::Trial;

use crate::decode;
use crate::families::hex;

/// `device name=value` of each label.
fn labels(trial: &Trial) -> Vec<String> {
    let all = trial.labels.iter();
    all.map(|(device, (name, value))| format!("{device} {name}={value}")).collect()
}

const JSON: &str = "[[mapping]]
topic = 'birth/{device}'
format = 'json'
labels = ['site', 'info.model', 'rev']";

#[test]
fn keys_of_json_are_labels() {
    let payload = br#"{"site": "wien", "info": {"model": "P7", "n": 1}, "rev": 3, "t": 21.5}"#;
    let (readings, trial) = decode(JSON, "birth/p-1", payload);
    assert_eq!(
        (trial.fault.clone(), labels(&trial)),
        (
            None,
            vec!["p-1 site=wien".to_owned(), "p-1 model=P7".to_owned(), "p-1 rev=3".to_owned(),]
        )
    );
    assert_eq!(readings, ["p-1 info.n=1", "p-1 t=21.5"]);
    // Only labels are enough, and the same keys elsewhere are none.
    let (readings, trial) = decode(JSON, "birth/p-1", br#"{"site": "linz"}"#);
    assert_eq!((readings.len(), trial.fault.clone(), labels(&trial).len()), (0, None, 1));
    let (_, trial) = decode(JSON, "birth/p-1", br#"{"a": {"site": "linz"}}"#);
    assert_eq!(labels(&trial).len(), 0);
}

#[test]
fn keys_of_cbor_are_labels() {
    let mapping = JSON.replace("'json'", "'cbor'");
    let payload = hex("a264696e666fa1656d6f64656c625037617415");
    let (readings, trial) = decode(&mapping, "birth/p-1", &payload);
    assert_eq!((trial.fault.clone(), labels(&trial)), (None, vec!["p-1 model=P7".to_owned()]));
    assert_eq!(readings, ["p-1 t=21"]);
}

#[test]
fn metrics_of_a_birth_of_sparkplug_are_labels() {
    let mapping =
        "[[mapping]]\npreset = 'sparkplug'\nlabels = ['Properties/site', 'Properties/model']";
    let birth = hex(
        "0880d0eab6b733120b0a0562645365712008580312190a0f50726f706572746965732f73697465200c7a047769\
         656e12180a1050726f706572746965732f6d6f64656c200c7a02503712180a0b4d6f746f722f5370656564200a\
         6900000000000029401800",
    );
    let (readings, trial) = decode(mapping, "spBv1.0/plant/NBIRTH/line", &birth);
    let expected = ["plant:line site=wien", "plant:line model=P7"];
    assert_eq!((trial.fault.clone(), labels(&trial)), (None, expected.map(str::to_owned).to_vec()));
    assert_eq!(readings, ["plant:line Motor.Speed=12.5"]);
}

#[test]
fn what_cannot_be_a_label_is_said() {
    let long = format!(r#"{{"site": "{}", "t": 1}}"#, "x".repeat(300));
    let (readings, trial) = decode(JSON, "birth/p-1", long.as_bytes());
    assert!(trial.fault.is_some() || labels(&trial).is_empty(), "{trial:?}");
    assert_eq!(readings, ["p-1 t=1"], "what can be read is stored");
    let (readings, trial) = decode(JSON, "birth/p-1", br#"{"site": [1], "t": 1}"#);
    assert!(trial.fault.is_some(), "{trial:?}");
    assert_eq!(readings, ["p-1 t=1"]);
}
