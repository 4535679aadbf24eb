//! However readings come, within the lateness: late, twice, in other batches, with restarts between
//! them. What is known in the end is the same.

use std::collections::BTreeMap;

use bellwire_alerts::Engine;
use bellwire_model::{AlertState, Correction, DeviceId, Names, Timestamp, Transition, Value};

use crate::rng::{Rng, for_seeds};
use crate::world::{World, at};

/// In seconds: how late readings come at most, and with what `lateness` rules allow for.
const LATE: i64 = 20;

const RULES: &str = "lateness = '21s'
[[rule]]
name = 'plain'
when = 'a > 5'
[[rule]]
name = 'held'
when = 'a > 4'
clear = 'a < 3'
for = '3s'
keep_firing_for = '4s'
max_gap = '8s'
[[rule]]
name = 'window'
when = 'avg(a, 6s) > 5 and max(b, 10s) > 7'
clear = 'avg(a, 6s) < 4'
[[rule]]
name = 'far'
when = 'quantile(a, 30s, 0.9) > 8 or zscore(b, 20s) > 2 or rate(b, 10s) > 3'
for = '2s'
[[rule]]
name = 'past'
when = 'a > a offset 5s and avg(b, 5s) offset 3s > 4'
[[rule]]
name = 'silent'
when = 'absent(a, 7s) or age(b) > 9s'
for = '3s'
[[rule]]
name = 'few'
when = 'count(a, 8s) < 3 or changes(mode, 8s) > 2'
[[rule]]
name = 'graded'
levels = { info = 'a > 3', warning = 'a > 5', critical = 'a > 7' }
clear = { critical = 'a < 6' }
for = '2s'
max_gap = '9s'
[[rule]]
name = 'lost'
when = 'b > 7'
no_data = 'alert'
no_data_after = '9s'
[[rule]]
name = 'nervous'
when = 'a > 4'
flapping = { low = 0.1, high = 0.3 }
[[rule]]
name = 'words'
when = \"mode = 'on' and a > 2\"
keep_firing_for = '5s'
[[rule]]
name = 'often'
when = 'a > 4'
repeat = 3
for = '1s'
max_gap = '9s'
[[rule]]
name = 'together'
when = 'avg by (site) (a) > 4'
clear = 'avg by (site) (a) < 3'
for = '3s'
keep_firing_for = '4s'
[[rule]]
name = 'several'
when = 'count by (site) (a > 4 or b > 6) >= 2'
[[rule]]
name = 'deserted'
when = 'count by () (absent(a, 7s)) >= 2 or max by () (b) - min by () (b) > 6'
for = '2s'
[[rule]]
name = 'lost together'
levels = { info = \"count by (site) (mode = 'on') >= 1\", critical = \"count by (site) (mode = 'on') >= 2\" }
max_gap = '9s'
no_data = 'alert'
[[labels]]
device = '*'
set = { site = 's' }
";

const RULE_NAMES: [&str; 16] = [
    "plain",
    "held",
    "window",
    "far",
    "past",
    "silent",
    "few",
    "graded",
    "lost",
    "nervous",
    "words",
    "often",
    "together",
    "several",
    "deserted",
    "lost together",
];

#[derive(Clone, Debug)]
struct Sent {
    device: &'static str,
    at: i64,
    seq: Option<u64>,
    values: Vec<(&'static str, Value)>,
    /// Seconds.
    received: i64,
}

fn values(rng: &mut Rng) -> Vec<(&'static str, Value)> {
    let mut values = Vec::new();
    for name in ["a", "b"] {
        if rng.one_in(2) {
            let number = f64::from(i32::try_from(rng.below(10)).expect("small"));
            values.push((name, Value::Number(number)));
        }
    }
    if rng.one_in(4) {
        let text: &str = rng.pick(&["on", "off"]);
        values.push(("mode", Value::Text(text.into())));
    }
    values
}

/// What devices measure, in order, each received at once.
fn generate(rng: &mut Rng) -> Vec<Sent> {
    let mut all = Vec::new();
    for device in ["x", "y"] {
        let (mut second, stay) = (0, 1 + rng.below(4));
        let mut last = values(rng);
        // Payloads of one instant have a counter: else their order would be that of their values.
        for seq in 0.. {
            if second > 120 {
                break;
            }
            if rng.one_in(stay) {
                last = values(rng);
            }
            all.push(Sent {
                device,
                at: second,
                seq: Some(seq),
                values: last.clone(),
                received: second,
            });
            second += rng.pick(&[0, 1, 1, 1, 2, 3, 12]);
        }
    }
    all.sort_by_key(|sent| (sent.at, sent.seq));
    all
}

/// The same readings, each up to [`LATE`] seconds late behind those that were made later, some twice.
fn shuffle(readings: &[Sent], rng: &mut Rng) -> Vec<Sent> {
    let mut all = Vec::new();
    for sent in readings {
        for _ in 0..=i32::from(rng.one_in(6)) {
            let late = if rng.one_in(3) { rng.below(LATE) } else { 0 };
            all.push(Sent { received: sent.at + late, ..sent.clone() });
        }
    }
    all.sort_by_key(|sent| sent.received);
    all
}

/// When the last word is spoken: all is long over.
const END: i64 = 400;

/// Plays what was sent; `tick_each` second, if ticks come; restarts one time in `restarts`.
fn play(sent: &[Sent], tick_each: Option<i64>, rng: &mut Rng, restarts: i64) -> World {
    let mut world = World::new(RULES);
    let mut rest = sent.iter().peekable();
    for second in 0..=END {
        while let Some(sent) = rest.next_if(|sent| sent.received == second) {
            let values = &sent.values;
            world.receive_numbered(sent.device, at(sent.at), at(second), sent.seq, values);
        }
        if let Some(each) = tick_each
            && second % each == 0
        {
            world.tick(second);
        }
        if restarts > 0 && rng.one_in(restarts) {
            restart(&mut world);
        }
    }
    // Ticks or not, a reading of nothing that rules know shows that time has passed.
    for device in ["x", "y"] {
        world.receive(device, at(END), at(END), &[("c", Value::Number(0.0))]);
    }
    world
}

fn restart(world: &mut World) {
    let mut bytes = Vec::new();
    world.engine.snapshot(&world.names, &mut bytes);
    let mut names = Names::default();
    names.add_device(&DeviceId::new("y").expect("a name"));
    world.engine = Engine::restore(&bytes, &mut names).expect("just written");
    world.names = names;
}

type Step = (AlertState, AlertState, Timestamp);

/// The history as it is known in the end: corrections applied, names and times of decision left out.
fn effective(said: &[Transition]) -> BTreeMap<String, Vec<Step>> {
    let mut known: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for step in said {
        let key = format!("{} {}", step.alert.device, step.alert.rule);
        let steps = known.entry(key).or_default();
        match step.correction {
            None | Some(Correction::Retroactive) => steps.push((step.from, step.to, step.at)),
            Some(Correction::Withdrawn) => {
                let back = (step.to, step.from, step.at);
                assert_eq!(steps.pop(), Some(back), "what was said last is taken back first");
            }
        }
    }
    known.retain(|_, steps| !steps.is_empty());
    known
}

/// The states of the alerts that are open must be those of the history.
fn agrees(world: &World, seed: u64) {
    let open: BTreeMap<String, AlertState> = effective(&world.said)
        .into_iter()
        .filter_map(|(key, steps)| steps.last().map(|step| (key, step.1)))
        .filter(|(_, state)| !state.is_over())
        .collect();
    let active: BTreeMap<String, AlertState> = world
        .engine
        .active()
        .map(|alert| (format!("{} {}", alert.device, alert.rule), alert.state))
        .collect();
    assert_eq!(open, active, "seed {seed}");
    for state in [AlertState::Pending, AlertState::Firing, AlertState::Recovering] {
        let n = active.values().filter(|found| **found == state).count();
        assert_eq!(world.engine.stats().open(state), n as u64, "seed {seed}, {state}");
    }
}

fn in_order_and_shuffled(seeds: u64) {
    for_seeds(seeds, |seed| {
        let mut rng = Rng::new(seed);
        let readings = generate(&mut rng);
        let in_order = play(&readings, Some(1), &mut rng, 0);
        let expected = effective(&in_order.said);
        agrees(&in_order, seed);
        for ticks in [Some(1), Some(5)] {
            let sent = shuffle(&readings, &mut rng);
            let world = play(&sent, ticks, &mut rng, 0);
            let found = effective(&world.said);
            for key in expected.keys().chain(found.keys()) {
                let (found, expected) = (found.get(key), expected.get(key));
                assert_eq!(found, expected, "seed {seed}, ticks {ticks:?}: {key}");
            }
            agrees(&world, seed);
            let restarted = play(&sent, ticks, &mut rng, 9);
            for (n, (whole, cut)) in world.said.iter().zip(&restarted.said).enumerate() {
                assert_eq!(whole, cut, "seed {seed}, ticks {ticks:?}, transition {n}");
            }
            assert_eq!(world.said.len(), restarted.said.len(), "seed {seed}");
        }
    });
}

#[test]
fn what_is_known_in_the_end_does_not_depend_on_the_order() {
    in_order_and_shuffled(40);
}

/// The histories above are worth nothing if nothing happens in them.
#[test]
fn the_shuffled_histories_need_corrections() {
    let mut n_corrections: BTreeMap<(String, Correction), usize> = BTreeMap::new();
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let readings = generate(&mut rng);
        let sent = shuffle(&readings, &mut rng);
        for step in play(&sent, Some(1), &mut rng, 0).said {
            if let Some(correction) = step.correction {
                *n_corrections.entry((step.alert.rule.to_string(), correction)).or_default() += 1;
            }
        }
    }
    for rule in RULE_NAMES {
        for correction in [Correction::Retroactive, Correction::Withdrawn] {
            let n = n_corrections.get(&(rule.to_owned(), correction)).copied().unwrap_or(0);
            assert!(n > 5, "{n} times {correction} of {rule}");
        }
    }
}
