//! Conditions that cannot be judged by what is read.

use bellwire_alerts::RuleSet;
use bellwire_model::Value;

use crate::world::{World, at};

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn a_text_where_a_number_is_needed_is_an_error_until_a_number_comes() {
    let mut world = World::new("[[rule]]\nname = 'hot'\nwhen = 't > 80'\nfor = '5s'");
    world.receive("x", at(0), at(0), &[("t", text("unavailable"))]);
    assert_eq!(world.said[0].reason, "t is 'unavailable', a text where a number is needed");
    assert_eq!(world.take(), ["x hot inactive>error @0"]);
    world.receive("x", at(1), at(1), &[("t", text("unavailable"))]);
    assert_eq!(world.take(), [""; 0]);
    world.read("x", 2, &[("t", 20.0)]);
    assert_eq!(world.said[0].reason, "it can be judged again: t 20 <= 80");
    assert_eq!(world.take(), ["x hot error>resolved @2"]);
}

#[test]
fn an_alert_that_there_is_stays_as_it_is() {
    let mut world = World::new("[[rule]]\nname = 'hot'\nwhen = 't > 80 and u < 3'\nfor = '5s'");
    world.read("x", 0, &[("t", 90.0), ("u", 1.0)]);
    world.receive("x", at(1), at(1), &[("u", text("?"))]);
    world.read("x", 6, &[("u", 1.0)]);
    assert_eq!(world.take(), ["x hot inactive>pending @0", "x hot pending>firing @5"]);
    world.receive("x", at(7), at(7), &[("u", text("?"))]);
    assert_eq!(world.take(), [""; 0]);
    assert_eq!(world.open(), ["x hot firing"]);
}

#[test]
fn what_decides_without_the_unsuitable_value_is_no_error() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = \"t > 80 or mode = 'off'\"");
    world.receive("x", at(0), at(0), &[("t", text("?")), ("mode", text("off"))]);
    assert_eq!(world.take(), ["x r inactive>firing @0"]);
    world.receive("x", at(1), at(1), &[("t", Value::Number(1.0)), ("mode", text("on"))]);
    assert_eq!(world.take(), ["x r firing>resolved @1"]);
    world.receive("x", at(2), at(2), &[("t", text("?")), ("mode", Value::Number(3.0))]);
    assert_eq!(world.said[0].reason, "t is '?', a text where a number is needed");
    assert_eq!(world.take(), ["x r inactive>error @2"]);
}

#[test]
fn a_rule_may_keep_silent() {
    let rules = "[[rule]]\nname = 'r'\nwhen = 't > 80'\non_error = 'keep'";
    let mut world = World::new(rules);
    world.receive("x", at(0), at(0), &[("t", text("unavailable"))]);
    world.read("x", 1, &[("t", 90.0)]);
    world.receive("x", at(2), at(2), &[("t", text("unavailable"))]);
    assert_eq!(world.take(), ["x r inactive>firing @1"]);
    let errors = RuleSet::parse(&rules.replace("keep", "kept")).expect_err("no such policy");
    assert!(errors[0].to_string().contains("unknown policy `kept`"), "{}", errors[0]);
}

#[test]
fn one_rule_in_error_stops_no_other() {
    let mut world = World::new(
        "[[rule]]\nname = 'a'\nwhen = 't > 80'\n[[rule]]\nname = 'b'\nwhen = \"t = 'on'\"
         [[rule]]\nname = 'c'\nwhen = 'changes(t, 10s) > 1'",
    );
    world.read("x", 0, &[("t", 90.0)]);
    assert_eq!(world.take(), ["x a inactive>firing @0", "x b inactive>error @0"]);
    world.receive("x", at(1), at(1), &[("t", text("on"))]);
    world.read("x", 2, &[("t", 1.0)]);
    assert_eq!(
        world.take(),
        ["x b error>firing @1", "x a firing>resolved @2", "x c inactive>firing @2"]
    );
}
