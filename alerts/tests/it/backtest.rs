//! A backtest says what the live engine says, and counts it right.

use std::time::Duration;

use bellwire_alerts::backtest::{
    Account, Driver, Ending, Report, compare, effective, needs_every_metric,
};
use bellwire_model::{
    AlertState, DeviceId, MetricName, Names, Reading, Timestamp, Transition, Value,
};

use crate::rng::{Rng, for_seeds};
use crate::world::{START, World, at, rules};

const HOT: &str = "[[rule]]\nname = 'hot'\nwhen = 't > 10'\nclear = 't < 8'\nfor = '30s'\n\
                   keep_firing_for = '20s'\n[[rule]]\nname = 'cold'\nwhen = 't < 0'\n";

/// A reading of metric `t`: second, device, value.
type Row<'a> = (i64, &'a str, f64);

/// Runs `rows`, which are in order, and lets time pass to the last.
fn run(text: &str, rows: &[Row<'_>]) -> Vec<Transition> {
    let (mut driver, mut names) = (Driver::new(rules(text)), Names::default());
    let metric = names.add_metric(&MetricName::new("t").expect("a name")).expect("room");
    let mut out = Vec::new();
    for (secs, device, value) in rows {
        let device = names.add_device(&DeviceId::new(device).expect("a name")).expect("room");
        let reading = Reading { device, metric, at: at(*secs), value: Value::Number(*value) };
        driver.observe(&[reading], &names, &mut out);
    }
    driver.pass(driver.now(), &names, &mut out);
    out
}

/// `device rule from>to @second`
fn lines(transitions: &[Transition]) -> Vec<String> {
    let line = |it: &Transition| {
        let secs = (it.at.as_micros() / 1_000_000) - START;
        format!("{} {} {}>{} @{secs}", it.alert.device, it.alert.rule, it.from, it.to)
    };
    transitions.iter().map(line).collect()
}

fn report(text: &str, rows: &[Row<'_>]) -> Report {
    let mut account = Account::new(&rules(text), Duration::from_secs(60));
    run(text, rows).iter().for_each(|transition| account.take(transition));
    account.finish(at(rows[0].0), at(rows[rows.len() - 1].0))
}

#[test]
fn a_tick_that_is_due_before_the_next_reading_comes_before_it() {
    let rows = [(0, "a", 11.0), (100, "b", 5.0), (200, "a", 5.0)];
    let expected =
        ["a hot inactive>pending @0", "a hot pending>firing @30", "a hot firing>recovering @200"];
    assert_eq!(lines(&run(HOT, &rows)), expected);
}

#[test]
fn time_ends_with_the_last_reading() {
    assert_eq!(lines(&run(HOT, &[(0, "a", 11.0)])), ["a hot inactive>pending @0"]);
    let rows = [(0, "a", 11.0), (40, "b", 5.0)];
    assert_eq!(lines(&run(HOT, &rows))[1..], ["a hot pending>firing @30"]);
}

#[test]
fn readings_that_go_back_are_judged_as_the_engine_judges_a_clock_that_steps() {
    let back: Vec<_> = (0..20).map(|n| (3_000 - 3_600 + n * 300, "a", 5.0)).collect();
    let rows: Vec<_> = [(0, "a", 11.0), (3_000, "a", 11.0)].into_iter().chain(back).collect();
    let said = run(HOT, &rows);
    let resolved = said.last().expect("it fired and resolved");
    assert_eq!(resolved.to, AlertState::Resolved);
    assert!(said.iter().any(|it| it.reason.contains("stepped back")), "{said:?}");
}

/// Live, with a tick each second, over seeds: nothing differs but the record that says so.
#[test]
fn a_backtest_says_what_the_live_engine_said() {
    for_seeds(200, |seed| {
        let mut rng = Rng::new(seed);
        let mut rows: Vec<(i64, String, f64)> = Vec::new();
        let mut secs = 0;
        for _ in 0..60 {
            secs += 1 + rng.below(40);
            let value = rng.pick(&[-3.0, 5.0, 9.0, 11.0, 12.0]);
            rows.push((secs, format!("d-{}", rng.below(3)), value));
        }
        let mut world = World::new(HOT);
        let mut clock = 0;
        for (secs, device, value) in &rows {
            while clock + 1 < *secs {
                clock += 1;
                world.tick(clock);
            }
            world.read(device, *secs, &[("t", *value)]);
            clock = *secs;
        }
        world.tick(clock);
        let live: Vec<_> = world.said.iter().map(whole).collect();
        let rows: Vec<_> =
            rows.iter().map(|(at, device, value)| (*at, &**device, *value)).collect();
        let tried: Vec<_> = run(HOT, &rows).iter().map(whole).collect();
        let live = sorted(live);
        assert_eq!(sorted(tried), live, "seed {seed}");
        let hasty = run(&format!("lateness = '0s'\n{HOT}"), &rows);
        assert_eq!(sorted(hasty.iter().map(whole).collect()), live, "seed {seed}, in order");
    });
}

/// All that a transition says but for the records that it came with.
fn whole(it: &Transition) -> String {
    format!(
        "{} {:?} {} {}",
        lines(std::slice::from_ref(it))[0],
        it.alert.value,
        it.reason,
        it.alert.summary
    )
}

/// What is due at the same time on two devices comes by name with one tick, by time with two.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn an_account_says_how_often_since_when_and_how_long() {
    let rows = [
        (0, "a", -1.0),
        (100, "a", 1.0),  // 100 s
        (130, "a", -1.0), // again within a minute: the first was restless
        (150, "a", 1.0),  // 20 s: restless
        (500, "b", -1.0),
        (1_000, "b", -2.0), // still
    ];
    let report = report(HOT, &rows);
    let [hot, cold] = &report.rules[..] else { panic!("{report:?}") };
    assert_eq!((hot.tally.fired, hot.share, hot.devices.len()), (0, 0.0, 0));
    let tally = &cold.tally;
    assert_eq!((tally.fired, tally.flaps, tally.open), (3, 2, 1));
    assert_eq!((tally.total.as_secs(), tally.longest.as_secs()), (620, 500));
    assert_eq!((tally.first_at, tally.last_at), (Some(at(0)), Some(at(500))));
    assert!((cold.share - 0.62).abs() < 1e-9, "{}", cold.share);
    assert!((tally.flap_share() - 2.0 / 3.0).abs() < 1e-9);
    let devices: Vec<_> =
        cold.devices.iter().map(|of| (of.device.as_str(), of.tally.fired)).collect();
    assert_eq!(devices, [("a", 2), ("b", 1)]);
    let endings: Vec<_> = report.episodes.iter().map(|episode| episode.ending).collect();
    assert_eq!(endings, [Ending::Over, Ending::Over, Ending::Open(AlertState::Firing)]);
}

#[test]
fn times_that_overlap_on_two_devices_count_once_in_the_share() {
    let rows = [(0, "a", -1.0), (0, "b", -1.0), (50, "a", 1.0), (50, "b", 1.0), (100, "a", 1.0)];
    assert!((report(HOT, &rows).rules[1].share - 0.5).abs() < 1e-9);
}

#[test]
fn what_held_too_short_is_counted() {
    let report = report(HOT, &[(0, "a", 11.0), (10, "a", 5.0), (20, "a", 11.0)]);
    let tally = &report.rules[0].tally;
    assert_eq!((tally.fired, tally.held_short, tally.open), (0, 1, 1));
    assert_eq!(report.episodes, []);
}

#[test]
fn runs_are_compared_by_what_overlaps() {
    let rule = |limit: f64| format!("[[rule]]\nname = 'high'\nwhen = 't > {limit}'\n");
    let rows = [
        (0, "a", 11.0), // both
        (10, "a", 1.0),
        (20, "a", 16.0), // the stricter rule ends sooner
        (30, "a", 12.0),
        (40, "a", 1.0),
        (50, "b", 12.0), // only the looser one
        (60, "b", 1.0),
        (70, "c", 20.0), // both, and still
        (80, "a", 1.0),
    ];
    let (loose, strict) = (report(&rule(10.0), &rows), report(&rule(15.0), &rows));
    let found = compare(&strict.episodes, &loose.episodes);
    let place = |episode: &bellwire_alerts::backtest::Episode| {
        let secs = episode.fired_at.since(Timestamp::from_secs(START)).as_secs();
        format!("{}@{secs}", episode.device)
    };
    assert_eq!(found.both.iter().map(|it| place(it)).collect::<Vec<_>>(), ["c@70"]);
    assert_eq!(found.only_running.iter().map(|it| place(it)).collect::<Vec<_>>(), ["a@0", "b@50"]);
    assert_eq!(found.moved.len(), 1);
    assert_eq!((place(found.moved[0].0), place(found.moved[0].1)), ("a@20".into(), "a@20".into()));
    assert!(found.only_tried.is_empty() && !found.is_none());
    assert!(compare(&loose.episodes, &loose.episodes).is_none());
    let swapped = compare(&loose.episodes, &strict.episodes);
    assert_eq!(swapped.only_tried.len(), 2);
}

/// A reading that comes late takes back that it fired; a rule that is about silence is not about its
/// metric alone.
#[test]
fn what_is_taken_back_does_not_count() {
    let text = "lateness = '5m'\n[[rule]]\nname = 'hot'\nwhen = 't > 10'\nfor = '30s'\n";
    let (mut driver, mut names) = (Driver::new(rules(text)), Names::default());
    let metric = names.add_metric(&MetricName::new("t").expect("a name")).expect("room");
    let device = names.add_device(&DeviceId::new("d").expect("a name")).expect("room");
    let mut said = Vec::new();
    let mut read = |secs: i64, received: i64, value: f64| {
        let reading = Reading { device, metric, at: at(secs), value: Value::Number(value) };
        driver.receive(&[reading], at(received), &names, &mut said);
    };
    read(0, 0, 11.0);
    read(40, 40, 11.0);
    read(20, 60, 5.0); // so it never held for 30 s
    read(70, 70, 5.0);
    assert!(lines(&said).iter().any(|line| line.contains("pending>firing")), "{said:?}");
    let expected = [
        "d hot inactive>pending @0",
        "d hot pending>inactive @20",
        "d hot inactive>pending @40",
        "d hot pending>firing @70",
    ];
    let mut account = Account::new(&rules(text), Duration::from_secs(60));
    said.iter().for_each(|transition| account.take(transition));
    let known = lines(&effective(said));
    assert_eq!(known[..3], expected[..3], "{known:?}");
    let tally = &account.finish(at(0), at(70)).rules[0].tally;
    let n_fired = known.iter().filter(|line| line.ends_with("pending>firing @70")).count() as u64;
    assert_eq!((tally.fired, tally.held_short), (n_fired, 2 - n_fired), "{known:?}");
    for (rule, expected) in [
        ("when = 't > 1'", false),
        ("when = 'absent(t, 5m)'", true),
        ("when = 't > 1'\nno_data = 'alert'", true),
    ] {
        let rules = rules(&format!("[[rule]]\nname = 'r'\n{rule}\n"));
        assert_eq!(needs_every_metric(&rules), expected, "{rule}");
    }
}
