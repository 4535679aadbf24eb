//! The document of `alerts`.

use super::op::Op;
use super::parts::{severity, state};
use super::shape::{
    Shape, count, either, flag, hex, labels, list, named, number, object, page, text, time,
};
use crate::routes::{ALERT, ALERTS};

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let whole = "Whether these are all: not, if the database is away and has some.";
    let detail = an_alert()
        .must("transitions", list(either([named("Transition"), named("Step")])).says("In order."))
        .must("complete", flag().says(whole));
    vec![
        ("Alert", an_alert().says("One episode of a rule and a device, or a group of devices.")),
        ("AlertDetail", detail.says("An alert, and how it came to stand there.")),
        ("AlertsPage", page("alerts", "Alert")),
    ]
}

fn an_alert() -> Shape {
    object()
        .must("id", hex(16))
        .must("rule", text())
        .must("device", text().says("The device's name; of a group, its labels."))
        .must("severity", severity())
        .must("state", state())
        .must("since", time().says("When it came into this state."))
        .must("fired_at", time().or_null())
        .must("resolved_at", time().or_null())
        .must("value", number().or_null().says("What the rule's condition compared last."))
        .must("summary", text())
        .must("acknowledged_by", text().or_null())
        .must("acknowledged_at", time().or_null())
        .must("assigned_to", text().or_null())
        .must("snoozed_until", time().or_null())
        .must("latched", flag().says("Over, and nobody has acknowledged it."))
        .must("silenced", flag())
        .must("inhibited", flag())
        .must("escalation", count().says("How often it was escalated."))
        .must("labels", labels().says("The device's; of a group, the group's."))
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let about = "Open ones come first, from memory: they are right to the instant, and there while \
        the database is away. Then ended ones, from history. The latest `since` first.";
    let matchers = "Only those whose labels fit, as Alertmanager writes it.";
    let states = "One or more states, with commas; absent: all open ones, latched ones too.";
    let list = Op::get(ALERTS, "listAlerts", "Lists alerts")
        .about(about)
        .query("state", text().example("firing,recovering"), states)
        .query("device", text(), "Of this device or group only.")
        .query("rule", text(), "Of this rule only.")
        .query("acknowledged", flag(), "Only those that somebody has acknowledged, or nobody.")
        .query("silenced", flag(), "Only those that a silence mutes, or none does.")
        .query("latched", flag(), "Only those that are latched, or are not.")
        .query("assigned_to", text(), "Only those that this one is to see to.")
        .query("matchers", text().example("site=\"berlin\""), matchers)
        .pages(1_000)
        .problems(&["starting"])
        .asks_history()
        .gives(200, "A page of them.", named("AlertsPage"));
    let one = Op::get(ALERT, "getAlert", "Shows an alert and its transitions")
        .part("id", hex(16), "The alert's id.")
        .problems(&["alert_not_found"])
        .asks_history()
        .gives(200, "The alert.", named("AlertDetail"));
    [list, one].into_iter().map(|op| op.tag("alerts")).collect()
}
