//! Shapes that have a name in the document, since several answers have them.

use bellwire_model::{AlertState, Correction, Severity, StepKind};

use super::shape::{
    Shape, any, count, device, either, flag, hex, labels, list, named, number, object, text, time,
    tuple, word,
};

/// All of them, by name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let mut all = vec![("Problem", problem())];
    all.extend(live());
    all.extend(super::alerts::parts());
    all.extend(super::channels::parts());
    all.extend(super::audit_log::parts());
    all.extend(super::commands::parts());
    all.extend(super::devices::parts());
    all.extend(super::handling::parts());
    all.extend(super::live::parts());
    all.extend(super::people::parts());
    all.extend(super::quarantine::parts());
    all.extend(super::readings::parts());
    all.extend(super::rules::parts());
    all
}

/// The states of an alert.
pub(super) fn state() -> Shape {
    word(AlertState::ALL.iter().map(|it| it.label()))
}

/// How bad an alert is.
pub(super) fn severity() -> Shape {
    word(Severity::ALL.iter().map(|it| it.label()))
}

/// Where a client of the live feed stands.
pub(super) fn cursor() -> Shape {
    text().says("Handed back as `cursor`, it gives every transition after this one.")
}

fn problem() -> Shape {
    object()
        .must("type", text().says("`about:blank`: `code` says what it is."))
        .must("title", text().says("The status in words."))
        .must("status", count())
        .must("code", text().says("The stable word for what is wrong."))
        .must("detail", text().says("What is wrong here, for a person; it may change."))
        .must("request_id", text().says("What the service's log calls the request."))
        .may("errors", list(any()).says("What is wrong, place by place, where there are several."))
        .may("alert", named("Alert").says("The alert as it stands, where that is why."))
        .says("A problem (RFC 9457).")
}

fn live() -> [(&'static str, Shape); 5] {
    let times = object()
        .must("received", time().says("When its record was received."))
        .must("durable", time().or_null().says("When that was on disk."))
        .must("judged", time().or_null().says("When rules had judged it."))
        .must("sent", time().or_null().says("When it was sent to this client."));
    let transition = object()
        .must("type", word(["transition"]))
        .must("cursor", cursor())
        .must("alert", named("Alert"))
        .must("from", state())
        .must("to", state())
        .must("at", time().says("Event time."))
        .must("reason", text())
        .may("correction", word(Correction::ALL.iter().map(|it| it.label())))
        .may("historical", flag().says("True if it is of what was measured long ago."))
        .must("rule_version", hex(16))
        .must("times", named("StageTimes"));
    let step = object()
        .must("type", word(["step"]))
        .must("cursor", cursor())
        .must("alert", named("Alert"))
        .must("step", word(StepKind::ALL.iter().map(|it| it.label())))
        .must("by", text().or_null().says("Who did it; `null`: the service."))
        .must("text", text().or_null().says("What he said to it."))
        .must("at", time().says("When it was received."))
        .must("reason", text())
        .must("rule_version", hex(16))
        .must("times", named("StageTimes"));
    let snapshot = object()
        .must("type", word(["snapshot"]))
        .must("cursor", cursor())
        .must("resumed", flag().says("Whether the client has got all since its cursor."))
        .must("resume", word(crate::live::Resume::ALL.iter().map(|it| it.label())))
        .must("alerts", list(named("Alert")).says("The open ones."));
    let gone = object()
        .must("type", word(["gone"]))
        .must("cursor", cursor())
        .must("id", text().says("Of an alert that is not of those that were asked for any more."));
    let reading = object()
        .must("type", word(["reading"]))
        .must("device", device())
        .must("metric", text())
        .must("at", time().says("Event time."))
        .may("value", number())
        .may("text", text().says("In place of `value`, where it is a text."));
    let frame = either([named("Snapshot"), named("Transition"), named("Step"), gone, reading])
        .says("A frame of the live feed; docs/live.md has them all.");
    [
        ("StageTimes", times.says("When it passed each stage; `null`: not known.")),
        ("Transition", transition.says("An edge between states of an alert.")),
        ("Step", step.says("A step in the handling of an alert.")),
        ("Snapshot", snapshot.says("How things stand.")),
        ("Frame", frame),
    ]
}

/// A reading without its device.
pub(super) fn reading() -> Shape {
    object()
        .must("metric", text())
        .must("at", time().says("Event time."))
        .may("value", number().or_null())
        .may("text", text().says("In place of `value`, where it is a text."))
        .may("unit", text().says("Where payloads say it."))
}

/// The accounts of one device.
pub(super) fn audit() -> Shape {
    let gaps = list(tuple(count(), 2)).says("Numbers that are missing: from, to.");
    let seq = object()
        .must("last", count().or_null())
        .must("gaps", gaps)
        .must("resets", count().says("How often it began anew."));
    object()
        .must("device", device())
        .must("received", count().says("stored + duplicate + quarantined + refused, at all times."))
        .must("stored", count())
        .must("duplicate", count())
        .must("quarantined", count())
        .must("refused", count())
        .must("readings", count().says("How many readings the stored publishes had."))
        .must("seq", seq.says("The device's own counter."))
        .says("Every publish of a device, counted once.")
}

/// Labels by who says them.
pub(super) fn sources() -> Shape {
    object().must("registry", labels()).must("rules", labels()).must("births", labels())
}
