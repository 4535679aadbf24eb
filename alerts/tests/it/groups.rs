//! Rules about groups of devices.

use bellwire_alerts::{Engine, RuleSet};
use bellwire_model::{Names, Value};

use crate::world::{World, at, numbers};

const LABELS: &str = "
[[labels]]
device = 'b-*'
set = { site = 'berlin' }
[[labels]]
device = 'p-*'
set = { site = 'paris' }
";

fn world(rule: &str) -> World {
    World::new(&format!("{rule}\n{LABELS}"))
}

#[test]
fn each_group_has_an_alert_of_its_own_the_moment_a_reading_comes() {
    let mut world = world(
        "[[rule]]\nname = 'hot'\nwhen = 'avg by (site) (t) > limit'\nparams = { limit = 80 }
         clear = 'avg by (site) (t) < limit - 5'
         summary = '{label:site} ({device}) is at {value}'",
    );
    world.read("b-1", 0, &[("t", 70.0)]);
    world.read("p-1", 0, &[("t", 85.0)]);
    assert_eq!(world.take(), ["{site=\"paris\"} hot inactive>firing @0"]);
    world.read("b-2", 1, &[("t", 91.0)]);
    let said = &world.said[0];
    assert_eq!(said.alert.value, Some(80.5));
    assert_eq!(said.alert.summary, "berlin ({site=\"berlin\"}) is at 80.5");
    assert_eq!(said.reason, "avg by (site) (t) 80.5 > 80");
    assert_eq!(world.take(), ["{site=\"berlin\"} hot inactive>firing @1"]);
    world.read("b-2", 2, &[("t", 82.0)]);
    assert_eq!(world.take(), [""; 0]);
    world.read("b-1", 3, &[("t", 60.0)]);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot firing>resolved @3"]);
    assert_eq!(world.open(), ["{site=\"paris\"} hot firing"]);
}

#[test]
fn devices_are_counted_and_those_without_the_label_are_together() {
    let mut world = world(
        "[[rule]]\nname = 'many'\nwhen = 'count by (site) (t > 80 and on) >= 2'\nfor = '5s'
         [[rule]]\nname = 'all'\nwhen = 'count by () (t > 80) >= 3'",
    );
    world.read("b-1", 0, &[("t", 90.0), ("on", 1.0)]);
    world.read("x", 1, &[("t", 90.0), ("on", 1.0)]);
    world.read("b-2", 2, &[("t", 90.0), ("on", 1.0)]);
    assert_eq!(
        world.take(),
        ["{site=\"berlin\"} many inactive>pending @2", "{} all inactive>firing @2"]
    );
    world.tick(9);
    assert_eq!(world.take(), ["{site=\"berlin\"} many pending>firing @7"]);
    world.read("y", 10, &[("t", 90.0), ("on", 1.0)]);
    assert_eq!(world.take(), ["{site=\"\"} many inactive>pending @10"]);
}

#[test]
fn a_member_that_is_silent_does_not_count() {
    let mut world = world(
        "[[rule]]\nname = 'hot'\nwhen = 'max by (site) (t) > 80'\nmax_gap = '10s'
         [[rule]]\nname = 'quiet'\nwhen = 'count by (site) (absent(t, 20s)) >= 1'
         [[rule]]\nname = 'lost'\nwhen = 'max by (site) (t) > 99'\nmax_gap = '15s'\nno_data = 'alert'",
    );
    world.read("b-1", 0, &[("t", 90.0)]);
    world.read("b-2", 1, &[("t", 70.0)]);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot inactive>firing @0"]);
    world.read("b-2", 9, &[("t", 70.0)]);
    world.tick(13);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot firing>resolved @10"]);
    world.tick(40);
    assert_eq!(
        world.take(),
        [
            "{site=\"berlin\"} quiet inactive>firing @20",
            "{site=\"berlin\"} lost inactive>no_data @24",
        ]
    );
    world.read("b-1", 41, &[("t", 50.0)]);
    world.read("b-2", 41, &[("t", 50.0)]);
    assert_eq!(
        world.take(),
        [
            "{site=\"berlin\"} lost no_data>resolved @41",
            "{site=\"berlin\"} quiet firing>resolved @41",
        ]
    );
}

#[test]
fn a_late_reading_corrects_the_group() {
    let mut world = world("[[rule]]\nname = 'hot'\nwhen = 'avg by (site) (t) > 80'\nfor = '5s'");
    world.read("b-1", 0, &[("t", 90.0)]);
    world.read("b-2", 1, &[("t", 90.0)]);
    world.read("b-1", 8, &[("t", 91.0)]);
    assert_eq!(
        world.take(),
        ["{site=\"berlin\"} hot inactive>pending @0", "{site=\"berlin\"} hot pending>firing @5",]
    );
    world.receive("b-2", at(3), at(9), &numbers(&[("t", 10.0)]));
    assert_eq!(
        world.take(),
        [
            "{site=\"berlin\"} hot firing>pending @5 withdrawn",
            "{site=\"berlin\"} hot pending>inactive @3 retroactive",
        ]
    );
    assert_eq!(world.open(), [""; 0]);
}

#[test]
fn a_clock_that_is_ahead_moves_no_group() {
    let mut world = world("[[rule]]\nname = 'hot'\nwhen = 'max by (site) (t) > 80'\nfor = '30s'");
    world.read("b-1", 0, &[("t", 90.0)]);
    world.receive("b-2", at(100), at(1), &numbers(&[("t", 10.0)]));
    assert_eq!(world.take(), ["{site=\"berlin\"} hot inactive>pending @0"]);
    world.tick(32);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot pending>firing @30"]);
    world.receive("b-3", at(-200), at(33), &numbers(&[("t", 99.0)]));
    world.read("b-1", 34, &[("t", 20.0)]);
    assert_eq!(world.open(), ["{site=\"berlin\"} hot firing"], "b-3 lags behind, but counts");
    world.tick(110);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot firing>resolved @100"]);
}

#[test]
fn other_rules_carry_groups_or_close_them() {
    let rule = |when: &str, more: &str| {
        format!("[[rule]]\nname = 'hot'\nwhen = '{when}'\n{more}\n{LABELS}")
    };
    let mut world = World::new(&rule("avg by (site) (t) > 80", ""));
    world.read("b-1", 0, &[("t", 90.0)]);
    world.read("b-2", 0, &[("t", 94.0)]);
    world.read("p-1", 0, &[("t", 85.0)]);
    world.take();
    world.set_rules(5, &rule("avg by (site) (t) > 80", "severity = 'critical'"));
    assert_eq!(
        world.take(),
        ["{site=\"berlin\"} hot firing>firing @4", "{site=\"paris\"} hot firing>firing @4",]
    );
    world.set_rules(6, &rule("avg by (site) (t) > 91", ""));
    let reasons: Vec<_> = world.said.iter().map(|step| step.reason.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "the rule was changed and still holds: avg by (site) (t) 92 > 91",
            "the rule was changed: avg by (site) (t) 85 <= 91",
        ]
    );
    world.take();
    world.set_rules(7, &rule("avg by (site) (t) > 91", "select = \"device != \'b-2\'\""));
    world.tick(9);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot firing>resolved @7"]);
    world.read("b-1", 10, &[("t", 99.0)]);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot inactive>firing @10"]);
    world.set_rules(11, &rule("t > 200", ""));
    assert_eq!(world.reasons(), ["the rule is no longer for this group"]);
}

#[test]
fn groups_survive_a_restart() {
    let rules = "[[rule]]\nname = 'hot'\nwhen = 'sum by (site) (t) > 80'\nfor = '5s'";
    let mut world = world(rules);
    world.read("b-1", 0, &[("t", 50.0), ("other", 1.0)]);
    world.read("b-2", 1, &[("t", 50.0)]);
    world.take();
    let mut bytes = Vec::new();
    world.engine.snapshot(&world.names, &mut bytes);
    let mut names = Names::default();
    world.engine = Engine::restore(&bytes, &mut names).expect("just written");
    world.names = names;
    assert_eq!(world.open(), ["{site=\"berlin\"} hot pending"]);
    world.tick(8);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot pending>firing @6"]);
    world.receive("b-2", at(9), at(9), &[("t", Value::Number(1.0))]);
    assert_eq!(world.take(), ["{site=\"berlin\"} hot firing>resolved @9"]);
}

#[test]
fn a_big_group_is_looked_at_once_a_second() {
    let mut world = world("[[rule]]\nname = 'hot'\nwhen = 'avg by () (t) > 50'");
    for second in 0..40 {
        for device in 0..500 {
            let number = f64::from(second * 100 + device % 3);
            world.read(&format!("d-{device}"), i64::from(second) / 20, &[("t", number)]);
        }
    }
    world.tick(10);
    assert_eq!(world.open(), ["{} hot firing"]);
}

#[test]
fn what_cannot_be_asked_of_a_group_is_said() {
    for (rule, expected) in [
        ("when = 'avg by (site) (avg(t, 5m)) > 1'", "`t, 5m` is over time, but a group is made of"),
        ("when = 'avg by (site) (t offset 1h) > 1'", "`t offset 1h` is over time"),
        (
            "when = 'avg by (site) (t) > 1 and t > 2'",
            "`t` is of one device, but the rule is of groups",
        ),
        ("when = 't > 2'\nclear = 'avg by () (t) < 1'", "this is of groups, but the rule is of"),
        ("when = 'avg by (a) (t) > min by (b) (t)'", "all groups of a rule must be by the same"),
        ("when = 'count by (site) (t) > 1'", "`count` needs a condition, but `t` is a metric"),
        ("when = 'max by (site) (t > 2) > 1'", "`max` needs a number, but `t > 2` is a condition"),
        ("when = 'mean by (site) (t) > 1'", "`mean` says nothing of a group"),
        ("when = 'avg by (device) (t) > 1'", "each device is a group of its own"),
        ("when = 'avg by () (sum by () (t)) > 1'", "a group within a group"),
        ("when = 'avg by (site) (t, 5m) > 1'", "`avg by` takes one argument, not 2"),
        ("when = 'quantile by (site) (t, 3) > 1'", "3 is not a share from 0 to 1"),
        ("when = 'avg by (site) (t) > 1'\nsummary = '{metric:t}'", "`t` is of one device"),
        (
            "when = 'avg by (site) (t) > 1'\nno_data = 'alert'\nno_data_after = '5m'",
            "a rule of groups has no `no_data_after`",
        ),
        (
            "when = 'avg by (site) (t) > a'\nparams = { a = 1 }
             override = [{ select = \"device = 'x'\", params = { a = 2 } }]",
            "a rule of groups has no `override`",
        ),
    ] {
        let errors = RuleSet::parse(&format!("[[rule]]\nname = 'r'\n{rule}")).expect_err(rule);
        let found = errors[0].to_string();
        assert!(found.contains(expected), "{rule}: {found}");
    }
}
