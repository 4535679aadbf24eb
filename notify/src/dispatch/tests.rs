//! Routes, groups and times by example.

mod simulation;

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{
    Alert, AlertId, AlertState, DeviceId, Matchers, RuleName, Severity, Timestamp,
};

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

fn receiver(key: &str, style: Style) -> ReceiverPlan {
    ReceiverPlan { key: key.into(), style, alerts_max: 100 }
}

/// Groups by rule; waits 10 s, then 5 minutes; repeats after 4 hours.
fn route(matchers: &str, receivers: &[usize]) -> RoutePlan {
    RoutePlan {
        key: matchers.into(),
        matchers: Matchers::parse(matchers).unwrap(),
        escalation: 0,
        receivers: receivers.to_vec(),
        group_by: GroupBy::Labels(vec!["rule".into()]),
        group_wait: Duration::from_secs(10),
        group_interval: Duration::from_secs(300),
        repeat_interval: Duration::from_secs(14_400),
        goes_on: GoesOn::No,
    }
}

fn plan(routes: Vec<RoutePlan>) -> Dispatch {
    let receivers = vec![
        receiver("ops", Style::Grouped),
        receiver("boss", Style::Grouped),
        receiver("am", Style::Mirrored),
    ];
    Dispatch::new(Arc::new(Plan { routes, receivers }))
}

fn news(id: u64, device: &str, state: AlertState) -> News {
    let since = at(0);
    let resolved_at = (state == AlertState::Resolved).then(|| at(50));
    let alert = Alert {
        id: AlertId(id),
        rule: RuleName::new("hot").unwrap(),
        device: DeviceId::new(device).unwrap().into(),
        severity: Severity::Warning,
        state,
        since,
        fired_at: Some(since),
        resolved_at,
        value: Some(95.0),
        summary: "hot".to_owned(),
        labels: None,
        handling: None,
    };
    News::now(&alert, at(50))
}

fn firing(id: u64) -> News {
    news(id, &format!("oven-{id}"), AlertState::Firing)
}

fn resolved(id: u64) -> News {
    news(id, &format!("oven-{id}"), AlertState::Resolved)
}

fn critical(mut news: News) -> News {
    news.facts.severity = Severity::Critical;
    news.facts.labels.insert("severity".into(), "critical".into());
    news
}

/// What a receiver is sent at a time: each alert and whether it fires.
fn sent(dispatch: &mut Dispatch, receiver: usize, now: Timestamp) -> Option<Vec<(u64, bool)>> {
    let notice = dispatch.next(receiver, now)?;
    dispatch.told(&notice, now);
    let said = notice.alerts.iter().map(|it| (it.facts.id.0, it.status == Status::Firing));
    Some(said.collect())
}

#[test]
fn a_group_waits_for_others_then_says_what_is_new_and_repeats_what_fires() {
    let mut dispatch = plan(vec![route("", &[0])]);
    dispatch.take(firing(1), at(0));
    dispatch.take(firing(2), at(5));
    assert_eq!(dispatch.due_at(0), Some(at(10)));
    assert_eq!(sent(&mut dispatch, 0, at(9)), None);
    assert_eq!(sent(&mut dispatch, 0, at(10)), Some(vec![(1, true), (2, true)]));
    assert_eq!(sent(&mut dispatch, 0, at(11)), None);
    dispatch.take(resolved(1), at(60));
    assert_eq!(sent(&mut dispatch, 0, at(309)), None);
    assert_eq!(sent(&mut dispatch, 0, at(310)), Some(vec![(2, true), (1, false)]));
    assert_eq!(dispatch.due_at(0), Some(at(310 + 14_400)));
    assert_eq!(sent(&mut dispatch, 0, at(310 + 14_400)), Some(vec![(2, true)]));
    dispatch.take(resolved(2), at(20_000));
    assert_eq!(sent(&mut dispatch, 0, at(20_010)), Some(vec![(2, false)]));
    assert_eq!((dispatch.n_alerts(), dispatch.due_at(0)), (0, None), "nothing is left of it");
    assert!(dispatch.groups.is_empty() && dispatch.receivers[0].ended.is_empty());
}

#[test]
fn what_came_and_went_before_its_turn_is_told_all_the_same() {
    let mut dispatch = plan(vec![route("", &[0])]);
    dispatch.take(firing(1), at(0));
    dispatch.take(resolved(1), at(3));
    let notice = dispatch.next(0, at(10)).unwrap();
    assert_eq!(notice.status, Status::Resolved);
    dispatch.told(&notice, at(10));
    assert_eq!(dispatch.n_alerts(), 0);
    let mut never = firing(2);
    dispatch.take(never.clone(), at(20));
    never.facts.status = Status::Withdrawn;
    dispatch.take(never, at(21));
    assert_eq!((dispatch.next(0, at(40)), dispatch.n_alerts()), (None, 0), "it never fired");
}

#[test]
fn what_is_muted_is_told_when_it_is_not_any_more_and_its_end_to_who_heard_of_it() {
    let mut dispatch = plan(vec![route("", &[0])]);
    let muted = |news: News| News { mute: Mute::Muted, ..news };
    dispatch.take(muted(firing(1)), at(0));
    dispatch.take(muted(firing(2)), at(0));
    assert_eq!(dispatch.due_at(0), None);
    dispatch.take(muted(resolved(2)), at(20));
    dispatch.take(firing(1), at(100));
    assert_eq!(sent(&mut dispatch, 0, at(110)), Some(vec![(1, true)]));
    dispatch.take(muted(firing(1)), at(120));
    assert_eq!(sent(&mut dispatch, 0, at(20_000)), None, "nor is it repeated");
    dispatch.take(muted(resolved(1)), at(20_001));
    assert_eq!(sent(&mut dispatch, 0, at(20_100)), Some(vec![(1, false)]));
    assert_eq!(dispatch.n_alerts(), 0);
}

#[test]
fn what_somebody_has_is_not_repeated() {
    let mut dispatch = plan(vec![route("", &[0])]);
    dispatch.take(firing(1), at(0));
    assert!(sent(&mut dispatch, 0, at(10)).is_some());
    dispatch.take(News { acknowledged: true, ..firing(1) }, at(20));
    assert_eq!(sent(&mut dispatch, 0, at(30_000)), None);
    dispatch.take(firing(1), at(30_001));
    let due = dispatch.due_at(0).unwrap();
    assert_eq!(sent(&mut dispatch, 0, due), Some(vec![(1, true)]), "until nobody has it again");
}

#[test]
fn long_ago_is_not_told() {
    let mut dispatch = plan(vec![route("", &[0])]);
    dispatch.take(News { historical: true, ..firing(1) }, at(0));
    assert_eq!((dispatch.n_alerts(), dispatch.due_at(0)), (0, None));
}

#[test]
fn the_first_route_that_matches_is_taken_unless_it_goes_on() {
    let urgent = route("severity=critical", &[1]);
    let mut dispatch = plan(vec![urgent.clone(), route("", &[0])]);
    dispatch.take(critical(firing(1)), at(0));
    assert_eq!((dispatch.due_at(0), dispatch.due_at(1)), (None, Some(at(10))));
    let urgent = RoutePlan { goes_on: GoesOn::Yes, ..urgent };
    let mut dispatch = plan(vec![urgent, route("", &[0])]);
    dispatch.take(critical(firing(1)), at(0));
    assert_eq!((dispatch.due_at(0), dispatch.due_at(1)), (Some(at(10)), Some(at(10))));
}

#[test]
fn who_heard_of_an_alert_that_went_to_others_hears_of_its_end() {
    let mut dispatch = plan(vec![route("severity=critical", &[1]), route("", &[0])]);
    dispatch.take(firing(1), at(0));
    assert!(sent(&mut dispatch, 0, at(10)).is_some());
    dispatch.take(critical(firing(1)), at(400));
    assert_eq!(sent(&mut dispatch, 0, at(20_000)), None, "it is not repeated here");
    assert_eq!(sent(&mut dispatch, 1, at(20_000)), Some(vec![(1, true)]));
    dispatch.take(critical(resolved(1)), at(20_001));
    assert_eq!(sent(&mut dispatch, 0, at(20_400)), Some(vec![(1, false)]));
    assert_eq!(sent(&mut dispatch, 1, at(20_400)), Some(vec![(1, false)]));
    assert_eq!((dispatch.n_alerts(), dispatch.groups.len()), (0, 0));
}

#[test]
fn worse_is_news_and_escalation_opens_routes() {
    let boss = RoutePlan { escalation: 1, goes_on: GoesOn::Yes, ..route("", &[1]) };
    let mut dispatch = plan(vec![boss, route("", &[0])]);
    dispatch.take(firing(1), at(0));
    assert_eq!(dispatch.due_at(1), None);
    assert!(sent(&mut dispatch, 0, at(10)).is_some());
    dispatch.take(critical(firing(1)), at(20));
    assert_eq!(sent(&mut dispatch, 0, at(310)), Some(vec![(1, true)]));
    dispatch.take(News { escalation: 1, ..critical(firing(1)) }, at(900));
    assert_eq!(sent(&mut dispatch, 1, at(910)), Some(vec![(1, true)]));
    assert_eq!(sent(&mut dispatch, 0, at(910)), None, "it is no news where it was told");
}

#[test]
fn a_receiver_that_groups_by_itself_hears_at_once_and_every_minute() {
    let mut dispatch = plan(vec![route("", &[2])]);
    dispatch.take(firing(1), at(0));
    assert_eq!(sent(&mut dispatch, 2, at(0)), Some(vec![(1, true)]));
    dispatch.take(firing(2), at(30));
    assert_eq!(sent(&mut dispatch, 2, at(30)), Some(vec![(2, true)]));
    assert_eq!(sent(&mut dispatch, 2, at(59)), None);
    assert_eq!(sent(&mut dispatch, 2, at(60)), Some(vec![(1, true), (2, true)]));
    dispatch.take(News { acknowledged: true, ..firing(1) }, at(61));
    dispatch.take(resolved(2), at(61));
    assert_eq!(sent(&mut dispatch, 2, at(61)), Some(vec![(2, false)]));
    assert_eq!(
        sent(&mut dispatch, 2, at(120)),
        Some(vec![(1, true)]),
        "or it would take it for over"
    );
}

#[test]
fn what_does_not_fit_comes_with_the_next_message_at_once() {
    let mut dispatch = plan(vec![route("", &[0])]);
    (0..250).for_each(|id| dispatch.take(firing(id), at(0)));
    let first = dispatch.next(0, at(10)).unwrap();
    assert_eq!((first.alerts.len(), first.n_left_out), (100, 150));
    dispatch.told(&first, at(10));
    assert_eq!(sent(&mut dispatch, 0, at(10)).map(|said| said.len()), Some(100));
    let last = dispatch.next(0, at(10)).unwrap();
    let n_new = last.alerts.iter().filter(|said| said.facts.id.0 >= 200).count();
    assert_eq!((n_new, last.alerts.len()), (50, 100), "filled up with what else fires");
    dispatch.told(&last, at(10));
    assert_eq!(dispatch.next(0, at(10)), None);
}

#[test]
fn what_failed_is_tried_again_and_is_the_same_message_while_nothing_changed() {
    let mut dispatch = plan(vec![route("", &[0, 1])]);
    dispatch.take(firing(1), at(0));
    let first = dispatch.next(0, at(10)).unwrap();
    dispatch.failed(&first, Failure::Away(None), at(10), 0);
    assert_eq!(dispatch.next(0, at(10)), None);
    assert!(sent(&mut dispatch, 1, at(10)).is_some(), "others do not wait");
    let again = dispatch.next(0, at(11)).unwrap();
    assert_eq!(again.id, first.id);
    dispatch.failed(&again, Failure::Away(Some(Duration::from_secs(60))), at(11), 0);
    assert_eq!(dispatch.due_at(0), Some(at(71)));
    dispatch.take(resolved(1), at(30));
    let last = dispatch.next(0, at(71)).unwrap();
    assert_ne!(last.id, first.id);
    assert_eq!((last.status, last.alerts.len()), (Status::Resolved, 1));
    dispatch.told(&last, at(71));
    assert_eq!(sent(&mut dispatch, 1, at(400)), Some(vec![(1, false)]));
    assert_eq!(dispatch.n_alerts(), 0);
}

#[test]
fn a_message_that_is_rejected_stands_in_nobodys_way_and_its_ends_are_given_up() {
    let by_device = GroupBy::Labels(vec!["device".into()]);
    let mut dispatch = plan(vec![RoutePlan { group_by: by_device, ..route("", &[0]) }]);
    dispatch.take(firing(1), at(0));
    let bad = dispatch.next(0, at(10)).unwrap();
    dispatch.failed(&bad, Failure::Rejected, at(10), 0);
    dispatch.take(firing(2), at(10));
    assert_eq!(sent(&mut dispatch, 0, at(20)), Some(vec![(2, true)]));
    dispatch.take(resolved(1), at(30));
    let mut now = at(310);
    for n in 1..REJECTIONS_MAX {
        let bad = dispatch.next(0, now).unwrap_or_else(|| panic!("it is tried again: {n}"));
        dispatch.failed(&bad, Failure::Rejected, now, 0);
        now = now + REJECTED_PAUSE;
    }
    assert_eq!(dispatch.take_losses(), Losses { not_taken: 0, given_up: 1 });
    assert_eq!(dispatch.n_alerts(), 1);
}

#[test]
fn what_is_withdrawn_while_a_message_says_it_is_taken_back_with_the_next() {
    let mut dispatch = plan(vec![route("", &[0])]);
    dispatch.take(firing(1), at(0));
    let on_way = dispatch.next(0, at(10)).unwrap();
    let mut withdrawn = firing(1);
    withdrawn.facts.status = Status::Withdrawn;
    dispatch.take(withdrawn, at(11));
    dispatch.told(&on_way, at(12));
    assert_eq!(sent(&mut dispatch, 0, at(312)), Some(vec![(1, false)]));
    assert_eq!(dispatch.n_alerts(), 0);
}

#[test]
fn a_receiver_that_is_new_at_a_start_is_told_what_fires_and_nothing_else() {
    let mut dispatch = plan(vec![route("", &[0])]);
    (1..=2).for_each(|id| dispatch.take(firing(id), at(0)));
    assert!(sent(&mut dispatch, 0, at(10)).is_some());
    dispatch.take(resolved(2), at(20));
    let bytes = Image::of(&dispatch).to_bytes().unwrap();
    let both = plan(vec![route("", &[0, 1])]).plan;
    let mut dispatch = Image::from_bytes(&bytes).unwrap().restore(both, at(30)).unwrap();
    assert_eq!(sent(&mut dispatch, 1, at(40)), Some(vec![(1, true)]));
    assert_eq!(sent(&mut dispatch, 0, at(310)), Some(vec![(1, true), (2, false)]));
    assert!(Image::from_bytes(&bytes[..9]).is_err());
}

#[test]
fn too_much_is_counted() {
    let mut dispatch = plan(vec![route("", &[0])]);
    let n = ENDED_MAX as u64 + 5;
    (0..n).for_each(|id| dispatch.take(firing(id), at(0)));
    (0..n).for_each(|id| dispatch.take(resolved(id), at(1)));
    assert_eq!(dispatch.take_losses().given_up, 5);
    assert_eq!(dispatch.n_alerts(), ENDED_MAX);
}
