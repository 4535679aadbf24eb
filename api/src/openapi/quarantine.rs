//! The document of `quarantine`, and of trying mappings.

use bellwire_model::RejectReason;

use super::op::Op;
use super::shape::{Shape, between, count, device, either, flag, labels, list, map, named, next};
use super::shape::{number, object, page, text, time, word};
use crate::routes::{MAPPINGS_TRY, QUARANTINE, REPLAY};

/// Why payloads stay there beside those for which they came.
const LEFT: [&str; 2] = ["another_log", "not_noted"];

fn reasons() -> impl Iterator<Item = &'static str> {
    RejectReason::ALL.iter().map(|it| it.label())
}

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let row = object()
        .must("id", id())
        .must("received_at", time())
        .must("device", device().or_null())
        .must("topic", text())
        .must("reason", word(reasons()))
        .must("detail", text().says("What is wrong and where, for a person."))
        .must("payload_bytes", count().says("How long it is."))
        .must("payload", text().or_null().says("Where it is text, up to 16 KiB."))
        .must("payload_base64", text().or_null().says("Where it is no text, up to 16 KiB."));
    let ask = object()
        .may("ids", list(id()).or_null().says("These only; at most 100."))
        .may("device", device().or_null())
        .may("reason", word(reasons()).or_null())
        .may("topic", text().or_null().says("With `/#` at its end: and those below."))
        .may("from", time().or_null())
        .may("to", time().or_null())
        .may("limit", between(1, 100).or_null())
        .may("cursor", text().or_null().says("Where the page before ended: its `next`."))
        .may("dry_run", flag().says("Only say what would come of it."))
        .closed();
    let left = object()
        .must("id", id())
        .must("topic", text())
        .must("device", device().or_null())
        .must("reason", word(reasons().chain(LEFT)))
        .must("detail", text());
    let replayed = object()
        .must("dry_run", flag())
        .must("replayed", count().says("How many payloads can be read now."))
        .must("readings", count().says("How many readings they have that were not stored."))
        .must("left", list(named("Left")).says("The others."))
        .must("next", next());
    let mut parts = vec![
        ("Quarantined", row.says("A payload that could not be read, as it came.")),
        ("QuarantinePage", page("quarantine", "Quarantined")),
        ("Replay", ask.says("Which payloads; all, if nothing is said.")),
        ("Left", left.says("A payload that stays, and why.")),
        ("Replayed", replayed.says("What came of a page of payloads.")),
    ];
    parts.extend(trials());
    parts
}

/// Shapes of trying mappings.
fn trials() -> [(&'static str, Shape); 4] {
    let ask = object()
        .must("topic", text().example("plant/press-1/data"))
        .may("payload", text().or_null().says("The payload where it is text; or"))
        .may("payload_base64", text().or_null().says("where it is none."))
        .may("toml", text().or_null().says("The mappings; `null`: those in force."))
        .may("received_at", time().or_null().says("When it would be received; `null`: now."))
        .closed();
    let reading = object()
        .must("device", device())
        .must("metric", text())
        .must("at", time())
        .may("value", number())
        .may("text", text().says("In place of `value`, where it is a text."));
    let by = "The pattern of the mapping that reads it, or `built in`; `null`: it is no telemetry.";
    let right = object()
        .must("valid", flag())
        .must("read_by", text().or_null().says(by))
        .must("readings", count().says("How many would be stored."))
        .must("list", list(reading).says("The first 100 of them."))
        .must("online", map(flag()).says("Which devices are there by it, or no more."))
        .must("labels", map(labels()).says("What devices say of themselves."))
        .must("reason", word(reasons()).or_null().says("Why it would be in quarantine."))
        .must("detail", text().or_null().says("What is wrong and where, for a person."));
    let mistake = object()
        .must("line", count().says("From 1."))
        .must("column", count().says("From 1, in characters."))
        .must("message", text())
        .must("help", text().or_null().says("What would be right."));
    let wrong = object().must("valid", flag()).must("errors", list(named("MappingMistake")));
    [
        ("MappingTrial", ask.says("A payload, and mappings to try on it.")),
        ("MappingTried", right.says("What it would come to.")),
        ("MappingMistake", mistake.says("One thing that is wrong in the text of mappings.")),
        ("MappingMistakes", wrong.says("What is wrong.")),
    ]
}

fn id() -> Shape {
    text().pattern("^[0-9]{1,20}-[0-9]{1,10}$").example("81920-0")
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let topic = "On this topic; with `/#` at its end, on those below too.";
    let list = Op::get(QUARANTINE, "listQuarantine", "Lists payloads that could not be read")
        .about("The latest first.")
        .query("device", device(), "Of this device only.")
        .query("reason", word(reasons()), "For this reason only.")
        .query("topic", text(), topic)
        .query("from", time(), "Received then or later.")
        .query("to", time(), "Received before.")
        .pages(100)
        .asks_history()
        .gives(200, "A page of them.", named("QuarantinePage"));
    let replay = Op::post(REPLAY, "replayQuarantine", "Reads payloads again")
        .about("As the mappings say now. Those that can be read whole leave quarantine.")
        .body(named("Replay"))
        .asks_history()
        .problems(&["log_full", "out_of_scope"])
        .gives(200, "What would come of it.", named("Replayed"))
        .gives(202, "Those that can be read are on disk.", named("Replayed"));
    let found = either([named("MappingTried"), named("MappingMistakes")]);
    let attempt = Op::post(MAPPINGS_TRY, "tryMapping", "Says what a payload would come to")
        .about("Nothing is stored. A text that is wrong is no problem here, but the answer.")
        .body(named("MappingTrial"))
        .gives(200, "What it would come to, or what is wrong.", found);
    [list, replay, attempt].into_iter().map(|op| op.tag("quarantine")).collect()
}
