//! Prints what judging costs: `cargo run --release -p bellwire-alerts --example rule_bench`.
//!
//! Wall time of one thread; run it on a quiet machine.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bellwire_alerts::{Engine, RuleSet};
use bellwire_model::{
    DeviceId, DeviceKey, LogPosition, MetricKey, MetricName, Names, Observation, Reading,
    Timestamp, Value,
};

const N_DEVICES: u32 = 10_000;
const N_ROUNDS: u32 = 100;

fn main() {
    let simple = |n: u32| format!("when = 'm0 > {}'", 1_000 + n);
    let both = |n: u32| format!("when = 'm0 * 2 - m1 > {} and not m2 > 5'", 1_000 + n);
    let held = |n: u32| format!("when = 'm0 >= -{n}'\nfor = '1000h'");
    let fired = |n: u32| format!("when = 'm0 >= -{n}'");
    let other = |_: u32| "when = 'm0 > 1'\nselect = \"device = 'other'\"".to_owned();
    run("no rules", 0, &simple);
    run("50 rules for another device", 50, &other);
    run("a rule for another metric", 1, &|_| "when = 'other > 1'".to_owned());
    run("1 simple rule", 1, &simple);
    run("50 simple rules", 50, &simple);
    run("50 simple rules, all pending", 50, &held);
    run("50 simple rules, all firing", 50, &fired);
    run("50 rules of 3 metrics", 50, &both);
}

/// Judges payloads of three metrics from many devices by `n_rules` rules.
fn run(what: &str, n_rules: u32, rule: &dyn Fn(u32) -> String) {
    let mut names = Names::default();
    for n in 0..N_DEVICES {
        names.add_device(&DeviceId::new(&format!("device-{n}")).expect("a valid name"));
    }
    for n in 0..3 {
        names.add_metric(&MetricName::new(&format!("m{n}")).expect("a valid name"));
    }
    let mut text = String::new();
    for n in 0..n_rules {
        let _ = writeln!(text, "[[rule]]\nname = 'r{n}'\n{}", rule(n));
    }
    let rules = Arc::new(RuleSet::parse(&text).expect("sound rules"));
    let mut engine = Engine::new();
    let mut out = Vec::new();
    engine.set_rules(rules, Timestamp::EPOCH, LogPosition(1), &names, &mut out);
    round(&mut engine, &names, 0);
    let start = now();
    for n in 1..=N_ROUNDS {
        round(&mut engine, &names, n);
    }
    let observations = f64::from(N_DEVICES * N_ROUNDS);
    let per_observation = start.elapsed().as_secs_f64() * 1e9 / observations;
    let mut snapshot = Vec::new();
    engine.snapshot(&names, &mut snapshot);
    print!("{what:32} {per_observation:8.1} ns a payload of 3 metrics");
    if engine.stats().evaluations > 0 {
        print!(", {:6.1} ns a rule and payload", per_observation / f64::from(n_rules));
    }
    println!(", snapshot {} KB", snapshot.len() / 1024);
}

/// One payload of each device.
fn round(engine: &mut Engine, names: &Names, n: u32) {
    let at = Timestamp::EPOCH + Duration::from_secs(u64::from(n));
    let mut out = Vec::new();
    for device in (0..N_DEVICES).map(DeviceKey) {
        let readings = [0, 1, 2].map(|metric| Reading {
            device,
            metric: MetricKey(metric),
            at,
            value: Value::Number(f64::from(n % 7 + metric)),
        });
        let observation = Observation {
            device,
            at,
            received_at: at,
            position: LogPosition(u64::from(n) + 2),
            seq: None,
            readings: &readings,
        };
        engine.observe(&observation, names, &mut out);
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
