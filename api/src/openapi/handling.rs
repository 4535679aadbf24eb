//! The document of what operators do with alerts, and of silences.

use bellwire_model::{AlertOutcome, Silence};

use super::op::Op;
use super::shape::{Shape, count, duration, hex, list, named, object, text, time, word};
use crate::routes::{
    ALERT_ACK, ALERT_ACTIONS, ALERT_ASSIGN, ALERT_COMMENT, ALERT_SNOOZE, ALERT_UNACK,
    ALERT_UNSNOOZE, SILENCE, SILENCE_PREVIEW, SILENCES,
};

const MATCHERS: &str = r#"severity="critical", site=~"berlin-.*""#;

fn comment() -> Shape {
    text().lengths(1, Silence::TEXT_BYTES_MAX)
}

fn seen() -> Shape {
    text().or_null().says("A cursor: if the rule has spoken since, nothing is done.")
}

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let action = with_times(object())
        .must("alerts", list(hex(16)).says("1 to 1,000 ids."))
        .must("action", word(["ack", "unack", "assign", "comment", "snooze", "unsnooze"]))
        .may("comment", comment().or_null())
        .may("seen", seen())
        .may("to", text().or_null())
        .closed();
    let outcome = object()
        .must("id", hex(16))
        .must("outcome", word(AlertOutcome::ALL.iter().map(|it| it.label())))
        .must("alert", named("Alert").or_null());
    let outcomes = object().must("done", count()).must("outcomes", list(named("AlertOutcome")));
    let silence = object()
        .must("id", hex(32))
        .must("version", count().says("Also the `ETag`."))
        .must("state", word(["pending", "active", "waiting", "expired"]))
        .must("matchers", text().example(MATCHERS))
        .must("starts_at", time())
        .must("ends_at", time())
        .must("schedule", text().or_null().says("It mutes at these hours only."))
        .must("time_zone", text().or_null())
        .must("author", text())
        .must("reason", text())
        .must("created_at", time())
        .must("updated_at", time());
    let new = object()
        .must("matchers", text().example(MATCHERS))
        .must("reason", comment())
        .may("for", duration().or_null().says("How long; or `ends_at`."))
        .may("ends_at", time().or_null())
        .may("starts_at", time().or_null().says("Absent: from now on."))
        .may("schedule", text().or_null().example("mon-fri 22:00-06:00"))
        .may("time_zone", text().or_null().says("Absent: `UTC`."))
        .closed();
    vec![
        ("AlertAction", action.says("What is to be done with many alerts.")),
        ("AlertOutcome", outcome.says("What came of it for one.")),
        ("AlertOutcomes", outcomes),
        ("Silence", silence.says("Mutes alerts by their labels, for a time.")),
        ("NewSilence", new.says("How a silence is to be.")),
    ]
}

fn with_times(shape: Shape) -> Shape {
    shape
        .may("for", duration().or_null().says("How long; or `until`."))
        .may("until", time().or_null())
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let mut ops = alerts();
    ops.extend(silences());
    ops
}

/// What is done with one alert: its problems beside those of all.
fn one(op: Op, body: Shape, problems: &[&'static str]) -> Op {
    op.tag("alerts")
        .part("id", hex(16), "The alert's id.")
        .body(body.may("comment", comment().or_null()).closed())
        .problems(&["alert_not_found", "alert_over", "invalid_text", "log_full"])
        .problems(problems)
        .asks_history()
        .gives(200, "The alert as it stands then.", named("Alert"))
}

fn alerts() -> Vec<Op> {
    let about = "The answer says that it is on disk, also while the database is away.";
    let ack = Op::post(ALERT_ACK, "acknowledgeAlert", "Acknowledges an alert").about(about);
    let unack = Op::post(ALERT_UNACK, "unacknowledgeAlert", "Gives an alert back");
    let assign = Op::post(ALERT_ASSIGN, "assignAlert", "Says who is to see to an alert");
    let comment = Op::post(ALERT_COMMENT, "commentAlert", "Says something about an alert");
    let snooze = Op::post(ALERT_SNOOZE, "snoozeAlert", "Mutes an alert for a while");
    let unsnooze = Op::post(ALERT_UNSNOOZE, "unsnoozeAlert", "Ends that");
    let to = text().or_null().says("Who; `null`: nobody.");
    let acking = ["alert_pending", "alert_changed", "already_acknowledged"];
    let many = Op::post(ALERT_ACTIONS, "actOnAlerts", "Does something with many alerts")
        .about("It is done with all with which it can be; the answer tells of each.")
        .tag("alerts")
        .body(named("AlertAction"))
        .problems(&["invalid_text", "invalid_time", "too_many_alerts", "log_full"])
        .problems(&["alert_not_found"])
        .gives(200, "What came of it for each.", named("AlertOutcomes"));
    vec![
        one(ack, object().may("seen", seen()), &acking),
        one(unack, object(), &["not_acknowledged"]),
        one(assign, object().must("to", to), &[]),
        one(comment, object(), &[]),
        one(snooze, with_times(object()), &["alert_pending", "invalid_time", "ends_too_early"]),
        one(unsnooze, object(), &["not_snoozed"]),
        many,
    ]
}

fn silences() -> Vec<Op> {
    let tag = |op: Op| op.tag("silences");
    let of =
        |op: Op| tag(op).part("id", hex(32), "The silence's id.").problems(&["silence_not_found"]);
    let wrong = [
        "invalid_matchers",
        "invalid_schedule",
        "invalid_text",
        "invalid_time",
        "ends_too_early",
        "log_full",
    ];
    let version = "Its version, for `If-Match`.";
    let states = "One or more states, with commas; absent: all.";
    let all = object().must("silences", list(named("Silence")));
    let list_all = tag(Op::get(SILENCES, "listSilences", "Lists silences"))
        .about("Those that are not over, and those that ended in the last five days.")
        .query("state", text().example("active,pending"), states)
        .gives(200, "The latest end first.", all);
    let create = tag(Op::post(SILENCES, "createSilence", "Makes a silence"))
        .body(named("NewSilence"))
        .problems(&wrong)
        .problems(&["silence_not_found", "silence_over", "silence_changed", "too_many_silences"])
        .gives(201, "The silence.", named("Silence"))
        .answer_header(201, "Location", "The silence's own address.")
        .answer_header(201, "ETag", version);
    let get = of(Op::get(SILENCE, "getSilence", "Shows a silence"))
        .gives(200, "The silence.", named("Silence"))
        .answer_header(200, "ETag", version);
    let put = of(Op::put(SILENCE, "changeSilence", "Changes a silence"))
        .if_match("silence")
        .body(named("NewSilence"))
        .problems(&wrong)
        .problems(&["silence_over", "silence_changed", "too_many_silences"])
        .gives(200, "The silence.", named("Silence"))
        .answer_header(200, "ETag", version);
    let expire = of(Op::delete(SILENCE, "expireSilence", "Ends a silence"))
        .about("Now; one that has not begun will not. It can still be looked at.")
        .header("If-Match", text().example("*"), "The version that was seen, if it matters.")
        .problems(&["silence_over", "silence_changed", "log_full"])
        .gives(200, "The silence.", named("Silence"))
        .answer_header(200, "ETag", version);
    let asked = object().must("matchers", text().example(MATCHERS)).closed();
    let shown = object()
        .must("count", count())
        .must("alerts", list(named("Alert")).says("The first 1,000."));
    let preview =
        tag(Op::post(SILENCE_PREVIEW, "previewSilence", "Shows what a silence would mute"))
            .body(asked)
            .problems(&["invalid_matchers", "starting"])
            .gives(200, "The open alerts that it would mute.", shown);
    vec![list_all, create, get, put, expire, preview]
}
