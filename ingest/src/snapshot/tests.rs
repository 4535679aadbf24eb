//! Snapshots are read back, found and thinned out.

use bellwire_model::Value;

use super::*;
use crate::log::Replay;
use bellwire_model::{Base, DevicePatch};
use std::sync::Arc;

use crate::nodes::{Session, Table, Term};

const LOG: LogId = LogId(5);
const POLICY: TimePolicy =
    TimePolicy { future_max: Duration::from_secs(7), past_max: Some(Duration::from_secs(86_400)) };

fn terms() -> Terms {
    let mappings = Mappings::parse("[[mapping]]\npreset = 'tasmota'").expect("right");
    Terms { policy: POLICY, mappings: mappings.into() }
}

fn snapshot(position: u64, committed: u64) -> Snapshot {
    let (mut names, mut present) = (Names::default(), Present::default());
    let device = names.add_device(&DeviceId::new("oven").unwrap()).unwrap();
    names.add_metric(&MetricName::new("t").unwrap()).unwrap();
    let value = Value::Text("x".into());
    let unit = Some("Cel".into());
    let latest = Latest { metric: MetricKey(0), at: Timestamp::from_secs(4), value, unit };
    let seen = Timestamp::from_secs(9);
    let mut device_present = DevicePresent::new(seen, seen);
    device_present.latest = vec![latest];
    device_present.clock = Some(SkewEstimator::new(Timestamp::from_secs(4), seen));
    present.restore(device, device_present);
    present.presence(device, Presence::Offline, Timestamp::from_secs(8));
    present.connection(device, Presence::Online);
    let places = Places {
        position: LogPosition(position),
        rebuild_from: LogPosition(position / 2),
        committed: LogPosition(committed),
    };
    let mut snapshot =
        Snapshot::take(LOG, places, &names, &present, (terms(), nodes()), vec![1, 2]);
    snapshot.set_replays(replays());
    snapshot.set_registry(&registry());
    snapshot
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    let oven = DeviceId::new("oven").unwrap();
    let label = |name: &str, value: &str| (name.into(), Some(value.into()));
    let patch = DevicePatch::Put(Base::Kept, vec![label("site", "ü"), label("model", "P7")]);
    registry.patch(&oven, &patch, (LogPosition(7), Timestamp::from_secs(3)));
    registry.born(&oven, (Base::Kept, &[("line".into(), "3".into())]), Timestamp::from_secs(4));
    registry
}

fn replays() -> Replays {
    let replay = Replay {
        seen_at: LogPosition(3),
        place: (LogPosition(2), 1),
        received_at: Timestamp::EPOCH,
        device: None,
        kept: [].into(),
        topic: "t".into(),
        payload: [].into(),
    };
    let mut replays = Replays::default();
    assert!(replays.admit(&replay, LogPosition(4)));
    replays
}

fn nodes() -> BTreeMap<Box<str>, Node> {
    let term = Term { name: "t".into(), datatype: 10 };
    let own = Some(Arc::new(Table::from([(7, term)])));
    let devices = BTreeMap::from([("d".into(), Arc::default())]);
    let session = Session { bd_seq: Some(3), own };
    BTreeMap::from([("g/e".into(), Node { session, devices })])
}

fn newest(snapshots: &Snapshots, position: u64) -> Option<u64> {
    let snapshot = snapshots.newest_up_to(LogPosition(position)).unwrap();
    snapshot.map(|snapshot| snapshot.places().position.0)
}

#[test]
fn what_is_written_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    Snapshots::open(dir.path(), LOG).unwrap().write(&snapshot(100, 90)).unwrap();
    let snapshots = Snapshots::open(dir.path(), LOG).unwrap();
    let back = snapshots.newest_up_to(LogPosition(150)).unwrap().unwrap();
    let (mut names, mut present) = (Names::default(), Present::default());
    assert_eq!(back.places().rebuild_from, LogPosition(50));
    assert_eq!(snapshots.committed(), LogPosition(90));
    let (terms, nodes, replays) = (terms(), nodes(), replays());
    let commands = crate::commands::Commands::default();
    let registry = registry();
    let restored = Restored { rules: vec![1, 2], terms, nodes, replays, commands, registry };
    assert_eq!(back.restore(&mut names, &mut present).unwrap(), restored);
    assert_eq!(names.device_key("oven"), Some(DeviceKey(0)));
    let device = present.device(DeviceKey(0)).unwrap();
    assert_eq!(device.latest[0].value, Value::Text("x".into()));
    assert_eq!(device.latest[0].unit.as_deref(), Some("Cel"));
    assert!(device.is_connected);
    let clock = SkewEstimator::new(Timestamp::from_secs(4), Timestamp::from_secs(9));
    assert_eq!(device.clock, Some(clock));
    assert_eq!(device.presence, Some((Presence::Offline, Timestamp::from_secs(8))));
    assert_eq!(newest(&snapshots, 99), None);
}

#[test]
fn one_from_before_there_were_policies_is_read() {
    let body = postcard::to_stdvec(&snapshot(100, 90)).unwrap();
    let (mut names, mut present) = (Names::default(), Present::default());
    let restored = decode(&body).unwrap().restore(&mut names, &mut present).unwrap();
    assert_eq!(restored.terms, Terms::default());
    assert_eq!(present.device(DeviceKey(0)).unwrap().clock, None);
}

#[test]
fn only_those_that_recovery_may_need_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut snapshots = Snapshots::open(dir.path(), LOG).unwrap();
    assert_eq!(snapshots.floor(), LogPosition(0));
    for (position, committed) in [(10, 0), (20, 5), (30, 25), (40, 25)] {
        snapshots.write(&snapshot(position, committed)).unwrap();
    }
    assert_eq!(snapshots.floor(), LogPosition(10), "half of 20, the newest not above 25");
    assert_eq!((newest(&snapshots, 19), newest(&snapshots, 25)), (None, Some(20)));
    (5..60).for_each(|n| snapshots.write(&snapshot(n * 10, 25)).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), SPARE_MAX + 1);
    assert_eq!((newest(&snapshots, 25), newest(&snapshots, 999)), (Some(20), Some(590)));
}

#[test]
fn one_that_was_not_renamed_yet_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut snapshots = Snapshots::open(dir.path(), LOG).unwrap();
    snapshots.write(&snapshot(10, 0)).unwrap();
    snapshots.write(&snapshot(20, 0)).unwrap();
    let path = snapshots.path(LogPosition(20));
    fs::rename(&path, path.with_extension("tmp")).unwrap();
    let snapshots = Snapshots::open(dir.path(), LOG).unwrap();
    assert_eq!(newest(&snapshots, 99), Some(10));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn one_that_cannot_be_read_now_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("{:020}.snapshot", 10));
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let error = Snapshots::open(dir.path(), LOG).expect_err("it may be needed");
    assert!(matches!(error, SnapshotError::Io { .. }), "{error}");
    assert!(path.symlink_metadata().is_ok(), "it is still there");
}

#[test]
fn damaged_and_foreign_ones_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut snapshots = Snapshots::open(dir.path(), LOG).unwrap();
    snapshots.write(&snapshot(10, 0)).unwrap();
    snapshots.write(&snapshot(20, 0)).unwrap();
    let path = snapshots.path(LogPosition(20));
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(newest(&Snapshots::open(dir.path(), LOG).unwrap(), 99), Some(10));
    assert_eq!(newest(&Snapshots::open(dir.path(), LogId(6)).unwrap(), 99), None);
}
