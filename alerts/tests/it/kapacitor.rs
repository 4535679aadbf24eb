//! What Kapacitor documents of levels, their resets and flapping (docs.influxdata.com/kapacitor,
//! AlertNode; `alert.go`), row by row.

use bellwire_model::Severity;

use crate::world::World;

/// Feeds `v`, one a second, and gives the level after each: `-`, `i`, `w` or `c`.
fn levels(rule: &str, values: &[f64]) -> String {
    let mut world = World::new(&format!("[[rule]]\nname = 'r'\n{rule}"));
    let mut levels = String::new();
    for (second, value) in (0..).zip(values) {
        world.read("d", second, &[("v", *value)]);
        let alert = world.engine.active().next();
        levels.push(match alert.map(|alert| alert.severity) {
            None => '-',
            Some(Severity::Info) => 'i',
            Some(Severity::Warning) => 'w',
            Some(Severity::Critical) => 'c',
        });
    }
    levels
}

const LEVELS: &str = "levels = { info = 'v > 60', warning = 'v > 70', critical = 'v > 80' }";

/// The example of the documentation: with resets, a level is left only when its reset is true.
const RESETS: &str = "levels = { info = 'v > 60', warning = 'v > 70', critical = 'v > 80' }
clear = { info = 'v < 50', warning = 'v < 60', critical = 'v < 70' }";

#[test]
fn the_highest_level_that_holds_counts_in_both_directions() {
    assert_eq!(levels(LEVELS, &[61.0, 73.0, 64.0, 85.0, 62.0, 56.0, 47.0]), "iwici--");
}

#[test]
fn with_resets_a_level_stays_until_its_own_is_true() {
    assert_eq!(levels(RESETS, &[61.0, 73.0, 64.0, 85.0, 62.0, 56.0, 47.0]), "iwwcii-");
}

#[test]
fn levels_need_not_be_nested() {
    let rule = "levels = { warning = 'v > 70', critical = 'v < 10' }";
    assert_eq!(levels(rule, &[75.0, 5.0, 40.0, 5.0, 75.0]), "wc-cw");
}

#[test]
fn a_change_of_level_is_a_transition_within_the_alert() {
    let mut world = World::new(&format!("[[rule]]\nname = 'r'\n{LEVELS}"));
    for (second, value) in [(0, 61.0), (1, 85.0), (2, 65.0), (3, 10.0)] {
        world.read("d", second, &[("v", value)]);
    }
    let said: Vec<_> = world
        .said
        .iter()
        .map(|step| (step.from.label(), step.to.label(), step.alert.severity.label()))
        .collect();
    assert_eq!(
        said,
        [
            ("inactive", "firing", "info"),
            ("firing", "firing", "critical"),
            ("firing", "firing", "info"),
            ("firing", "resolved", "info"),
        ]
    );
    assert!(world.said.iter().all(|step| step.alert.id == world.said[0].alert.id));
    assert_eq!(world.said[1].reason, "now critical: v 85 > 60 and v 85 > 70 and v 85 > 80");
}

/// Kapacitor has no `for`; here each level must hold for it.
#[test]
fn a_peak_does_not_make_an_alert_critical() {
    let rule = format!("{LEVELS}\nfor = '3s'");
    let values = [75.0, 75.0, 85.0, 75.0, 75.0, 85.0, 85.0, 85.0, 85.0];
    assert_eq!(levels(&rule, &values), "wwwwwwwwc".replacen("www", "iii", 1));
}

#[test]
fn a_level_that_lasts_counts_without_another_reading() {
    let mut world = World::new(&format!("[[rule]]\nname = 'r'\n{LEVELS}\nfor = '10s'"));
    world.read("d", 0, &[("v", 65.0)]);
    world.read("d", 5, &[("v", 85.0)]);
    world.tick(30);
    let said: Vec<_> = world
        .said
        .iter()
        .map(|step| (step.to.label(), step.alert.severity.label(), step.at))
        .collect();
    let at = crate::world::at;
    assert_eq!(
        said,
        [("pending", "info", at(0)), ("firing", "info", at(10)), ("firing", "critical", at(15)),]
    );
}

#[test]
fn while_it_flaps_nothing_is_said() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nflapping = true");
    for second in 0..30 {
        world.read("d", second, &[("v", f64::from(i32::from(second % 2 == 0) * 9))]);
    }
    let n_before = world.said.len();
    assert!(n_before < 14, "{n_before} transitions");
    assert_eq!(world.open(), ["d r firing"]);
    // It calms down, and what it says counts again.
    for second in 30..60 {
        world.read("d", second, &[("v", 0.0)]);
    }
    let last = world.said.last().expect("it resolved");
    assert_eq!((last.to.label(), world.said.len()), ("resolved", n_before + 1));
    assert_eq!(world.open(), Vec::<String>::new());
    let begun = &world.said[n_before - 1];
    assert_eq!(begun.reason, "its condition changes all the time: held while it flaps");
}

#[test]
fn without_the_option_every_change_is_said() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'");
    for second in 0..30 {
        world.read("d", second, &[("v", f64::from(i32::from(second % 2 == 0) * 9))]);
    }
    assert_eq!(world.said.len(), 30);
}
