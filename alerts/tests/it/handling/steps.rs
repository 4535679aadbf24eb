//! One thing at a time.

use bellwire_model::{
    AlertDeed, AlertOutcome, AlertState, Deed, LogPosition, SilenceOutcome, StepKind,
};

use super::desk::{Desk, after, draft};
use crate::world::at;

/// A critical alert above 10, and a warning that becomes critical above 20.
const RULES: &str = "[[rule]]\nname = 'hot'\nwhen = 't > 10'\nseverity = 'critical'\n\
     select = \"device = 'a' or device = 'b'\"\n\
     [[rule]]\nname = 'warm'\nselect = \"device =~ 'w.*'\"\n\
     levels = { warning = 't > 10', critical = 't > 20' }\n\
     [[labels]]\ndevice = '?'\nset = { site = 'x' }\n";

const ACK: AlertDeed = AlertDeed::Acknowledge;

#[test]
fn two_acknowledge_and_one_wins() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 1, 11.0);
    let id = desk.id("a");
    assert_eq!(desk.alert("a").label("site"), "x");
    assert_eq!(desk.handle("ada", id, ACK, 2), AlertOutcome::Done);
    assert_eq!(desk.handle("bo", id, ACK, 2), AlertOutcome::Acknowledged);
    let ack = desk.alert("a").handling.as_ref().and_then(|it| it.acknowledged.clone());
    assert_eq!(ack.map(|ack| (ack.by.to_string(), ack.at)), Some(("ada".to_owned(), at(2))));
    assert_eq!(desk.handle("bo", id, AlertDeed::Unacknowledge, 3), AlertOutcome::Done);
    assert_eq!(desk.handle("bo", id, AlertDeed::Unacknowledge, 3), AlertOutcome::NotAcknowledged);
    assert_eq!(desk.handle("bo", id, AlertDeed::Assign(Some("cy".into())), 4), AlertOutcome::Done);
    assert_eq!(desk.handle("bo", id, AlertDeed::Comment, 4), AlertOutcome::Done);
    assert_eq!(desk.handle("bo", bellwire_model::AlertId(1), ACK, 5), AlertOutcome::NotOpen);
    assert_eq!(
        desk.take(),
        [
            "a inactive>firing",
            "a acknowledged by ada",
            "a unacknowledged by bo",
            "a assigned by bo: to cy",
            "a commented by bo",
        ]
    );
}

#[test]
fn the_same_request_is_done_once_and_another_with_its_id_not_at_all() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 1, 11.0);
    let ids = vec![desk.id("a")];
    let deed = Deed::Alerts { ids, what: AlertDeed::Comment, seen: None, comment: None };
    let action = desk.action("ada", deed);
    let first = desk.act(&action, 2);
    desk.restart();
    let n_said = desk.said.len();
    assert_eq!(desk.act(&action, 3).outcome, first.outcome);
    let other = bellwire_model::Action { request: 8, ..action };
    let reused = desk.act(&other, 3).outcome;
    assert_eq!(reused, bellwire_model::ActionOutcome::IdReused);
    assert_eq!(desk.said.len(), n_said);
}

#[test]
fn what_was_not_seen_is_not_acknowledged() {
    let mut desk = Desk::new(RULES);
    desk.read("w", 1, 11.0);
    let ids = vec![desk.id("w")];
    let seen = desk.said.last().map(|it| (it.position, it.ordinal));
    desk.read("w", 2, 21.0);
    let deed = |seen| Deed::Alerts { ids: ids.clone(), what: ACK, seen, comment: None };
    let action = desk.action("ada", deed(seen));
    let answer = desk.act(&action, 3);
    let outcome = vec![(ids[0], AlertOutcome::Changed)];
    assert_eq!(answer.outcome, bellwire_model::ActionOutcome::Alerts(outcome));
    assert_eq!(answer.alerts[0].severity, bellwire_model::Severity::Critical);
    let now = Some((LogPosition(desk.position), 0));
    let action = desk.action("ada", deed(now));
    let outcome = vec![(ids[0], AlertOutcome::Done)];
    assert_eq!(desk.act(&action, 4).outcome, bellwire_model::ActionOutcome::Alerts(outcome));
}

#[test]
fn an_acknowledgement_is_dropped_when_it_gets_worse() {
    let mut desk = Desk::new(RULES);
    desk.read("w", 1, 11.0);
    let id = desk.id("w");
    desk.handle("ada", id, ACK, 2);
    desk.handle("ada", id, AlertDeed::Snooze(after(1_000)), 2);
    desk.take();
    desk.read("w", 3, 21.0);
    assert_eq!(
        desk.take(),
        [
            "w firing>firing",
            "w ack_dropped: it was warning and is critical",
            "w snooze_ended: it was warning and is critical",
        ]
    );
    assert_eq!(desk.alert("w").handling, None);
    desk.handle("ada", id, ACK, 4);
    desk.read("w", 5, 11.0);
    assert!(desk.alert("w").handling.is_some(), "less bad is still hers");
    desk.read("w", 6, 21.0);
    assert!(desk.alert("w").handling.is_none(), "and worse again is not");
}

#[test]
fn a_critical_alert_that_nobody_acknowledged_stays_in_sight() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 1, 11.0);
    desk.read("w", 1, 11.0);
    desk.read("a", 2, 0.0);
    desk.read("w", 2, 0.0);
    assert_eq!(desk.it.open().count(), 1, "a warning does not");
    let latched = desk.alert("a").clone();
    assert_eq!(latched.state, AlertState::Resolved);
    assert!(latched.is_open() && desk.said.iter().any(|it| it.alert == latched));
    assert_eq!(desk.handle("ada", latched.id, AlertDeed::Snooze(after(9)), 3), AlertOutcome::Over);
    assert_eq!(desk.handle("ada", latched.id, ACK, 3), AlertOutcome::Done);
    assert_eq!(desk.it.open().count(), 0);
    let last = desk.said.last().expect("a step");
    assert_eq!(last.step.as_ref().map(|it| it.kind), Some(StepKind::Unlatched));
    assert!(!last.alert.is_open() && last.alert.handling.is_some());
    desk.read("a", 4, 11.0);
    desk.handle("ada", desk.id("a"), ACK, 5);
    desk.read("a", 6, 0.0);
    assert_eq!(desk.it.open().count(), 0, "what was acknowledged does not");
}

#[test]
fn a_newer_alert_takes_the_place_of_a_latched_one() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 1, 11.0);
    desk.read("a", 2, 0.0);
    desk.take();
    let old = desk.id("a");
    desk.read("a", 3, 11.0);
    let new = desk.id("a");
    assert_eq!(
        desk.take(),
        ["a inactive>firing".to_owned(), format!("a unlatched: {new} took its place")]
    );
    assert_ne!(old, new);
    assert_eq!(desk.it.open().count(), 1);
}

#[test]
fn what_never_was_is_neither_latched_nor_acknowledged() {
    let rule = "[[rule]]\nname = 'hot'\nwhen = 't > 10'\nfor = '5s'\nseverity = 'critical'\n";
    let mut desk = Desk::new(rule);
    // An older one that is latched.
    for (secs, value) in [(1, 11.0), (6, 11.0), (7, 0.0)] {
        desk.read("a", secs, value);
    }
    let old = desk.id("a");
    for (secs, value) in [(10, 11.0), (15, 11.0)] {
        desk.read("a", secs, value);
    }
    let new = desk.id("a");
    assert_eq!(desk.it.open().count(), 1);
    desk.handle("ada", new, ACK, 16);
    desk.take();
    // It did not hold between.
    desk.late("a", (12, 17), 0.0);
    assert_eq!(
        desk.take(),
        [
            "a firing>pending withdrawn",
            "a pending>inactive retroactive",
            "a inactive>pending retroactive",
            "a ack_dropped: a late reading shows that it was not so",
            "a latched: what took its place never was",
        ]
    );
    let latched: Vec<_> = desk.it.open().map(|it| (it.id, it.state)).collect();
    assert!(latched.contains(&(old, AlertState::Resolved)), "{latched:?}");
    assert!(desk.it.open().all(|it| it.id != new));
}

#[test]
fn a_correction_that_says_the_same_for_another_instant_drops_nothing() {
    let rule = "[[rule]]\nname = 'hot'\nwhen = 't > 10'\nseverity = 'critical'\n";
    let mut desk = Desk::new(rule);
    desk.read("a", 1, 0.0);
    desk.read("a", 5, 11.0);
    let id = desk.id("a");
    desk.handle("ada", id, ACK, 6);
    desk.take();
    desk.late("a", (3, 7), 12.0);
    assert_eq!(
        desk.take(),
        [
            "a firing>inactive withdrawn".to_owned(),
            "a inactive>firing retroactive".to_owned(),
            "a ack_dropped: a late reading shows that it was not so".to_owned(),
            format!("a acknowledged by ada: as {id} was"),
        ]
    );
    let alert = desk.alert("a").clone();
    assert!(alert.since == at(3) && alert.handling.is_some(), "{alert:?}");
}

#[test]
fn history_is_neither_latched_nor_escalated() {
    let mut desk =
        Desk::new(&format!("{RULES}[[escalation]]\nalerts = 'rule=\"hot\"'\nafter = ['10s']\n"));
    desk.late("a", (-9_000, 1), 11.0);
    desk.tick(100);
    desk.late("a", (-8_000, 101), 0.0);
    assert_eq!(desk.take(), ["a inactive>firing", "a firing>resolved"]);
    assert_eq!(desk.it.open().count(), 0);
}

#[test]
fn what_nobody_acknowledges_goes_a_level_up() {
    let text = format!(
        "{RULES}[[escalation]]\nalerts = 'severity=\"critical\"'\nafter = ['10s', '30s']\n"
    );
    let mut desk = Desk::new(&text);
    desk.read("a", 0, 11.0);
    desk.read("w", 0, 11.0);
    desk.take();
    let level = |desk: &Desk| desk.alert("a").handling.as_ref().map_or(0, |it| it.escalation);
    assert_eq!(desk.it.next_deadline(), Some(at(10)));
    desk.tick(9);
    assert_eq!(level(&desk), 0);
    desk.restart();
    desk.tick(10);
    assert_eq!(desk.take(), ["a escalated: level 1, not acknowledged for 10s"]);
    let id = desk.id("a");
    desk.handle("ada", id, ACK, 20);
    desk.tick(40);
    assert_eq!((level(&desk), desk.take().len()), (1, 1));
    // What is given back waits anew.
    desk.handle("ada", id, AlertDeed::Unacknowledge, 50);
    desk.tick(79);
    assert_eq!(level(&desk), 1);
    desk.tick(80);
    assert_eq!(level(&desk), 2);
    assert_eq!(desk.it.next_deadline(), None);
}

#[test]
fn a_snooze_mutes_for_a_while() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 0, 11.0);
    let id = desk.id("a");
    let snooze = |secs| AlertDeed::Snooze(after(secs));
    assert_eq!(desk.handle("ada", id, snooze(5), 5), AlertOutcome::TooLate);
    assert_eq!(desk.handle("ada", id, AlertDeed::Unsnooze, 5), AlertOutcome::NotSnoozed);
    assert_eq!(desk.handle("ada", id, snooze(20), 5), AlertOutcome::Done);
    assert!(desk.alert("a").handling.as_ref().is_some_and(|it| it.is_muted()));
    desk.restart();
    desk.tick(19);
    desk.tick(20);
    assert_eq!(desk.take()[1..], ["a snoozed by ada", "a snooze_ended"]);
    assert_eq!(desk.alert("a").handling, None);
}

#[test]
fn silences_begin_and_end_by_time() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 0, 11.0);
    desk.read("w", 0, 11.0);
    desk.take();
    assert_eq!(desk.silence(draft(1, "severity=critical", (10, 20)), 1), SilenceOutcome::Done);
    assert_eq!(desk.silence(draft(2, "site=\"x\"", (0, 30)), 2), SilenceOutcome::Done);
    // What begins under a silence is silent from its first word on.
    desk.read("b", 11, 11.0);
    desk.tick(12);
    let fired = desk.said.iter().find(|it| it.alert.device.as_str() == "b" && it.step.is_none());
    let silenced = fired.and_then(|it| it.alert.handling.as_ref()).map(|it| it.silenced_by.len());
    assert_eq!(silenced, Some(1));
    desk.tick(20);
    desk.restart();
    desk.tick(30);
    let mut lines = desk.take();
    // In the order of ids within a record.
    [0..2, 4..6, 6..8, 8..11].into_iter().for_each(|range| lines[range].sort_unstable());
    assert_eq!(
        lines,
        [
            "a silenced by sil: works",
            "w silenced by sil: works",
            "b inactive>firing",
            "b silenced by sil: works",
            "a silenced by sil: works",
            "b silenced by sil: works",
            "a unsilenced: it is over",
            "b unsilenced: it is over",
            "a unsilenced: it is over",
            "b unsilenced: it is over",
            "w unsilenced: it is over",
        ]
    );
    assert!(desk.it.open().all(|it| it.handling.is_none()));
    assert_eq!(desk.it.handlings().silences().count(), 2);
    desk.tick(20 + 5 * 86_400);
    assert_eq!(desk.it.handlings().silences().count(), 1, "five days later it is forgotten");
}

#[test]
fn a_silence_is_changed_and_expired_by_version() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 0, 11.0);
    desk.take();
    assert_eq!(desk.silence(draft(1, "device=a", (0, 100)), 1), SilenceOutcome::Done);
    let mut next = draft(1, "device=b", (0, 100));
    next.version = Some(0);
    assert_eq!(desk.silence(next.clone(), 2), SilenceOutcome::Changed(1));
    next.version = Some(1);
    assert_eq!(desk.silence(next, 2), SilenceOutcome::Done);
    assert_eq!(desk.take(), ["a silenced by sil: works", "a unsilenced by sil"]);
    let id = bellwire_model::SilenceId(1);
    let expire = |version| Deed::Expire { id, version };
    let action = desk.action("ada", expire(Some(1)));
    assert_eq!(desk.silence_by(&action, 3), SilenceOutcome::Changed(2));
    let action = desk.action("ada", expire(None));
    assert_eq!(desk.silence_by(&action, 3), SilenceOutcome::Done);
    let action = desk.action("ada", expire(None));
    assert_eq!(desk.silence_by(&action, 4), SilenceOutcome::Over);
    assert_eq!(desk.silence(draft(1, "device=a", (0, 100)), 5), SilenceOutcome::Over);
    assert_eq!(desk.silence(draft(3, "device=a", (0, 5)), 5), SilenceOutcome::EndsTooEarly);
    let mut odd = draft(4, "device=a", (0, 50));
    odd.schedule = Some(("never".into(), "UTC".into()));
    assert_eq!(desk.silence(odd, 5), SilenceOutcome::BadSchedule);
    let last = desk.silences.last().expect("written");
    assert_eq!((last.version, last.ends_at, &*last.author), (3, at(3), "ada"));
}

#[test]
fn a_maintenance_window_comes_back() {
    // 2023-11-14T22:13:20Z is a Tuesday.
    let mut desk = Desk::new(RULES);
    desk.read("a", 0, 11.0);
    desk.take();
    let mut window = draft(1, "device=a", (0, 4 * 86_400));
    window.schedule = Some(("22:15-22:20".into(), "UTC".into()));
    assert_eq!(desk.silence(window, 1), SilenceOutcome::Done);
    assert_eq!(desk.it.next_deadline(), Some(at(100)));
    desk.tick(100);
    desk.tick(400);
    desk.restart();
    desk.tick(100 + 86_400);
    assert_eq!(desk.it.next_deadline(), Some(at(400 + 86_400)));
    assert_eq!(
        desk.take(),
        ["a silenced by sil: works", "a unsilenced: it is over", "a silenced by sil: works"]
    );
}

#[test]
fn an_alert_inhibits_others_with_the_same_labels() {
    let text = format!(
        "{RULES}[[inhibit]]\nsource = 'rule=\"hot\"'\ntarget = 'rule=\"warm\"'\nequal = ['site']\n\
         [[labels]]\ndevice = 'w2'\nset = {{ site = 'y' }}\n"
    );
    let mut desk = Desk::new(&text);
    desk.read("w", 0, 11.0);
    desk.read("w2", 0, 11.0);
    desk.take();
    desk.read("a", 1, 11.0);
    desk.read("b", 1, 11.0);
    let a = desk.id("a");
    assert_eq!(
        desk.take(),
        [
            "a inactive>firing".to_owned(),
            format!("w inhibited: {a} is there"),
            "b inactive>firing".to_owned(),
        ]
    );
    desk.read("a", 2, 0.0);
    desk.restart();
    assert_eq!(desk.take(), ["a firing>resolved"], "the other one still is");
    desk.relabel("w", 3, &[("site", "z")]);
    assert_eq!(desk.take(), ["w uninhibited"]);
    desk.relabel("w2", 4, &[("site", "x")]);
    desk.read("b", 5, 0.0);
    let b = desk.id("b");
    assert_eq!(
        desk.take(),
        [
            format!("w2 inhibited: {b} is there"),
            "b firing>resolved".to_owned(),
            "w2 uninhibited".to_owned(),
        ]
    );
}

#[test]
fn other_rules_of_handling_count_at_once() {
    let mut desk = Desk::new(RULES);
    desk.read("a", 0, 11.0);
    desk.read("w", 0, 11.0);
    desk.take();
    let inhibit = "[[inhibit]]\nsource = 'rule=\"hot\"'\ntarget = 'rule=\"warm\"'\n\
                   [[escalation]]\nalerts = 'device=\"a\"'\nafter = ['10s']\n";
    desk.set_rules(20, &format!("{RULES}{inhibit}"));
    let a = desk.id("a");
    assert_eq!(desk.take(), [format!("w inhibited: {a} is there")]);
    desk.tick(21);
    assert_eq!(desk.take(), ["a escalated: level 1, not acknowledged for 10s"]);
    desk.set_rules(22, RULES);
    assert_eq!(desk.take(), ["w uninhibited"]);
}
