//! Many seeded histories with readings, late ones, actions, other rules and labels, and restarts anywhere.

use std::collections::BTreeMap;

use bellwire_model::{
    ActionOutcome, Alert, AlertDeed, AlertId, AlertState, Deed, SilenceId, Timestamp,
};

use super::desk::{Desk, after, draft};
use crate::rng::{Rng, for_seeds};
use crate::world::rules;

const HEAD: &str = "lateness = '20s'\n\
    [[labels]]\ndevice = 'd*'\nset = { site = 'x' }\n[[labels]]\ndevice = 'd3'\nset = { site = 'y' }\n\
    [[rule]]\nname = 'hot'\nwhen = 't > 7'\nseverity = 'critical'\nfor = '2s'\n\
    [[rule]]\nname = 'level'\nlevels = { warning = 't > 3', critical = 't > 6' }\nlatch = true\n\
    [[rule]]\nname = 'info'\nwhen = 't > 2'\nseverity = 'info'\nkeep_firing_for = '3s'\n\
    [[rule]]\nname = 'silent'\nwhen = 't > 8'\nno_data = 'alert'\nno_data_after = '15s'\n";

const TAILS: [&str; 3] = [
    "[[inhibit]]\nsource = 'severity=critical'\ntarget = 'severity=~\"warning|info\"'\nequal = ['site']\n\
     [[escalation]]\nalerts = 'severity=critical'\nafter = ['5s', '12s', '13s']\n",
    "[[inhibit]]\nsource = 'rule=~\"hot|level\"'\ntarget = 'rule=~\"level|info\"'\nequal = ['device']\n\
     [[inhibit]]\nsource = 'device=d1'\ntarget = 'device!=d1'\n\
     [[escalation]]\nalerts = 'site=y'\nafter = ['3s']\n\
     [[escalation]]\nalerts = 'rule!=info'\nafter = ['9s', '20s']\n",
    "",
];

const DEVICES: [&str; 3] = ["d1", "d2", "d3"];
const PEOPLE: [&str; 2] = ["ada", "bo"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Call {
    Rules(usize),
    Labels(&'static str, &'static str),
    Read(&'static str, i64, i64),
    Tick,
    /// Of the open alerts, by number; twice in the log or once.
    Act(usize, &'static str, AlertDeed, bool),
    Silence(u128, &'static str, i64, i64, bool),
    Expire(u128),
}

fn generate(rng: &mut Rng) -> Vec<(i64, Call)> {
    let mut calls = vec![(0, Call::Rules(0))];
    let mut now = 1;
    for _ in 0..150 {
        now += rng.below(3);
        let call = match rng.below(40) {
            0 => Call::Rules(usize::try_from(rng.below(3)).expect("small")),
            1 => Call::Labels(rng.pick(&DEVICES), rng.pick(&["x", "y", "z"])),
            2..8 => Call::Tick,
            8..18 => {
                let what = deed(rng, now);
                let which = usize::try_from(rng.below(6)).expect("small");
                Call::Act(which, rng.pick(&PEOPLE), what, rng.one_in(3))
            }
            18..21 => {
                let id = u128::from(rng.below(4).unsigned_abs());
                let matchers = ["site=x", "severity=critical", "rule=~\"hot|info\"", "device!=d2"];
                let (start, length) = (now + rng.below(10), 1 + rng.below(20));
                Call::Silence(id, rng.pick(&matchers), start, start + length, rng.one_in(4))
            }
            21 => Call::Expire(u128::from(rng.below(4).unsigned_abs())),
            _ => {
                let late = if rng.one_in(4) { rng.below(15) } else { 0 };
                Call::Read(rng.pick(&DEVICES), now - late, rng.below(11))
            }
        };
        calls.push((now, call));
    }
    calls
}

fn deed(rng: &mut Rng, now: i64) -> AlertDeed {
    match rng.below(8) {
        0..3 => AlertDeed::Acknowledge,
        3 => AlertDeed::Unacknowledge,
        4 => AlertDeed::Assign(rng.one_in(2).then(|| "cy".into())),
        5 => AlertDeed::Comment,
        6 => AlertDeed::Snooze(after((now + rng.below(12)).unsigned_abs())),
        _ => AlertDeed::Unsnooze,
    }
}

/// Does it; gives what was answered.
fn call(desk: &mut Desk, now: i64, call: &Call) -> Option<ActionOutcome> {
    match call {
        Call::Rules(tail) => desk.set_rules(now, &format!("{HEAD}{}", TAILS[*tail])),
        Call::Labels(device, site) => desk.relabel(device, now, &[("site", site)]),
        Call::Read(device, of, value) => {
            let value = f64::from(i32::try_from(*value).expect("small"));
            desk.late(device, (*of, now), value);
        }
        Call::Tick => desk.tick(now),
        Call::Act(which, author, what, twice) => {
            let open: Vec<AlertId> = desk.it.open().map(|it| it.id).collect();
            let id = open.get(*which).copied().unwrap_or(AlertId(5));
            let deed =
                Deed::Alerts { ids: vec![id], what: what.clone(), seen: None, comment: None };
            let action = desk.action(author, deed);
            let outcome = desk.act(&action, now).outcome;
            if *twice {
                let n_said = desk.said.len();
                assert_eq!(desk.act(&action, now).outcome, outcome);
                assert_eq!(desk.said.len(), n_said, "it was done once");
            }
            return Some(outcome);
        }
        Call::Silence(id, matchers, start, end, is_window) => {
            let mut draft = draft(*id, matchers, (*start, *end));
            if *is_window {
                draft.schedule = Some(("22:13-22:14, 22:15-22:16".into(), "UTC".into()));
            }
            let action = desk.action("sil", Deed::Silence(Box::new(draft)));
            return Some(desk.act(&action, now).outcome);
        }
        Call::Expire(id) => {
            let action = desk.action("sil", Deed::Expire { id: SilenceId(*id), version: None });
            return Some(desk.act(&action, now).outcome);
        }
    }
    None
}

fn is_active(state: AlertState) -> bool {
    !state.is_over() && state != AlertState::Pending
}

/// What must hold after any history.
fn check(desk: &Desk, told: &BTreeMap<AlertId, Alert>, seed: u64) {
    // Whoever heard everything knows what is open, and as it stands.
    let bare = |alert: &Alert| Alert { labels: None, since: Timestamp::EPOCH, ..alert.clone() };
    let heard: Vec<_> = told.values().filter(|it| it.is_open()).map(bare).collect();
    let open: Vec<_> = desk.it.open().map(bare).collect();
    assert_eq!(heard, open, "seed {seed}");
    let mut engine: Vec<_> =
        desk.it.engine().active().map(|it| (it.id, it.state, it.severity)).collect();
    engine.sort_unstable();
    let unlatched = open.iter().filter(|it| !it.state.is_over());
    let mine: Vec<_> = unlatched.map(|it| (it.id, it.state, it.severity)).collect();
    assert_eq!(engine, mine, "seed {seed}");
    let mut latched: Vec<_> = desk
        .it
        .open()
        .filter(|it| it.state.is_over())
        .map(|it| (it.rule.clone(), it.device.clone()))
        .collect();
    let n_latched = latched.len();
    latched.sort_unstable();
    latched.dedup();
    assert_eq!(latched.len(), n_latched, "seed {seed}: one of each rule and device");
    for alert in desk.it.open() {
        let handling = alert.handling.as_deref().cloned().unwrap_or_default();
        let is_over = alert.state.is_over();
        assert_eq!(handling.latched, is_over, "seed {seed}: {alert:?}");
        assert!(!is_over || handling.acknowledged.is_none(), "seed {seed}: {alert:?}");
        if alert.state == AlertState::Pending {
            let ack = handling.acknowledged.is_some() && alert.rule.as_str() == "hot";
            assert!(!ack && !handling.is_muted(), "seed {seed}: {alert:?}");
        }
    }
}

/// Which alerts inhibit which, and which labels must be equal.
type Pair = (fn(&Alert) -> bool, fn(&Alert) -> bool, &'static [&'static str]);

/// Who is inhibited, by looking at all pairs.
fn check_inhibition(desk: &Desk, tail: usize, seed: u64) {
    let label = |alert: &Alert, name: &str| alert.label(name).to_owned();
    let pairs: &[Pair] = match tail {
        0 => &[(
            |a| a.label("severity") == "critical",
            |a| a.label("severity") != "critical",
            &["site"],
        )],
        1 => &[
            (
                |a| ["hot", "level"].contains(&a.rule.as_str()),
                |a| ["level", "info"].contains(&a.rule.as_str()),
                &["device"],
            ),
            (|a| a.label("device") == "d1", |a| a.label("device") != "d1", &[]),
        ],
        _ => &[],
    };
    let open: Vec<&Alert> = desk.it.open().filter(|it| is_active(it.state)).collect();
    for alert in &open {
        let is_inhibited = pairs.iter().any(|(source, target, equal)| {
            target(alert)
                && open.iter().any(|other| {
                    source(other)
                        && !(source(alert) && target(other))
                        && equal.iter().all(|name| label(other, name) == label(alert, name))
                })
        });
        let said = alert.handling.as_ref().is_some_and(|it| it.inhibited_by.is_some());
        assert_eq!(said, is_inhibited, "seed {seed}: {alert:?}");
    }
}

fn run(
    calls: &[(i64, Call)],
    seed: u64,
    mut after_each: impl FnMut(&mut Desk),
) -> (Desk, Vec<Option<ActionOutcome>>) {
    let mut desk = Desk::new("");
    let (mut told, mut answers, mut n_told, mut tail) = (BTreeMap::new(), Vec::new(), 0, 2);
    for (now, each) in calls {
        answers.push(call(&mut desk, *now, each));
        let places = desk.said[n_told..].iter().map(|it| (it.position, it.ordinal));
        assert!(places.is_sorted_by(|one, next| one < next), "seed {seed}");
        for transition in &desk.said[n_told..] {
            assert!(transition.step.is_none() || transition.from == transition.to);
            assert_eq!(transition.to, transition.alert.state, "seed {seed}");
            told.insert(transition.alert.id, transition.alert.clone());
        }
        n_told = desk.said.len();
        if let Call::Rules(number) = each {
            tail = *number;
        }
        check(&desk, &told, seed);
        check_inhibition(&desk, tail, seed);
        after_each(&mut desk);
    }
    (desk, answers)
}

#[test]
fn any_history_makes_sense_and_a_restart_changes_nothing() {
    assert_eq!(rules(&format!("{HEAD}{}", TAILS[0])).rules().len(), 4);
    for_seeds(100, |seed| {
        let mut rng = Rng::new(seed);
        let calls = generate(&mut rng);
        let (whole, answers) = run(&calls, seed, |_| {});
        let (cut, again) = run(&calls, seed, |desk| {
            if rng.one_in(8) {
                desk.restart();
            }
        });
        for (n, (one, other)) in whole.said.iter().zip(&cut.said).enumerate() {
            assert_eq!(one, other, "seed {seed}, transition {n}");
        }
        assert_eq!(whole.said.len(), cut.said.len(), "seed {seed}");
        assert_eq!((answers, whole.silences), (again, cut.silences), "seed {seed}");
    });
}

/// The histories above are worth nothing if nothing happens in them.
#[test]
fn the_histories_have_every_step() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let (desk, _) = run(&generate(&mut Rng::new(seed)), seed, |_| {});
        seen.extend(desk.said.iter().filter_map(|it| it.step.as_ref()).map(|it| it.kind));
    }
    let missing: Vec<_> =
        bellwire_model::StepKind::ALL.iter().filter(|kind| !seen.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
