//! Event time: late readings, clocks that step, ticks, restarts.

use bellwire_model::Value;

use crate::world::{World, at, numbers};

const HOLD: &str = "[[rule]]\nname = 'r'\nwhen = 'v > 5'\nfor = '10s'";

#[test]
fn a_reading_that_comes_too_late_changes_nothing_and_is_counted() {
    let mut world = World::new(&format!("lateness = '3s'\n{HOLD}"));
    world.read("d", 0, &[("v", 9.0)]);
    world.read("d", 8, &[("v", 9.0)]);
    world.receive("d", at(4), at(9), &numbers(&[("v", 0.0)]));
    world.read("d", 10, &[("v", 9.0)]);
    assert_eq!(world.take(), ["d r inactive>pending @0", "d r pending>firing @10"]);
    assert_eq!(world.engine.stats().late, 1);
}

#[test]
fn readings_of_one_instant_count_in_an_order_of_their_own() {
    for values in [[9.0, 1.0, 9.0], [1.0, 9.0, 1.0], [9.0, 9.0, 1.0]] {
        let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'");
        for value in values {
            world.read("d", 0, &[("v", value)]);
        }
        assert_eq!(world.take(), ["d r inactive>firing @0"], "{values:?}");
    }
}

/// As the machine recording does: 55 minutes back, a reading every five minutes.
#[test]
fn a_stepped_clock_begins_the_hold_time_anew_and_says_so() {
    let mut world =
        World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'\nfor = '15m'\nmax_gap = '10m'");
    let minutes = [0, 5, 10, -45, -40, -35, -30, -25, -20];
    for (n, minute) in (0..).zip(minutes) {
        world.receive("d", at(minute * 60), at(n * 300), &numbers(&[("v", 9.0)]));
    }
    assert_eq!(world.engine.stats().clock_steps, 1);
    let fired = world.said.pop().expect("it fired");
    assert_eq!(fired.at, at(-35 * 60 + 15 * 60));
    assert_eq!(fired.alert.since, at(-35 * 60));
    assert_eq!(fired.reason, "v 9 > 5 held for 15m; the device's clock stepped back by 45m");
    assert_eq!(world.take(), ["d r inactive>pending @0"]);
}

#[test]
fn a_firing_alert_outlives_a_stepped_clock() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'");
    for (n, minute) in (0..).zip([0, -60, -55, -50]) {
        world.receive("d", at(minute * 60), at(n), &numbers(&[("v", 9.0)]));
    }
    world.receive("d", at(-49 * 60), at(5), &numbers(&[("v", 0.0)]));
    assert_eq!(world.take(), ["d r inactive>firing @0", "d r firing>resolved @-2940"]);
}

#[test]
fn a_tick_fires_what_is_due_one_second_after_it() {
    let mut world = World::new(HOLD);
    world.read("d", 0, &[("v", 9.0)]);
    assert_eq!(world.engine.next_deadline(), Some(at(11)));
    world.tick(10);
    assert_eq!(world.take(), ["d r inactive>pending @0"]);
    world.tick(11);
    assert_eq!(world.take(), ["d r pending>firing @10"]);
    assert_eq!(world.engine.next_deadline(), None);
}

/// A device that repeats its history, or whose clock is far off, is not moved by our clock.
#[test]
fn ticks_do_not_move_history() {
    let mut world = World::new(HOLD);
    world.receive("d", at(0), at(301), &numbers(&[("v", 9.0)]));
    assert_eq!(world.engine.next_deadline(), None);
    world.tick(10_000);
    assert_eq!(world.take(), ["d r inactive>pending @0"]);
    world.receive("d", at(11), at(10_001), &numbers(&[("v", 0.0)]));
    assert_eq!(world.take(), ["d r pending>firing @10", "d r firing>resolved @11"]);
}

/// Readings that were sent while we were down are still to come: our absence is not silence.
#[test]
fn time_while_we_were_down_does_not_count() {
    let mut world = World::new(HOLD);
    world.read("d", 0, &[("v", 9.0)]);
    world.tick(5);
    world.engine.started(at(105));
    assert_eq!(world.engine.next_deadline(), Some(at(111)));
    world.tick(106);
    world.receive("d", at(7), at(107), &numbers(&[("v", 0.0)]));
    world.tick(120);
    assert_eq!(world.take(), ["d r inactive>pending @0", "d r pending>inactive @7"]);
}

/// A tick decided while the reading that says otherwise was on its way for longer than a second.
#[test]
fn what_a_tick_decided_too_early_is_taken_back() {
    let mut world = World::new(HOLD);
    world.read("d", 0, &[("v", 9.0)]);
    world.tick(12);
    world.receive("d", at(9), at(13), &numbers(&[("v", 0.0)]));
    assert_eq!(
        world.take(),
        [
            "d r inactive>pending @0",
            "d r pending>firing @10",
            "d r firing>pending @10 withdrawn",
            "d r pending>inactive @9 retroactive",
        ]
    );
    assert_eq!(world.engine.stats().corrected, 0, "it was in its turn");
}

#[test]
fn a_tick_serves_devices_in_the_order_of_their_names() {
    let mut world = World::new(HOLD);
    for device in ["b", "c", "a"] {
        world.read(device, 0, &[("v", 9.0)]);
    }
    world.take();
    world.tick(30);
    assert_eq!(
        world.take(),
        ["a r pending>firing @10", "b r pending>firing @10", "c r pending>firing @10"]
    );
}

#[test]
fn extreme_times_and_values_do_no_harm() {
    let mut world = World::new(&format!("{HOLD}\nkeep_firing_for = '400d'\nmax_gap = '400d'"));
    let instants = [0, i64::MAX / 1_000_000, i64::MIN / 1_000_000, -1, i64::MAX / 1_000_000];
    for (n, secs) in (0..).zip(instants) {
        let instant = bellwire_model::Timestamp::from_secs(secs);
        for value in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.0] {
            world.receive("d", instant, at(n), &[("v", Value::Number(value))]);
        }
        world.tick(n);
    }
    assert!(!world.said.is_empty());
}

#[test]
fn what_was_measured_long_ago_is_marked() {
    let mut world = World::new("[[rule]]\nname = 'r'\nwhen = 'v > 5'");
    world.receive("x", at(0), at(301), &numbers(&[("v", 9.0)]));
    world.receive("x", at(250), at(302), &numbers(&[("v", 1.0)]));
    world.receive("y", at(301), at(303), &numbers(&[("v", 9.0)]));
    let marks: Vec<_> = world.said.iter().map(|step| step.historical).collect();
    assert_eq!(marks, [true, false, false]);
}
