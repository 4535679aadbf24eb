//! What Prometheus documents of `for`, `keep_firing_for`, absent series and resolved alerts
//! (prometheus.io/docs/prometheus/latest/configuration/alerting_rules, and `rules/alerting_test.go`),
//! row by row. Where we differ on purpose, the row says so.

use crate::world::{World, at, numbers};

/// `rule` with readings of `v` at these seconds, and a tick each second up to the last.
#[track_caller]
fn check(rule: &str, readings: &[(i64, f64)], expected: &[&str]) {
    let mut world = World::new(&format!("[[rule]]\nname = 'r'\n{rule}"));
    let end = readings.last().map_or(0, |(second, _)| *second) + 2;
    for second in 0..=end {
        for (_, value) in readings.iter().filter(|(at, _)| *at == second) {
            world.read("d", second, &[("v", *value)]);
        }
        world.tick(second);
    }
    let said: Vec<String> =
        world.take().iter().map(|line| line.trim_start_matches("d r ").to_owned()).collect();
    assert_eq!(said, expected, "{rule}");
}

#[test]
fn without_for_an_alert_fires_at_the_first_evaluation() {
    check("when = 'v > 5'", &[(0, 1.0), (1, 9.0)], &["inactive>firing @1"]);
}

#[test]
fn with_for_it_is_pending_until_the_condition_has_held_so_long() {
    let rule = "when = 'v > 5'\nfor = '4s'";
    check(rule, &[(0, 9.0), (2, 9.0), (4, 9.0)], &["inactive>pending @0", "pending>firing @4"]);
}

#[test]
fn a_pending_alert_that_stops_holding_is_inactive_and_never_resolved() {
    let rule = "when = 'v > 5'\nfor = '4s'";
    check(rule, &[(0, 9.0), (2, 1.0)], &["inactive>pending @0", "pending>inactive @2"]);
}

#[test]
fn each_time_it_holds_again_the_time_of_for_begins_anew() {
    let rule = "when = 'v > 5'\nfor = '4s'";
    let readings = [(0, 9.0), (3, 1.0), (4, 9.0), (7, 9.0), (8, 9.0)];
    check(
        rule,
        &readings,
        &["inactive>pending @0", "pending>inactive @3", "inactive>pending @4", "pending>firing @8"],
    );
}

#[test]
fn a_firing_alert_resolves_as_soon_as_the_condition_is_gone() {
    check("when = 'v > 5'", &[(0, 9.0), (3, 1.0)], &["inactive>firing @0", "firing>resolved @3"]);
}

#[test]
fn an_alert_that_comes_again_after_it_resolved_is_another() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'");
    for (second, value) in [(0, 9.0), (1, 1.0), (2, 9.0)] {
        world.read("d", second, &[("v", value)]);
    }
    let ids: Vec<_> = world.said.iter().map(|step| step.alert.id).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
}

#[test]
fn keep_firing_for_keeps_it_after_the_condition_is_gone() {
    check(
        "when = 'v > 5'\nkeep_firing_for = '3s'",
        &[(0, 9.0), (2, 1.0), (6, 1.0)],
        &["inactive>firing @0", "firing>recovering @2", "recovering>resolved @5"],
    );
}

#[test]
fn if_it_holds_again_within_keep_firing_for_it_is_the_same_alert() {
    let rule = "when = 'v > 5'\nkeep_firing_for = '3s'";
    check(
        rule,
        &[(0, 9.0), (2, 1.0), (4, 9.0), (5, 1.0), (9, 1.0)],
        &[
            "inactive>firing @0",
            "firing>recovering @2",
            "recovering>firing @4",
            "firing>recovering @5",
            "recovering>resolved @8",
        ],
    );
}

#[test]
fn keep_firing_for_does_not_keep_a_pending_alert() {
    check(
        "when = 'v > 5'\nfor = '4s'\nkeep_firing_for = '9s'",
        &[(0, 9.0), (2, 1.0)],
        &["inactive>pending @0", "pending>inactive @2"],
    );
}

#[test]
fn for_and_keep_firing_for_work_together() {
    check(
        "when = 'v > 5'\nfor = '2s'\nkeep_firing_for = '2s'",
        &[(0, 9.0), (2, 9.0), (3, 1.0), (4, 9.0), (5, 1.0), (9, 1.0)],
        &[
            "inactive>pending @0",
            "pending>firing @2",
            "firing>recovering @3",
            "recovering>firing @4",
            "firing>recovering @5",
            "recovering>resolved @7",
        ],
    );
}

/// Prometheus: a series is stale after five minutes; a pending alert of it is gone.
#[test]
fn a_series_that_goes_stale_ends_a_pending_alert() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nfor = '4m'\nmax_gap = '5m'");
    world.read("d", 0, &[("v", 9.0)]);
    world.read("d", 1, &[("other", 9.0)]);
    world.tick(200);
    assert_eq!(world.take(), ["d r inactive>pending @0"]);
    // Silence shorter than that counts as holding.
    world.tick(400);
    assert_eq!(world.take(), ["d r pending>firing @240"]);
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nfor = '9m'\nmax_gap = '5m'");
    world.read("d", 0, &[("v", 9.0)]);
    world.tick(400);
    assert_eq!(world.take(), ["d r inactive>pending @0", "d r pending>inactive @300"]);
}

/// Prometheus resolves a firing alert whose series is stale. We do so where the rule says it: by
/// itself, silence is no good news.
#[test]
fn a_firing_alert_whose_series_is_stale_resolves_if_the_rule_says_so() {
    for (no_data, expected) in [
        ("keep", vec!["d r inactive>firing @0"]),
        ("resolve", vec!["d r inactive>firing @0", "d r firing>resolved @300"]),
        ("alert", vec!["d r inactive>firing @0", "d r firing>no_data @300"]),
    ] {
        let mut world =
            World::new(&format!("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nno_data = '{no_data}'"));
        world.read("d", 0, &[("v", 9.0)]);
        world.tick(400);
        assert_eq!(world.take(), expected, "{no_data}");
    }
}

#[test]
fn absent_fires_for_a_metric_that_never_came() {
    for lateness in ["0s", "1m"] {
        let mut world = World::new(&format!(
            "lateness = '{lateness}'\n[[rule]]\nname = 'r'\nwhen = 'absent(beat, 10s)'"
        ));
        world.read("x", 5, &[("other", 1.0)]);
        world.read("x", 9, &[("other", 1.0)]);
        world.tick(30);
        assert_eq!(world.take(), ["x r inactive>firing @15"], "{lateness}");
        // It was known earlier than was thought.
        world.receive("x", at(2), at(31), &numbers(&[("other", 1.0)]));
        world.tick(32);
        let expected: &[&str] = match lateness {
            "0s" => &[],
            _ => &["x r firing>inactive @15 withdrawn", "x r inactive>firing @12 retroactive"],
        };
        assert_eq!(world.take(), expected, "{lateness}");
        world.read("x", 33, &[("beat", 1.0)]);
        assert_eq!(world.take(), ["x r firing>resolved @33"], "{lateness}");
    }
}

#[test]
fn absent_fires_when_there_is_nothing_and_resolves_when_there_is() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'absent(v, 10s)'\nfor = '5s'");
    world.read("d", 0, &[("v", 1.0)]);
    world.tick(30);
    world.read("d", 40, &[("v", 1.0)]);
    assert_eq!(
        world.take(),
        ["d r inactive>pending @10", "d r pending>firing @15", "d r firing>resolved @40"]
    );
}

#[test]
fn a_restart_does_not_lose_the_time_that_a_pending_alert_has_held() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nfor = '10s'");
    world.read("d", 0, &[("v", 9.0)]);
    let mut bytes = Vec::new();
    world.engine.snapshot(&world.names, &mut bytes);
    world.engine = bellwire_alerts::Engine::restore(&bytes, &mut world.names).expect("sound");
    world.read("d", 6, &[("v", 9.0)]);
    world.tick(11);
    assert_eq!(world.take(), ["d r inactive>pending @0", "d r pending>firing @10"]);
}
