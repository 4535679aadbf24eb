//! A real machine's eleven weeks, with the rules that we ship as an example.

use bellwire_model::{AlertState, Timestamp, Value};

use crate::world::World;

const RECORDING: &str =
    include_str!("../../../tests/data/nab/machine_temperature_system_failure.csv");
const RULES: &str = include_str!("../../../deploy/examples/machine.rules.toml");

/// The labelled failures in which these rules must fire (tests/data/nab/README.md).
const WINDOWS: [[&str; 2]; 2] = [
    ["2013-12-15 17:50:00", "2013-12-17 17:00:00"],
    ["2014-02-07 14:55:00", "2014-02-09 14:05:00"],
];

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
fn replay(per_second: i64) -> World {
    let mut world = World::new(RULES);
    for (n, line) in (0..).zip(RECORDING.lines().skip(1)) {
        let (stamp, value) = line.split_once(',').expect("two columns");
        let value = Value::Number(value.parse().expect("a number"));
        let received_at =
            Timestamp::from_micros(crate::world::START * 1_000_000 + n * 1_000_000 / per_second);
        world.receive("machine", time(stamp), received_at, &[("temperature", value)]);
        if n % per_second == 0 {
            world.tick(n / per_second + 1);
        }
    }
    world
}

#[test]
fn it_fires_in_the_failures_and_nowhere_else() {
    let world = replay(10_000);
    let stats = world.engine.stats();
    assert_eq!((stats.observations, stats.clock_steps, stats.late), (22_695, 1, 2));
    for rule in ["machine-cold", "machine-stopped"] {
        let fired: Vec<_> = world
            .said
            .iter()
            .filter(|t| t.to == AlertState::Firing && t.alert.rule.as_str() == rule)
            .map(|t| t.at)
            .collect();
        let windows = WINDOWS.map(|[from, to]| time(from)..=time(to));
        for window in &windows {
            assert!(fired.iter().any(|at| window.contains(at)), "{rule} slept in {window:?}");
        }
        for at in &fired {
            assert!(windows.iter().any(|window| window.contains(at)), "{rule} fired at {at}");
        }
    }
    let last = world.said.last().expect("there were transitions");
    assert_eq!(last.to, AlertState::Resolved, "the machine runs again");
}

/// What history says does not depend on how fast it is replayed, nor on ticks meanwhile.
#[test]
fn any_replay_speed_gives_the_same_history() {
    let said = |world: World| -> Vec<_> {
        world.said.into_iter().map(|t| (t.alert.rule, t.from, t.to, t.at, t.reason)).collect()
    };
    let fast = said(replay(10_000));
    assert_eq!(fast, said(replay(10)));
    assert_eq!(fast, said(replay(1)));
}
