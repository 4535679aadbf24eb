//! A real machine's eleven weeks and an office's eleven months, with the rules that we ship as examples.

use bellwire_model::{AlertState, Timestamp, Value};

use crate::world::World;

/// A recording with its labelled failures (tests/data/nab/README.md), and rules for it.
struct Recording {
    csv: &'static str,
    device: &'static str,
    rules: &'static str,
    failures: &'static [[&'static str; 2]],
}

const MACHINE: Recording = Recording {
    csv: include_str!("../../../tests/data/nab/machine_temperature_system_failure.csv"),
    device: "machine",
    rules: include_str!("../../../deploy/examples/machine.rules.toml"),
    failures: &[
        ["2013-12-10 06:25:00", "2013-12-12 05:35:00"],
        ["2013-12-15 17:50:00", "2013-12-17 17:00:00"],
        ["2014-01-27 14:20:00", "2014-01-29 13:30:00"],
        ["2014-02-07 14:55:00", "2014-02-09 14:05:00"],
    ],
};

const AMBIENT: Recording = Recording {
    csv: include_str!("../../../tests/data/nab/ambient_temperature_system_failure.csv"),
    device: "office",
    rules: include_str!("../../../deploy/examples/ambient.rules.toml"),
    failures: &[
        ["2013-12-15 07:00:00", "2013-12-30 09:00:00"],
        ["2014-03-29 15:00:00", "2014-04-20 22:00:00"],
    ],
};

/// Reads `2013-12-02 21:15:00` as UTC.
fn time(text: &str) -> Timestamp {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("digits");
    let (year, month, day) = (part(0..4), part(5..7), part(8..10));
    // Days from civil, for months counted from March (Hinnant).
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Timestamp::from_secs(((days * 24 + part(11..13)) * 60 + part(14..16)) * 60 + part(17..19))
}

#[test]
fn times_are_read_right() {
    assert_eq!(time("1970-01-01 00:00:00"), Timestamp::EPOCH);
    assert_eq!(time("2014-02-28 23:59:59"), Timestamp::from_secs(1_393_631_999));
    assert_eq!(time("2016-03-01 00:00:00"), Timestamp::from_secs(1_456_790_400));
}

/// Replays it, `per_second` readings in a second of our time.
fn replay(recording: &Recording, per_second: i64) -> World {
    let mut world = World::new(recording.rules);
    for (n, line) in (0..).zip(recording.csv.lines().skip(1)) {
        let (stamp, value) = line.split_once(',').expect("two columns");
        let value = Value::Number(value.parse().expect("a number"));
        let received_at =
            Timestamp::from_micros(crate::world::START * 1_000_000 + n * 1_000_000 / per_second);
        world.receive(recording.device, time(stamp), received_at, &[("temperature", value)]);
        if n % per_second == 0 {
            world.tick(n / per_second + 1);
        }
    }
    world
}

impl Recording {
    /// In which of the failures something fired, and when it did outside of them.
    fn account(&self, world: &World, rule: Option<&str>) -> (Vec<bool>, Vec<Timestamp>) {
        let fired = world.said.iter().filter(|step| {
            let concerns = rule.is_none_or(|rule| step.alert.rule.as_str() == rule);
            concerns && step.to == AlertState::Firing
        });
        let fired: Vec<Timestamp> = fired.map(|step| step.at).collect();
        let windows: Vec<_> =
            self.failures.iter().map(|[from, to]| time(from)..=time(to)).collect();
        let hits = windows.iter().map(|window| fired.iter().any(|at| window.contains(at)));
        let outside = fired.iter().filter(|at| !windows.iter().any(|it| it.contains(at)));
        (hits.collect(), outside.copied().collect())
    }
}

#[test]
fn the_machines_rules_fire_in_all_its_failures_and_once_outside() {
    let world = replay(&MACHINE, 10_000);
    let stats = world.engine.stats();
    assert_eq!((stats.observations, stats.clock_steps, stats.late), (22_695, 1, 2));
    for rule in ["machine-cold", "machine-stopped"] {
        let account = MACHINE.account(&world, Some(rule));
        assert_eq!(account, (vec![false, true, false, true], vec![]), "{rule}");
    }
    let (hits, outside) = MACHINE.account(&world, None);
    assert_eq!(hits, [true; 4]);
    assert!(outside.len() <= 1, "{outside:?}");
    let last = world.said.last().expect("there were transitions");
    assert_eq!(last.to, AlertState::Resolved, "the machine runs again");
}

#[test]
fn the_offices_rules_fire_in_both_its_failures_and_once_outside() {
    let (hits, outside) = AMBIENT.account(&replay(&AMBIENT, 10_000), None);
    assert_eq!(hits, [true; 2]);
    assert!(outside.len() <= 1, "{outside:?}");
}

/// What history says does not depend on how fast it is replayed, nor on ticks meanwhile.
#[test]
fn any_replay_speed_gives_the_same_history() {
    let said = |world: World| -> Vec<_> {
        world.said.into_iter().map(|t| (t.alert.rule, t.from, t.to, t.at, t.reason)).collect()
    };
    for recording in [MACHINE, AMBIENT] {
        let fast = said(replay(&recording, 10_000));
        assert_eq!(fast, said(replay(&recording, 10)));
        assert_eq!(fast, said(replay(&recording, 1)));
    }
}
