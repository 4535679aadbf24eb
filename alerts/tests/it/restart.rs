//! A snapshot at any point, and the rest of the log, say what an undisturbed run says.

use bellwire_alerts::{Engine, SnapshotError};
use bellwire_model::{DeviceId, MetricName, Names, Timestamp, Transition, Value};

use crate::rng::{Rng, for_seeds};
use crate::world::{World, at, rules};

const RULES: [&str; 3] = [
    "[[labels]]\ndevice = 'd*'\nset = { kind = 'd' }\n\
     [[rule]]\nname = 'p'\nwhen = 'a > 5'\nfor = '3s'\nkeep_firing_for = '4s'\nmax_gap = '8s'\n\
     [[rule]]\nname = 'q'\nwhen = \"mode = 'on' and a > 2\"\nclear = 'a < 1'\nseverity = 'critical'\n\
     [[rule]]\nname = 's'\nwhen = 'b > 5'\nselect = \"kind = 'd'\"\nfor = '5s'\nsummary = '{metric:a}'",
    "[[rule]]\nname = 'p'\nwhen = 'a > 4'\nfor = '2s'\nkeep_firing_for = '4s'\n\
     [[rule]]\nname = 's'\nwhen = 'b > 5'\nfor = '6s'\nseverity = 'info'\nsummary = '{metric:a}'",
    "",
];

/// One call that the engine gets.
#[derive(Clone, Debug)]
enum Call {
    Rules(i64, &'static str),
    Read { device: &'static str, at: i64, received: i64, values: Vec<(&'static str, Value)> },
    Tick(i64),
    Started(i64),
}

fn generate(rng: &mut Rng) -> Vec<Call> {
    let mut calls = vec![Call::Rules(0, RULES[0])];
    let mut now = 0;
    let mut clock_offset = 0;
    for _ in 0..120 {
        now += rng.below(3);
        let call = match rng.below(40) {
            0 => Call::Rules(now, rng.pick(&RULES)),
            1 => {
                now += 20;
                Call::Started(now)
            }
            2 => {
                clock_offset = rng.pick(&[0, -1_000, 5, -3]);
                Call::Tick(now)
            }
            3..10 => Call::Tick(now),
            _ => Call::Read {
                device: rng.pick(&["d1", "d2", "e"]),
                at: now + clock_offset * i64::from(rng.one_in(2)) - rng.below(4) * 60,
                received: now,
                values: values(rng),
            },
        };
        calls.push(call);
    }
    calls
}

fn values(rng: &mut Rng) -> Vec<(&'static str, Value)> {
    let mut values = Vec::new();
    for name in ["a", "b"] {
        if rng.one_in(2) {
            let number = f64::from(i32::try_from(rng.below(10)).expect("small"));
            values.push((name, Value::Number(number)));
        }
    }
    if rng.one_in(3) {
        let text: &str = rng.pick(&["on", "off"]);
        values.push(("mode", Value::Text(text.into())));
    }
    values
}

fn call(world: &mut World, call: &Call) {
    match call {
        Call::Rules(now, text) => world.set_rules(*now, text),
        Call::Read { device, at: instant, received, values } => {
            world.receive(device, at(*instant), at(*received), values);
        }
        Call::Tick(now) => world.tick(*now),
        Call::Started(now) => world.engine.started(at(*now)),
    }
}

/// The engine as another process would restore it, where names have other keys.
fn restart(world: &mut World) {
    let mut bytes = Vec::new();
    world.engine.snapshot(&world.names, &mut bytes);
    let mut names = Names::default();
    for name in ["zz", "e", "d2"] {
        names.add_device(&DeviceId::new(name).expect("a name"));
    }
    for name in ["mode", "unused", "b"] {
        names.add_metric(&MetricName::new(name).expect("a name"));
    }
    let engine = Engine::restore(&bytes, &mut names).expect("just written");
    assert_eq!(engine.next_deadline(), world.engine.next_deadline());
    let alerts = |engine: &Engine| {
        let mut alerts: Vec<_> = engine.active().map(|alert| format!("{alert:?}")).collect();
        alerts.sort();
        alerts
    };
    assert_eq!(alerts(&engine), alerts(&world.engine));
    let mut again = Vec::new();
    engine.snapshot(&names, &mut again);
    assert_eq!(again.len(), bytes.len());
    world.engine = engine;
    world.names = names;
}

fn run(calls: &[Call], mut after_each: impl FnMut(&mut World)) -> Vec<Transition> {
    let mut world = World::new("");
    for each in calls {
        call(&mut world, each);
        after_each(&mut world);
    }
    world.said
}

#[test]
fn a_restart_changes_nothing() {
    for_seeds(300, |seed| {
        let mut rng = Rng::new(seed);
        let calls = generate(&mut rng);
        let undisturbed = run(&calls, |_| {});
        let restarted = run(&calls, |world| {
            if rng.one_in(8) {
                restart(world);
            }
        });
        for (n, (whole, cut)) in undisturbed.iter().zip(&restarted).enumerate() {
            assert_eq!(whole, cut, "seed {seed}, transition {n}");
        }
        assert_eq!(undisturbed.len(), restarted.len(), "seed {seed}");
    });
}

/// The histories above are worth nothing if nothing happens in them.
#[test]
fn the_histories_reach_every_state() {
    let mut reached = std::collections::BTreeSet::new();
    let (mut late, mut steps) = (0, 0);
    for seed in 0..50 {
        let mut world = World::new("");
        for each in generate(&mut Rng::new(seed)) {
            call(&mut world, &each);
        }
        reached.extend(world.said.iter().map(|t| (t.from.label(), t.to.label())));
        late += world.engine.stats().late;
        steps += world.engine.stats().clock_steps;
    }
    for edge in [
        ("inactive", "pending"),
        ("pending", "firing"),
        ("pending", "inactive"),
        ("inactive", "firing"),
        ("firing", "recovering"),
        ("recovering", "firing"),
        ("recovering", "resolved"),
        ("firing", "resolved"),
        ("firing", "firing"),
    ] {
        assert!(reached.contains(&edge), "{edge:?} is not among {reached:?}");
    }
    assert!(late > 0 && steps > 0, "{late} late, {steps} steps");
}

#[test]
fn a_snapshot_inside_a_record_goes_on_counting() {
    let two = "[[rule]]\nname = 'r'\nwhen = 'a'";
    let one = [("a", Value::Number(1.0))];
    let mut world = World::new(two);
    world.receive("d1", at(0), at(0), &one);
    restart(&mut world);
    world.receive_here("d2", at(0), at(0), &one);
    let ordinals: Vec<_> = world.said.iter().map(|t| t.ordinal).collect();
    assert_eq!(ordinals, [0, 1]);
}

/// Ticks had come further than the reading behind them, with which everything was settled.
#[test]
fn a_restart_changes_nothing_after_other_labels_and_a_reading_of_the_very_instant() {
    let mut world = World::new(
        "[[rule]]\nname = 'r'\nwhen = 'a > 2'\nkeep_firing_for = '3s'\n\
         [[rule]]\nname = 's'\nwhen = 'a > 8'\nno_data = 'alert'\nno_data_after = '15s'\n",
    );
    world.read("d", 23, &[("a", 6.0)]);
    world.tick(43);
    world.relabel("d", 44, &[("site", "x")]);
    world.receive("d", at(38), at(47), &[("a", Value::Number(1.0))]);
    let open = world.open();
    assert_eq!(open, ["d r recovering"]);
    world.restart();
    assert_eq!(world.open(), open);
}

#[test]
fn damaged_snapshots_are_refused() {
    let mut world = World::new(RULES[0]);
    world.read("d1", 0, &[("a", 9.0), ("b", 9.0)]);
    let mut bytes = Vec::new();
    world.engine.snapshot(&world.names, &mut bytes);
    for length in 0..bytes.len() {
        assert!(Engine::restore(&bytes[..length], &mut Names::default()).is_err(), "{length}");
    }
    let version = Engine::restore(&[99, 0], &mut Names::default());
    assert!(matches!(version, Err(SnapshotError::Version { found: Some(99) })));
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x55;
        // It may be another sound snapshot; it must not panic.
        if let Ok(mut engine) = Engine::restore(&damaged, &mut Names::default()) {
            let mut names = Names::default();
            engine = Engine::restore(&damaged, &mut names).unwrap_or(engine);
            engine.tick(at(5), bellwire_model::LogPosition(1), &names, &mut Vec::new());
        }
    }
}

#[test]
fn an_empty_engine_can_be_restored() {
    let mut bytes = Vec::new();
    Engine::new().snapshot(&Names::default(), &mut bytes);
    let mut names = Names::default();
    let mut engine = Engine::restore(&bytes, &mut names).expect("sound");
    assert_eq!(engine.rules().version(), 0);
    let position = bellwire_model::LogPosition(1);
    engine.set_rules(rules(RULES[0]), Timestamp::EPOCH, position, &names, &mut Vec::new());
    assert_eq!(engine.rules().rules().len(), 3);
}
