//! What people read: reasons, summaries, values.

use bellwire_model::{Severity, Value};

use crate::world::{World, at};

#[test]
fn reasons_say_what_held_and_for_how_long() {
    let mut world = World::new(
        "[[rule]]\nname = 'hot'\nwhen = 'temperature > limit'\nclear = 'temperature < limit - 2'\n\
         for = '2m'\nkeep_firing_for = '1m'\nparams = { limit = 90 }",
    );
    for (second, value) in
        [(0, 91.25), (60, 80.0), (90, 92.0), (210, 91.2), (240, 85.5), (250, 95.0), (260, 20.0)]
    {
        world.read("oven", second, &[("temperature", value)]);
    }
    world.read("oven", 400, &[("other", 0.0)]);
    assert_eq!(
        world.reasons(),
        [
            "temperature 91.25 > 90, must hold for 2m",
            "temperature 80 <= 90: held for less than 2m",
            "temperature 92 > 90, must hold for 2m",
            "temperature 91.2 > 90 held for 2m",
            "temperature 85.5 < 88, must stay clear for 1m",
            "temperature 95 > 90 again",
            "temperature 20 < 88, must stay clear for 1m",
            "clear for 1m",
        ]
    );
}

#[test]
fn a_summary_is_filled_in() {
    let mut world = World::new(
        "[[labels]]\ndevice = 'f-*'\nset = { site = 'berlin' }\n\
         [[rule]]\nname = 'odd'\nwhen = \"mode = 'defrost' and a - b > 1\"\nseverity = 'info'\n\
         summary = '{device} {rule} {severity} {value} {metric:mode} {metric:motor.speed} \
         {metric:never} {label:site} {label:none}'",
    );
    let mode = ("mode", Value::Text("defrost".into()));
    let number = |name, value| (name, Value::Number(value));
    let values = [mode, number("a", 3.0), number("b", 1.5), number("motor.speed", 0.125)];
    world.receive("f-1", at(0), at(0), &values);
    let transition = &world.said[0];
    assert_eq!(
        transition.alert.summary,
        "f-1 odd info defrost defrost 0.125 unknown berlin unknown"
    );
    assert_eq!(transition.alert.severity, Severity::Info);
    assert_eq!(transition.alert.value, None);
    assert_eq!(transition.reason, "mode = 'defrost' and a - b 1.5 > 1");
}

#[test]
fn the_value_is_the_left_side_of_the_first_comparison() {
    for (when, value) in [
        ("a - b > 1", Some(1.5)),
        ("2 < a and b > 0", Some(3.0)),
        ("not (b > 5)", Some(1.5)),
        ("a", Some(3.0)),
        ("abs(b - a) > 0 or missing", Some(1.5)),
    ] {
        let mut world = World::new(&format!("[[rule]]\nname = 'r'\nwhen = '{when}'"));
        world.read("d", 0, &[("a", 3.0), ("b", 1.5)]);
        assert_eq!(world.said[0].alert.value, value, "{when}");
    }
}

#[test]
fn without_a_summary_there_is_a_plain_one() {
    let mut world = World::new("[[rule]]\nname = 'hot'\nwhen = 'v > 5'");
    world.read("d", 0, &[("v", 6.5)]);
    assert_eq!(world.said[0].alert.summary, "hot on d: 6.5");
}

/// The metrics that a summary shows, and no condition uses, judge nothing.
#[test]
fn a_metric_that_is_only_shown_changes_nothing() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nsummary = '{metric:w}'");
    world.read("d", 0, &[("w", 1.0)]);
    assert_eq!(world.engine.stats().evaluations, 0);
    world.read("d", 1, &[("v", 6.0)]);
    assert_eq!(world.said[0].alert.summary, "1");
}
