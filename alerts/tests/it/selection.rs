//! Which rules are for which devices, and what a rule sees of them.

use bellwire_alerts::RuleSet;
use bellwire_model::DeviceId;

use crate::world::World;

const TEXT: &str = r#"
[[labels]]
device = "freezer-*"
set = { kind = "freezer", site = "berlin-1" }

[[labels]]
device = "freezer-9?"
set = { site = "hamburg" }

[[rule]]
name = "cold-chain"
when = "temperature > -15"
select = "kind = 'freezer' and site =~ 'berlin-.*'"

[[rule]]
name = "hamburg"
when = "temperature > -10"
select = "site = 'hamburg' or device = 'oven'"

[[rule]]
name = "open"
when = "motor.speed > 100 or door_open"
"#;

#[test]
fn a_rule_is_for_the_devices_whose_labels_it_selects() {
    let mut world = World::new(TEXT);
    for device in ["freezer-1", "freezer-91", "oven", "mill"] {
        world.read(device, 0, &[("temperature", 0.0), ("door_open", 1.0)]);
    }
    assert_eq!(
        world.open(),
        [
            "freezer-1 cold-chain firing",
            "freezer-1 open firing",
            "freezer-91 hamburg firing",
            "freezer-91 open firing",
            "oven hamburg firing",
            "oven open firing",
            "mill open firing",
        ]
    );
}

#[test]
fn labels_can_be_asked_for() {
    let rules = RuleSet::parse(TEXT).expect("sound rules");
    let labels = rules.said_of(&DeviceId::new("freezer-91").expect("a name"));
    let labels: Vec<_> = labels.iter().collect();
    assert_eq!(labels, [("kind", "freezer"), ("site", "hamburg")]);
}

/// One payload is one instant: its metrics are judged together, once.
#[test]
fn metrics_of_one_observation_are_judged_together() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'a > b'");
    world.read("d", 0, &[("a", 1.0), ("b", 2.0)]);
    world.read("d", 1, &[("a", 3.0), ("b", 4.0)]);
    assert_eq!(world.take(), Vec::<String>::new());
    assert_eq!(world.engine.stats().evaluations, 2);
    world.read("d", 2, &[("b", 1.0)]);
    assert_eq!(world.take(), ["d r inactive>firing @2"]);
}

#[test]
fn what_no_rule_uses_is_not_judged() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'a > 1'\nselect = \"device = 'd'\"");
    world.read("d", 0, &[("b", 2.0), ("c", 2.0)]);
    world.read("e", 0, &[("a", 2.0)]);
    assert_eq!(world.engine.stats().evaluations, 0);
    assert_eq!(world.engine.stats().observations, 2);
}

#[test]
fn an_engine_without_rules_is_silent() {
    let mut world = World::new("");
    world.read("d", 0, &[("a", 2.0)]);
    world.tick(10);
    assert_eq!(world.take(), Vec::<String>::new());
    assert_eq!(world.engine.next_deadline(), None);
}
