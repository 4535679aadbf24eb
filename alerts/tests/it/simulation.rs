//! Many seeded histories against the slow reference, and against what must hold of any history.

use std::collections::BTreeMap;

use bellwire_model::{AlertState, Timestamp, Value};

use crate::reference::{RefRule, RefTiming, Step, Values, history};
use crate::rng::{Rng, for_seeds};
use crate::world::{START, World, at};

fn number(values: &Values, name: &str) -> Option<f64> {
    values.get(name).copied().flatten()
}

fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

const RULES: [RefRule; 3] = [
    RefRule {
        when: |v| number(v, "a").map(|a| a > 5.0),
        clear: |v| number(v, "a").map(|a| a <= 5.0),
        metrics: &["a"],
        text: "when = 'a > 5'\non_error = 'keep'",
    },
    RefRule {
        when: |v| number(v, "a").map(|a| a > 5.0),
        clear: |v| number(v, "a").map(|a| a < 3.0),
        metrics: &["a"],
        text: "when = 'a > 5'\nclear = 'a < 3'\non_error = 'keep'",
    },
    RefRule {
        when: |v| or(number(v, "a").map(|a| a > 8.0), number(v, "b").map(|b| b > 6.0)),
        clear: |v| or(number(v, "a").map(|a| a > 8.0), number(v, "b").map(|b| b > 6.0)).map(|t| !t),
        metrics: &["a", "b"],
        text: "when = 'a > 8 or b > 6'\non_error = 'keep'",
    },
];

const DEVICES: [&str; 3] = ["x", "y", "z"];
/// After the last reading, each device says something else, so that all that is due happens.
const QUIET: i64 = 300;

/// Readings of one device in order of arrival.
type Readings = Vec<(i64, Values)>;

struct History {
    timing: RefTiming,
    devices: BTreeMap<&'static str, Readings>,
    end: i64,
}

fn generate(rng: &mut Rng) -> History {
    let hold = rng.pick(&[0, 0, 1, 3, 10]);
    let gap = rng.pick(&[2, 5, 12, 40]);
    let timing = RefTiming { hold, keep: rng.pick(&[0, 0, 2, 7]), gap };
    let length = 20 + rng.below(60);
    let mut devices = BTreeMap::new();
    for device in DEVICES {
        let mut readings = Readings::new();
        let mut second = rng.below(3);
        // Some devices dwell on a value, others jump.
        let stay = 1 + rng.below(5);
        let mut values = Values::new();
        while second < length {
            if rng.one_in(stay) || values.is_empty() {
                values = random_values(rng);
            }
            readings.push((second, values.clone()));
            second += rng.pick(&[0, 1, 1, 1, 2, 2, 6, 13]);
        }
        devices.insert(device, readings);
    }
    History { timing, devices, end: length }
}

fn random_values(rng: &mut Rng) -> Values {
    let mut values = Values::new();
    for &name in rng.pick(&[&["a", "b"][..], &["a"], &["a"], &["b"], &["c"]]) {
        let number = f64::from(i32::try_from(rng.below(11)).expect("small"));
        values.insert(name, (!rng.one_in(8)).then_some(number));
    }
    values
}

fn rules_text(timing: RefTiming) -> String {
    let RefTiming { hold, keep, gap } = timing;
    let rules: String = (0..)
        .zip(&RULES)
        .map(|(n, rule)| {
            format!(
                "[[rule]]\nname = 'r{n}'\nfor = '{hold}s'\nkeep_firing_for = '{keep}s'\n\
                 max_gap = '{gap}s'\n{}\n",
                rule.text
            )
        })
        .collect();
    // The reference takes readings as they come.
    format!("lateness = '0s'\n{rules}")
}

/// How readings come to the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// As they are made, with up to 0.9 s on the way, and a tick each second.
    Live,
    /// A year later, as fast as can be.
    Historical,
}

fn run(history: &History, mode: Mode, rng: &mut Rng) -> World {
    let mut world = World::new(&rules_text(history.timing));
    let last = history.end + QUIET;
    let mut next: BTreeMap<&str, usize> = DEVICES.map(|device| (device, 0)).into();
    for second in 0..=last {
        for device in DEVICES {
            let delay = rng.below(900);
            let readings = &history.devices[device];
            let index = next.get_mut(device).expect("known");
            while let Some((_, values)) = readings.get(*index).filter(|(at, _)| *at == second) {
                *index += 1;
                send(&mut world, device, second, delay, mode, values);
                if rng.one_in(6) && second > 0 {
                    let late = second - 1 - rng.below(second.min(30));
                    send(
                        &mut world,
                        device,
                        late,
                        (second - late) * 1_000 + delay,
                        mode,
                        &random_values(rng),
                    );
                }
            }
            if second == last {
                send(&mut world, device, second, delay, mode, &Values::from([("c", Some(0.0))]));
            }
        }
        if mode == Mode::Live {
            world.tick(second + 1);
        }
    }
    world
}

fn send(world: &mut World, device: &str, second: i64, delay: i64, mode: Mode, values: &Values) {
    let values: Vec<_> = values
        .iter()
        .map(|(name, number)| {
            (*name, number.map_or_else(|| Value::Text("off".into()), Value::Number))
        })
        .collect();
    let received_at = match mode {
        Mode::Live => Timestamp::from_millis((START + second) * 1_000 + delay),
        Mode::Historical => at(366 * 86_400),
    };
    world.receive(device, at(second), received_at, &values);
}

fn steps(world: &World, device: &str, rule: &str) -> Vec<Step> {
    world
        .said
        .iter()
        .filter(|t| t.alert.device.as_str() == device && t.alert.rule.as_str() == rule)
        .map(|t| (t.from, t.to, t.at.as_micros() / 1_000_000 - START))
        .collect()
}

#[test]
fn the_engine_says_what_the_reference_says() {
    for_seeds(500, |seed| {
        let mut rng = Rng::new(seed);
        let made = generate(&mut rng);
        for mode in [Mode::Live, Mode::Historical] {
            let world = run(&made, mode, &mut rng);
            for device in DEVICES {
                for (n, rule) in (0..).zip(&RULES) {
                    let expected =
                        history(rule, made.timing, &made.devices[device], made.end + QUIET);
                    assert_eq!(
                        steps(&world, device, &format!("r{n}")),
                        expected,
                        "seed {seed}, {mode:?}, {device}, r{n}, {:?}, {:?}",
                        made.timing,
                        made.devices[device]
                    );
                }
            }
        }
    });
}

/// Safety: nothing fires before it has held. Liveness: what has held has fired. Both stated of
/// rule r0 by its readings alone.
#[test]
fn it_fires_if_and_only_if_it_has_held() {
    for_seeds(500, |seed| {
        let mut rng = Rng::new(seed);
        let made = generate(&mut rng);
        let world = run(&made, Mode::Live, &mut rng);
        for device in DEVICES {
            let shown: Vec<(i64, Option<bool>)> = made.devices[device]
                .iter()
                .filter(|(_, values)| values.contains_key("a"))
                .map(|(at, values)| (*at, (RULES[0].when)(values)))
                .collect();
            let steps = steps(&world, device, "r0");
            safety(seed, made.timing, &shown, &steps);
            liveness(seed, made.timing, &shown, &steps);
        }
    });
}

fn safety(seed: u64, timing: RefTiming, shown: &[(i64, Option<bool>)], steps: &[Step]) {
    for pair in steps.windows(2) {
        let [(_, AlertState::Pending, since), (_, AlertState::Firing, fired)] = pair else {
            continue;
        };
        assert!(fired - since >= timing.hold, "seed {seed}: {since} to {fired}");
        // Readings of the first instant that came before the one that began it do not count.
        let inside = shown.iter().filter(|(at, _)| since < at && at < fired);
        for (at, when) in inside {
            assert_ne!(*when, Some(false), "seed {seed}: not held at {at}, fired at {fired}");
        }
    }
}

fn liveness(seed: u64, timing: RefTiming, shown: &[(i64, Option<bool>)], steps: &[Step]) {
    for (n, (start, _)) in shown.iter().enumerate() {
        let run: Vec<i64> = shown[n..]
            .iter()
            .take_while(|(_, when)| *when == Some(true))
            .map(|(at, _)| *at)
            .collect();
        let dense = run.windows(2).all(|pair| pair[1] - pair[0] <= timing.gap);
        let proven = start + timing.hold;
        // Held through `proven`, by a reading after it or at it.
        if !dense || run.last().is_none_or(|last| *last <= proven) {
            continue;
        }
        let state = steps.iter().rfind(|(_, _, at)| *at <= proven).map(|(_, to, _)| *to);
        assert_eq!(state, Some(AlertState::Firing), "seed {seed}: held {start} to {proven}");
    }
}
