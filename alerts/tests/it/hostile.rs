//! Any text as a rule: it is a rule, or an error that points into the file. Never a panic. And rules
//! that ask for too much are refused, or cost no more than others.

use bellwire_alerts::{RuleError, RuleSet};
use bellwire_model::Value;
use proptest::prelude::*;

use crate::world::{World, at, numbers};

/// What is said of a text must point into it and be printable.
fn check(text: &str) {
    let Err(errors) = RuleSet::parse(text) else { return };
    assert!(!errors.is_empty());
    for error in &errors {
        let RuleError { line, column, length, .. } = error;
        let n_lines = text.split('\n').count();
        assert!((1..=n_lines).contains(line), "{error:?} in {text:?}");
        let shown = text.split('\n').nth(line - 1).expect("a line");
        assert!((1..=shown.chars().count() + 1).contains(column), "{error:?} in {text:?}");
        assert!(*length >= 1);
        let rendered = error.render("rules.toml", text);
        assert!(rendered.starts_with("error: ") && rendered.contains("rules.toml"));
        assert!(rendered.lines().count() >= 5, "{rendered}");
    }
}

/// Words of the language in any order.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a", "b", "limit", "last", "abs", "avg", "(", ")", "(", ")", ",", "and", "or", "not", "+",
        "-", "*", "/", "%", ">", ">=", "<", "=", "!=", "=~", "1", "0", "2.5", "5m", "''x''",
        "true", "`m`", "offset", "1h", "quantile", "absent", "age", "zscore", "inside", "distance",
        "{", "}", "{value}", "\\n", "ü", "°",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![words(), "\\PC{0,40}"]
}

proptest! {
    #[test]
    fn any_text_in_any_place_is_a_rule_or_an_error(
        name in value(), when in value(), clear in value(), select in value(), summary in value(),
        active in value(),
    ) {
        for quote in ["\"", "'", "\"\"\"", "'''", "\"\"\"\n"] {
            let close = quote.trim_end();
            check(&format!(
                "[[rule]]\nname = {quote}{name}{close}\nwhen = {quote}{when}{close}\n\
                 clear = {quote}{clear}{close}\nselect = {quote}{select}{close}\n\
                 summary = {quote}{summary}{close}\nparams = {{ limit = 3 }}\n\
                 active = {quote}{active}{close}\n"
            ));
        }
    }

    #[test]
    fn any_text_is_a_file_or_an_error(text in "(\\PC|\n|\"|'|=|\\[|\\]){0,80}") {
        check(&text);
    }
}

#[track_caller]
fn refused(rule: &str, expected: &str) {
    let errors = RuleSet::parse(&format!("[[rule]]\nname = 'r'\n{rule}")).expect_err("too much");
    assert_eq!(errors[0].message, expected);
}

#[test]
fn rules_that_ask_for_too_much_are_refused() {
    let deep = format!("when = '{}a{} > 1'", "(".repeat(70), ")".repeat(70));
    refused(&deep, "nested deeper than 64 levels");
    let long = format!("when = 'a{} > 1'", " + a".repeat(1_000));
    refused(&long, "more than 1000 operators, names and literals");
    refused("when = 'avg(a, 500d) > 1'", "the duration `500d` is longer than 400 days");
    refused("when = 'avg(a, 10ms) > 1'", "the window is shorter than a second");
    refused("when = 'a / 0 > 1'", "`0` is zero");
    refused(
        "when = 'a > 1'\nselect = \"site =~ '(a{1000}){1000}'\"",
        "the pattern needs more than 262144 bytes of memory",
    );
    let corners = format!("when = 'inside(1, 2{})'", ", 1, 2".repeat(100));
    refused(&corners, "`inside` takes three to a hundred corners of two numbers each, not 202");
    let file = RuleSet::parse("lateness = '2h'").expect_err("too much");
    assert_eq!(file[0].message, "`lateness` is more than 1h");
}

/// A rule whose numbers overflow or divide by zero, or that is given texts, is unknown: it says
/// nothing, and the others go on.
#[test]
fn a_rule_that_cannot_be_told_stops_no_other() {
    let mut world = World::new(
        "[[rule]]\nname = 'ratio'\nwhen = 'a / (b - b) > 1'
         [[rule]]\nname = 'power'\nwhen = 'a * 1e300 * 1e300 > 1 or stddev(a, 1m) * 1e308 > 1'
         [[rule]]\nname = 'mean'\nwhen = 'avg(mode, 1m) > 1'
         [[rule]]\nname = 'sound'\nwhen = 'a > 5'",
    );
    for second in 0..20 {
        let mut values = numbers(&[("a", f64::MAX), ("b", 1.0)]);
        values.push(("mode", Value::Text("on".into())));
        world.receive("d", at(second), at(second), &values);
    }
    assert_eq!(world.take(), ["d mean inactive>error @0", "d sound inactive>firing @0"]);
}

/// A device that sends every second reading late on purpose is judged, but not for ever.
#[test]
fn a_device_that_is_late_on_purpose_does_not_take_all_the_time() {
    let mut world = World::new("lateness = '1h'\n[[rule]]\nname = 'r'\nwhen = 'v > 5'");
    let millis =
        |number: i64| bellwire_model::Timestamp::from_millis(crate::world::START * 1_000 + number);
    for number in 0..2_000 {
        let value = numbers(&[("v", 1.0)]);
        world.receive("d", millis(10_000 + number), millis(10_000), &value);
        world.receive("d", millis(9_999 - number), millis(10_000), &value);
    }
    let stats = world.engine.stats();
    assert!(stats.corrected > 200 && stats.late > 1_000, "{stats:?}");
    // In its turn it is judged at once, and a while later it may be late again.
    let value = numbers(&[("v", 9.0)]);
    world.receive("d", millis(13_000), millis(13_000), &value);
    assert_eq!(world.take(), ["d r inactive>firing @13"]);
    world.receive("d", millis(12_500), millis(13_000), &value);
    assert_eq!(
        world.take(),
        ["d r firing>inactive @13 withdrawn", "d r inactive>firing @12.5 retroactive"]
    );
}

/// However many readings one device sends, and however late: what is remembered is bounded.
#[test]
fn a_device_that_sends_without_end_is_not_remembered_without_end() {
    let mut world = World::new(
        "lateness = '1h'\n[[rule]]\nname = 'r'\nwhen = 'avg(v, 400d) > 5 and max(v, 30d) offset 30d > 9'",
    );
    let size_after = |world: &mut World, n: i64| {
        for number in 0..n {
            let instant = bellwire_model::Timestamp::from_millis(
                (crate::world::START * 1_000) + world.position.cast_signed() + number,
            );
            world.receive("d", instant, instant, &numbers(&[("v", 1.0)]));
        }
        let mut bytes = Vec::new();
        world.engine.snapshot(&world.names, &mut bytes);
        bytes.len()
    };
    let first = size_after(&mut world, 10_000);
    let last = size_after(&mut world, 30_000);
    assert!(last < first * 2, "{first} bytes, then {last}");
}
