//! Other rules while alerts are open.

use bellwire_model::Severity;

use crate::world::{World, at, numbers};

fn rule(lines: &str) -> String {
    format!("[[rule]]\nname = 'r'\nkeep_firing_for = '5s'\n{lines}\n")
}

/// A firing alert of `v > 5` at 9, second 0.
fn firing() -> World {
    let mut world = World::new(&rule("when = 'v > 5'"));
    world.read("d", 0, &[("v", 9.0)]);
    assert_eq!(world.take(), ["d r inactive>firing @0"]);
    world
}

/// A pending alert of `v > 5 for 10s` at 9, since second 0.
fn pending() -> World {
    let mut world = World::new(&rule("when = 'v > 5'\nfor = '10s'"));
    world.read("d", 0, &[("v", 9.0)]);
    assert_eq!(world.take(), ["d r inactive>pending @0"]);
    world
}

#[test]
fn a_deleted_rule_closes_its_alerts() {
    let mut world = firing();
    world.set_rules(3, "[[rule]]\nname = 'other'\nwhen = 'v > 99'");
    assert_eq!(world.said[0].reason, "the rule was deleted or disabled");
    assert_eq!(world.take(), ["d r firing>resolved @2"], "event time, less the second of grace");
    let mut world = pending();
    world.set_rules(3, "");
    assert_eq!(world.take(), ["d r pending>inactive @2"]);
    assert_eq!(world.open(), Vec::<String>::new());
    assert_eq!(world.engine.next_deadline(), None);
}

#[test]
fn an_alert_of_an_unchanged_rule_goes_on() {
    let mut world = pending();
    world.set_rules(3, &format!("# moved down\n{}", rule("when = '(v) > 5.0'\nfor = '10s'")));
    assert_eq!(world.take(), Vec::<String>::new());
    world.tick(11);
    assert_eq!(world.take(), ["d r pending>firing @10"]);
}

#[test]
fn other_durations_count_from_the_same_beginning() {
    let mut world = pending();
    world.set_rules(3, &rule("when = 'v > 5'\nfor = '4s'"));
    assert_eq!(world.engine.next_deadline(), Some(at(5)));
    world.tick(5);
    assert_eq!(world.take(), ["d r pending>firing @4"]);
}

#[test]
fn another_severity_is_said_within_the_state() {
    let mut world = firing();
    world.set_rules(3, &rule("when = 'v > 5'\nseverity = 'critical'\nsummary = 'now {severity}'"));
    let said = &world.said[0];
    assert_eq!(said.reason, "the rule's severity was warning and is now critical");
    assert_eq!(
        (said.alert.severity, said.alert.summary.as_str()),
        (Severity::Critical, "now critical")
    );
    assert_eq!(world.take(), ["d r firing>firing @2"]);
    assert_eq!(world.open(), ["d r firing"]);
}

#[test]
fn an_alert_that_still_holds_under_another_condition_goes_on() {
    let mut world = firing();
    let id = world.engine.active().next().expect("open").id;
    world.set_rules(3, &rule("when = 'v > 8'"));
    assert_eq!(world.said[0].reason, "the rule was changed and still holds: v 9 > 8");
    assert_eq!(world.said[0].alert.id, id);
    assert_eq!(world.take(), ["d r firing>firing @2"]);
    world.read("d", 4, &[("v", 8.0)]);
    assert_eq!(world.take(), ["d r firing>recovering @4"]);
    world.set_rules(6, &rule("when = 'v > 7'"));
    assert_eq!(world.take(), ["d r recovering>firing @5"]);
}

#[test]
fn a_pending_alert_holds_anew_under_another_condition() {
    let mut world = pending();
    world.set_rules(6, &rule("when = 'v > 8'\nfor = '10s'"));
    assert_eq!(world.take(), ["d r pending>pending @5"]);
    world.tick(15);
    assert_eq!(world.take(), Vec::<String>::new());
    world.tick(16);
    assert_eq!(world.take(), ["d r pending>firing @15"]);
}

#[test]
fn an_alert_that_does_not_hold_under_another_condition_is_closed() {
    let mut world = firing();
    world.set_rules(3, &rule("when = 'v > 10'"));
    assert_eq!(world.said[0].reason, "the rule was changed: v 9 <= 10");
    assert_eq!(world.take(), ["d r firing>resolved @2"]);
    let mut world = pending();
    world.set_rules(3, &rule("when = 'w > 10'\nfor = '10s'"));
    assert_eq!(world.said[0].reason, "the rule was changed: its condition is unknown");
    assert_eq!(world.take(), ["d r pending>inactive @2"]);
}

#[test]
fn an_alert_of_a_device_that_is_no_longer_selected_is_closed() {
    let mut world = firing();
    world.set_rules(3, &rule("when = 'v > 5'\nselect = \"device = 'e'\""));
    assert_eq!(world.said[0].reason, "the rule is no longer for this device");
    assert_eq!(world.take(), ["d r firing>resolved @2"]);
    world.read("d", 4, &[("v", 9.0)]);
    world.read("e", 4, &[("v", 9.0)]);
    assert_eq!(world.take(), ["e r inactive>firing @4"]);
}

/// The last values of metrics that both files use are kept, also for new rules.
#[test]
fn values_outlive_the_rules() {
    let mut world = firing();
    let both = format!("{}[[rule]]\nname = 's'\nwhen = 'v > 5 and w > 5'", rule("when = 'v > 5'"));
    world.set_rules(3, &both);
    world.read("d", 4, &[("w", 9.0)]);
    assert_eq!(world.take(), ["d s inactive>firing @4"]);
}

#[test]
fn history_is_closed_at_its_own_time() {
    let mut world = World::new(&rule("when = 'v > 5'"));
    world.receive("d", at(0), at(100_000), &numbers(&[("v", 9.0)]));
    world.set_rules(200_000, "");
    assert_eq!(world.take(), ["d r inactive>firing @0", "d r firing>resolved @0"]);
}

#[test]
fn open_alerts_are_counted() {
    use bellwire_model::AlertState::{Firing, Recovering, Resolved};
    let mut world = firing();
    assert_eq!(world.engine.stats().open(Firing), 1);
    world.read("d", 1, &[("v", 0.0)]);
    let stats = world.engine.stats();
    assert_eq!((stats.open(Firing), stats.open(Recovering)), (0, 1));
    world.set_rules(2, "");
    let stats = world.engine.stats();
    assert_eq!((stats.open(Recovering), stats.transitions(Resolved)), (0, 1));
}
