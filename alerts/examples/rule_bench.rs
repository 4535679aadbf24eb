//! Prints what judging costs: `cargo run --release -p bellwire-alerts --example rule_bench`.
//!
//! Wall time of one thread, and the memory that the engine takes; run it on a quiet machine. `most` as
//! an argument adds 1,000 rules on each of the 10,000 devices, for which it needs some GB and minutes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bellwire_alerts::{Engine, RuleSet};
use bellwire_model::{
    DeviceId, DeviceKey, LogPosition, MetricKey, MetricName, Names, Observation, Reading,
    Timestamp, Value,
};

const N_DEVICES: u32 = 10_000;
const N_ROUNDS: u32 = 200;

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
    for window in ["1m", "10m", "2h", "1d"] {
        let avg = |n: u32| format!("when = 'avg(m0, {window}) > {}'", 1_000 + n);
        run(&format!("10 rules, avg over {window}"), 10, &avg);
    }
    for function in [
        "min(m0, 10m)",
        "stddev(m0, 10m)",
        "rate(m0, 10m)",
        "quantile(m0, 10m, 0.9)",
        "zscore(m0, 10m)",
    ] {
        let rule = |n: u32| format!("when = '{function} > {}'", 1_000 + n);
        run(&format!("10 rules, {function}"), 10, &rule);
    }
    let absent = |n: u32| format!("when = 'absent(m0, {}s)'", 1_000 + n);
    run("10 rules, absent", 10, &absent);
    if std::env::args().any(|argument| argument == "most") {
        run("1,000 simple rules", 1_000, &simple);
        run("1,000 simple rules, all firing", 1_000, &fired);
    }
}

/// Judges payloads of three metrics from many devices by `n_rules` rules.
fn run(what: &str, n_rules: u32, rule: &dyn Fn(u32) -> String) {
    if !is_wanted(what) {
        return;
    }
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
    let before = resident_bytes();
    let mut engine = Engine::new();
    let mut out = Vec::new();
    engine.set_rules(rules, Timestamp::EPOCH, LogPosition(1), &names, &mut out);
    round(&mut engine, &names, 0);
    let start = now();
    // Enough for windows to be full, and not for ever.
    let n_rounds = (20_000 / n_rules.max(1)).clamp(20, N_ROUNDS);
    for n in 1..=n_rounds {
        round(&mut engine, &names, n);
    }
    let observations = f64::from(N_DEVICES * n_rounds);
    let per_observation = start.elapsed().as_secs_f64() * 1e9 / observations;
    let mut snapshot = Vec::new();
    engine.snapshot(&names, &mut snapshot);
    print!("{what:32} {per_observation:8.1} ns a payload of 3 metrics");
    if engine.stats().evaluations > 0 {
        print!(", {:6.1} ns a rule and payload", per_observation / f64::from(n_rules));
    }
    let resident = resident_bytes().saturating_sub(before) / 1024 / 1024;
    println!(", snapshot {} KB, {resident} MB resident", snapshot.len() / 1024);
}

/// Whether a part is asked for: all are, if no argument but `most` names some. A part alone tells what it
/// has in memory; behind others it uses what those had.
fn is_wanted(what: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|argument| argument != "most").peekable();
    named.peek().is_none() || named.any(|argument| what == argument)
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

/// What the process has in memory now (`/proc/self/statm`, proc(5)); 0 where that is not known.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
