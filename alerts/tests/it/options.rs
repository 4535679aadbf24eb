//! What a rule may say beside its conditions: other parameters for some devices, missing data, hours.

use bellwire_alerts::RuleSet;

use crate::world::{START, World};

#[test]
fn parameters_may_be_others_for_some_devices() {
    let mut world = World::new(
        "[[labels]]
device = 'old-*'
set = { age = 'old' }
[[rule]]
name = 'hot'
when = 'v > limit'
params = { limit = 90 }
summary = '{device} is above {param:limit}'
[[rule.override]]
select = \"age = 'old'\"
params = { limit = 70 }
[[rule.override]]
select = \"device = 'old-2'\"
params = { limit = 60 }",
    );
    for device in ["new-1", "old-1", "old-2"] {
        world.read(device, 0, &[("v", 65.0)]);
        world.read(device, 1, &[("v", 75.0)]);
        world.read(device, 2, &[("v", 95.0)]);
    }
    let said: Vec<_> = world.said.iter().map(|step| step.alert.summary.clone()).collect();
    assert_eq!(said, ["new-1 is above 90", "old-1 is above 70", "old-2 is above 60"]);
    let at: Vec<_> =
        world.said.iter().map(|step| step.at.as_micros() / 1_000_000 - START).collect();
    assert_eq!(at, [2, 1, 0], "the last override that fits counts");
}

#[test]
fn an_alert_goes_on_when_its_devices_parameters_change() {
    let rule = |limit: i32| {
        format!(
            "[[rule]]\nname = 'hot'\nwhen = 'v > limit'\nparams = {{ limit = 90 }}\n\
             [[rule.override]]\nselect = \"device = 'd'\"\nparams = {{ limit = {limit} }}"
        )
    };
    let mut world = World::new(&rule(50));
    world.read("d", 0, &[("v", 65.0)]);
    world.set_rules(1, &rule(60));
    world.set_rules(2, &rule(70));
    assert_eq!(
        world.take(),
        ["d hot inactive>firing @0", "d hot firing>firing @0", "d hot firing>resolved @1"]
    );
}

#[test]
fn missing_data_is_said_where_the_rule_wants_it() {
    let mut world = World::new(
        "[[rule]]\nname = 'r'\nwhen = 'a > 5 and b > 5'\nno_data = 'alert'\nno_data_after = '30s'",
    );
    world.read("d", 0, &[("a", 1.0)]);
    world.read("d", 20, &[("b", 1.0)]);
    world.tick(60);
    assert_eq!(world.take(), ["d r inactive>no_data @50"], "30 s after the last of both");
    assert_eq!(world.open(), ["d r no_data"]);
    world.read("d", 70, &[("a", 1.0)]);
    assert_eq!(world.reasons(), ["readings have come again: a 1 <= 5 and b 1 <= 5"]);
    world.read("d", 80, &[("a", 9.0), ("b", 9.0)]);
    world.tick(130);
    world.read("d", 140, &[("a", 9.0)]);
    assert_eq!(
        world.take(),
        ["d r inactive>firing @80", "d r firing>no_data @110", "d r no_data>firing @140"]
    );
}

#[test]
fn a_rule_is_in_force_in_its_hours_only() {
    // The tests begin on 2023-11-14 at 22:13:20 UTC, 23:13:20 in Berlin: 46:40 before midnight.
    let mut world = World::new(
        "[[rule]]\nname = 'r'\nwhen = 'v > 5'\nmax_gap = '10m'\nactive = 'wed 00:00-01:00'\n\
         time_zone = 'Europe/Berlin'",
    );
    let midnight = 46 * 60 + 40;
    for second in (0..midnight + 7_200).step_by(300) {
        world.read("d", second, &[("v", 9.0)]);
        world.tick(second + 299);
    }
    assert_eq!(
        world.take(),
        [
            format!("d r inactive>firing @{midnight}"),
            format!("d r firing>resolved @{}", midnight + 3_600)
        ]
    );
}

/// What was read long before its hours says nothing when they begin.
#[test]
fn a_rules_hours_do_not_wake_old_readings() {
    let mut world = World::new(
        "[[rule]]\nname = 'r'\nwhen = 'v > 5'\nmax_gap = '10m'\nactive = 'wed 00:00-01:00'\n\
         time_zone = 'Europe/Berlin'",
    );
    world.read("d", 0, &[("v", 9.0)]);
    world.tick(4_000);
    assert_eq!(world.take(), Vec::<String>::new());
}

#[track_caller]
fn refused(rule: &str, expected: &[&str]) {
    let text = format!("[[rule]]\nname = 'r'\n{rule}");
    let errors = RuleSet::parse(&text).expect_err("it is wrong");
    let said: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(said, expected, "{rule}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    refused(
        "when = 'v > 1'\nlevels = { warning = 'v > 2' }",
        &["`when` and `levels` exclude each other"],
    );
    refused("levels = {}", &["there is no level"]);
    refused("levels = { bad = 'v > 2' }", &["there is no level", "unknown severity `bad`"]);
    refused("when = 'v > 1'\nno_data = 'alarm'", &["unknown policy `alarm`"]);
    refused(
        "when = 'v > 1'\nno_data_after = '5m'",
        &["`no_data_after` does nothing without `no_data`"],
    );
    refused("when = 'v > 1'\ntime_zone = 'UTC'", &["`time_zone` does nothing without `active`"]);
    refused("when = 'v > 1'\nactive = 'mon 6-7'", &["`6` is no time of day"]);
    refused("when = 'v > 1'\nflapping = { low = 0.6 }", &["`low` is above `high`"]);
    refused(
        "when = 'v > limit'\nparams = { limit = 1 }\n[[rule.override]]\nselect = \"device = 'd'\"\n\
         params = { limt = 2 }",
        &["the rule has no parameter `limt`"],
    );
    refused("when = 'avg(v, 300) > 1'", &["`avg` needs a duration, but `300` is a number"]);
    refused("when = 'age(v) > 300'", &["`300` lacks the unit of a duration"]);
    refused("when = 'age(v) + 1m > 5m'", &["an age can only be compared with a duration"]);
    refused(
        "when = 'inside(1, 2, 3, 4, 5, 6, 7)'",
        &["`inside` takes three to a hundred corners of two numbers each, not 7"],
    );
    refused(
        "when = 'distance(95, 10) > 5'",
        &["95 is not a latitude: it must be from -90 to 90 degrees"],
    );
    refused("when = 'quantile(v, 5m, 95) > 5'", &["95 is not a share from 0 to 1"]);
    refused(
        "when = 'abs(v) offset 5m > 5'",
        &["`offset` is for metrics and windows, not for `abs`"],
    );
}
