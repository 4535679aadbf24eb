//! The metric `online`: whether a device is connected.

use bellwire_alerts::Engine;
use bellwire_model::{DeviceId, LogPosition, MetricName, Names, Presence};

use crate::world::{World, at, numbers};

fn presence(world: &mut World, device: &str, secs: i64, presence: Presence) {
    let id = DeviceId::new(device).expect("a device's name");
    let key = world.names.add_device(&id).expect("room");
    world.names.add_metric(&MetricName::new(Presence::METRIC).expect("a name")).expect("room");
    world.position += 100;
    let moment = (at(secs), LogPosition(world.position));
    world.engine.presence((key, presence), moment, &world.names, &mut world.said);
}

const RULE: &str = "[[rule]]\nname = 'away'\nwhen = 'online = false'\nfor = '10s'";

#[test]
fn a_device_that_goes_is_away_once_that_has_lasted() {
    let mut world = World::new(RULE);
    presence(&mut world, "x", 0, Presence::Online);
    world.read("x", 1, &[("t", 1.0)]);
    presence(&mut world, "x", 5, Presence::Offline);
    assert_eq!(world.take(), ["x away inactive>pending @4"]);
    presence(&mut world, "x", 8, Presence::Online);
    assert_eq!(world.take(), ["x away pending>inactive @7"]);
    presence(&mut world, "x", 20, Presence::Offline);
    world.tick(31);
    assert_eq!(world.take(), ["x away inactive>pending @19", "x away pending>firing @29"]);
    world.tick(40);
    presence(&mut world, "x", 50, Presence::Online);
    assert_eq!(world.take(), ["x away firing>resolved @49"]);
}

#[test]
fn it_does_not_make_what_was_measured_before_late() {
    let rules = format!("{RULE}\n[[rule]]\nname = 'hot'\nwhen = 't > 5'");
    let mut world = World::new(&rules);
    presence(&mut world, "x", 1_000_000, Presence::Online);
    for secs in 0..3 {
        let value = if secs == 1 { 9.0 } else { 1.0 };
        world.receive("x", at(secs), at(1_000_001), &numbers(&[("t", value)]));
    }
    presence(&mut world, "x", 1_000_002, Presence::Offline);
    world.receive("x", at(20), at(1_000_003), &numbers(&[("t", 1.0)]));
    assert_eq!(
        world.take(),
        [
            "x hot inactive>firing @1",
            "x hot firing>resolved @2",
            "x away inactive>pending @2 retroactive",
            "x away pending>firing @12",
        ]
    );
}

#[test]
fn it_is_remembered_for_rules_to_come_and_over_a_restart() {
    let mut world = World::new("[[rule]]\nname = 'hot'\nwhen = 't > 5'");
    world.read("x", 0, &[("t", 1.0)]);
    presence(&mut world, "x", 1, Presence::Offline);
    presence(&mut world, "y", 1, Presence::Offline);
    let mut bytes = Vec::new();
    world.engine.snapshot(&world.names, &mut bytes);
    let mut names = Names::default();
    world.engine = Engine::restore(&bytes, &mut names).expect("just written");
    world.names = names;
    world.set_rules(2, "[[rule]]\nname = 'away'\nwhen = 'online = false and t < 5'");
    world.read("x", 3, &[("t", 1.0)]);
    world.read("y", 3, &[("t", 1.0)]);
    assert_eq!(world.take(), ["x away inactive>firing @3", "y away inactive>firing @3"]);
}

#[test]
fn groups_count_who_is_there() {
    let mut world =
        World::new("[[rule]]\nname = 'many'\nwhen = 'count by () (online = false) >= 2'");
    presence(&mut world, "x", 0, Presence::Online);
    presence(&mut world, "y", 0, Presence::Offline);
    presence(&mut world, "x", 2, Presence::Offline);
    assert_eq!(world.take(), ["{} many inactive>firing @2"]);
    presence(&mut world, "y", 5, Presence::Online);
    assert_eq!(world.take(), ["{} many firing>resolved @5"]);
}
