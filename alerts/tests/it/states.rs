//! The table of states: a character is a second, and a reading or none.
//!
//! `^` 10, `-` 5, `_` 0, `?` a text (so that the condition is unknown), a space is no reading.
//! `P` pending, `F` firing, `R` recovering, `S` resolved, `I` inactive again.

use bellwire_model::{AlertState, Value};

use crate::world::{START, World, at};

/// Runs `input` under a rule with these further lines, once with readings only and once with a
/// tick a second; both must say `expected`, which may go on after the input.
fn check(lines: &str, input: &str, expected: &str) {
    let text = format!("[[rule]]\nname = 'r'\nwhen = 'v > 5'\non_error = 'keep'\n{lines}");
    for ticks in [false, true] {
        let mut world = World::new(&text);
        let end = i64::try_from(input.len()).expect("short");
        for (second, reading) in (0..).zip(input.chars()) {
            let value = match reading {
                '^' => Some(Value::Number(10.0)),
                '-' => Some(Value::Number(5.0)),
                '_' => Some(Value::Number(0.0)),
                '?' => Some(Value::Text("?".into())),
                _ => None,
            };
            if let Some(value) = value {
                world.receive("d", at(second), at(second), &[("v", value)]);
            }
            if ticks {
                world.tick(second);
            }
        }
        if ticks {
            (end..end + 20).for_each(|second| world.tick(second));
        } else {
            // Another metric lets event time pass as well.
            world.read("d", end + 20, &[("other", 1.0)]);
        }
        assert_eq!(marks(&world, expected.len()), expected, "{input} {lines} ticks: {ticks}");
    }
}

fn marks(world: &World, length: usize) -> String {
    let mut marks = vec!['.'; length];
    for transition in &world.said {
        let second = transition.at.as_micros() / 1_000_000 - START;
        let second = usize::try_from(second).expect("after the start");
        let mark = match transition.to {
            AlertState::Pending => 'P',
            AlertState::Firing => 'F',
            AlertState::Recovering => 'R',
            AlertState::Resolved => 'S',
            AlertState::Inactive => 'I',
            AlertState::NoData | AlertState::Error => '!',
        };
        marks.resize(marks.len().max(second + 1), '.');
        assert_eq!(marks[second], '.', "two transitions in second {second}");
        marks[second] = mark;
    }
    marks.into_iter().collect()
}

const FOR: &str = "for = '3s'";
const KEEP: &str = "keep_firing_for = '3s'";
const CLEAR: &str = "clear = 'v < 3'";

/// Prometheus, `rules/alerting.go`: without `for`, an alert is at once firing.
#[test]
fn without_for_it_fires_at_once() {
    check("", "_^^^", ".F..");
    check("", "_^_^_", ".FSFS");
}

/// Prometheus: "the alert is pending until it was active for `for`"; active again, it begins anew.
#[test]
fn it_fires_when_it_has_held_for_the_hold_time() {
    check(FOR, "_^^^^^^", ".P..F..");
    check(FOR, "_^^^_^^", ".P..IP..F");
}

#[test]
fn a_dip_restarts_the_hold_time() {
    check(FOR, "^^_^^^^", "P.IP..F");
    check(FOR, "^^^_", "P..I");
    check(FOR, "^_^_^_", "PIPIPI");
}

/// The end belongs to the hold time: a dip at its very last instant prevents the alert.
#[test]
fn it_must_hold_at_the_end_of_the_hold_time_too() {
    check(FOR, "^^^_", "P..I");
    check(FOR, "^^^^_", "P..FS");
}

/// Between readings the last one counts, so it need not wait for the next to fire.
#[test]
fn it_fires_at_the_exact_time_whatever_the_readings_interval() {
    check(FOR, "^    ^ _", "P..F...S");
    check(FOR, "^    _", "P..F.S");
    check(FOR, "^", "P..F");
}

#[test]
fn a_gap_longer_than_max_gap_breaks_the_run() {
    let rule = "for = '5s'\nmax_gap = '2s'";
    check(rule, "^ ^ ^ ^", "P....F.");
    check(rule, "^ ^  ^ ^ ^ ^", "P...IP....F.");
    check(rule, "^", "P.I");
}

/// Prometheus, `keep_firing_for`: "once the condition that generated the alert clears, the alert
/// keeps firing for this long"; if it comes back, there is one alert and not two.
#[test]
fn it_is_kept_after_clearing() {
    check(KEEP, "^_____", "FR..S.");
    check(KEEP, "^__^____", "FR.FR..S");
    check(KEEP, "^___^", "FR..F");
    check(KEEP, "^____^", "FR..SF");
    check(KEEP, "^_", "FR..S");
}

#[test]
fn a_pending_alert_is_not_kept() {
    check(&format!("{FOR}\n{KEEP}"), "^^_^^^^_", "P.IP..FR..S");
}

/// With a `clear` of its own, nothing changes between the two thresholds.
#[test]
fn between_the_thresholds_the_state_stays() {
    check(CLEAR, "-^--^-_-", ".F....S.");
    check(&format!("{CLEAR}\n{KEEP}"), "^-_-_-", "F.R..S");
    check(&format!("{CLEAR}\n{KEEP}"), "^-_-^", "F.R.F");
    check(&format!("{CLEAR}\n{FOR}"), "^^-^^^^-_", "P.IP..F.S");
}

#[test]
fn unknown_neither_fires_nor_clears() {
    check("", "?^?_?^", ".F.S.F");
    check(CLEAR, "^??", "F..");
    check(KEEP, "^??_?", "F..R..S");
    check(KEEP, "^_???^", "FR..SF");
}

/// An unknown reading takes nothing away from a run, but proves nothing either.
#[test]
fn an_unknown_reading_does_not_break_a_run() {
    check(FOR, "^?^^^", "P..F.");
    check(FOR, "^??_", "P..I");
    check(FOR, "^^^??^", "P..F..");
    check("for = '3s'\nmax_gap = '4s'", "^?", "P...I");
    check("for = '3s'\nmax_gap = '4s'", "^???^", "P..F.");
}

/// Each episode is an alert of its own, with the times of its own.
#[test]
fn an_alert_is_one_episode() {
    let mut world =
        World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nfor = '3s'\nkeep_firing_for = '2s'");
    for (second, value) in [(0, 9.0), (4, 8.0), (5, 1.0), (6, 7.0), (8, 0.0), (20, 9.0)] {
        world.read("d", second, &[("v", value)]);
    }
    let ids: Vec<_> = world.said.iter().map(|transition| transition.alert.id).collect();
    assert!(ids[..6].iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(ids[6], ids[0]);
    let last = &world.said[5].alert;
    assert_eq!(last.state, AlertState::Resolved);
    assert_eq!(last.since, at(0));
    assert_eq!(last.fired_at, Some(at(3)));
    assert_eq!(last.resolved_at, Some(at(10)));
    assert_eq!(last.value, Some(0.0));
}

#[test]
fn transitions_of_one_record_are_numbered() {
    let mut world =
        World::new("[[rule]]\nname = 'a'\nwhen = 'v'\n[[rule]]\nname = 'b'\nwhen = 'v'");
    let one = [("v", Value::Number(1.0))];
    world.receive("d", at(0), at(0), &one);
    world.receive_here("e", at(0), at(0), &one);
    world.receive("f", at(0), at(0), &one);
    let places: Vec<_> = world.said.iter().map(|t| (t.position.0, t.ordinal)).collect();
    assert_eq!(places, [(200, 0), (200, 1), (200, 2), (200, 3), (300, 0), (300, 1)]);
}

#[test]
fn a_condition_may_have_to_come_several_times_in_a_row() {
    let rule = |more: &str| format!("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nrepeat = 3\n{more}");
    let mut world = World::new(&rule(""));
    for (second, value) in [(0, 9.0), (1, 9.0), (2, 1.0), (3, 9.0), (4, 8.0)] {
        world.read("x", second, &[("v", value)]);
    }
    assert_eq!(world.said[0].reason, "v 9 > 5, must come in 3 readings in a row");
    assert_eq!(world.said[1].reason, "v 1 <= 5: did not come in 3 readings in a row");
    assert_eq!(
        world.take(),
        ["x r inactive>pending @0", "x r pending>inactive @2", "x r inactive>pending @3"]
    );
    world.tick(60);
    assert_eq!(world.take(), [""; 0], "time is no reading");
    world.read("x", 61, &[("v", 7.0)]);
    assert_eq!(world.said[0].reason, "v 7 > 5 in 3 readings in a row");
    assert_eq!(world.take(), ["x r pending>firing @61"]);

    let mut both = World::new(&rule("for = '10s'"));
    for second in [0, 4] {
        both.read("x", second, &[("v", 9.0)]);
    }
    both.tick(20);
    both.read("x", 25, &[("v", 9.0)]);
    assert_eq!(both.take(), ["x r inactive>pending @0", "x r pending>firing @25"]);
    for second in [30, 31, 32] {
        both.read("y", second, &[("v", 9.0)]);
    }
    both.tick(50);
    assert_eq!(both.take(), ["y r inactive>pending @30", "y r pending>firing @40"]);
    assert!(bellwire_alerts::RuleSet::parse(&rule("").replace('3', "0")).is_err());
}
