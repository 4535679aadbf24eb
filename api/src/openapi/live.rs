//! The document of the live feed, and of what watches the service.

use super::op::{OF_PEOPLE, Op};
use super::parts::cursor;
use super::shape::{Shape, between, count, duration, list, named, object, text, time, word};
use crate::live::poll;
use crate::routes::{
    DOCS, DOCS_FILE, HEALTHZ, LIVE, LIVE_EVENTS, LIVE_OPERATORS, LIVE_POLL, METRICS, OPENAPI,
    READYZ,
};

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let status = || word(["ok", "degraded", "unavailable"]);
    let check = object().must("name", text()).must("status", status()).must("detail", text());
    let database = object()
        .must("mode", word(["plain", "timescale"]))
        .must("postgresql", text())
        .must("timescaledb", text().or_null())
        .must("schema", count())
        .or_null()
        .says("The database that answered last.");
    let readiness = object()
        .must("status", status())
        .must("checks", list(check).says("Part by part."))
        .must("database", database)
        .must("version", text());
    vec![("Readiness", readiness.says("Whether the service does its work."))]
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let watch = watching().into_iter().map(|op| {
        // `http.auth.metrics` says who may see those.
        let asks = if op.path == METRICS { &OF_PEOPLE[..] } else { &[] };
        op.watched().problems(asks).tag("service")
    });
    let live = feed().into_iter().map(|op| op.tag("live"));
    let itself = document().into_iter().map(|op| op.tag("service"));
    live.chain(watch).chain(itself).collect()
}

/// What a client may ask for, as in a message.
const WISHES: [(&str, &str); 8] = [
    ("devices", "Short for `readings.devices`."),
    ("readings.devices", "Readings of these devices too: names with commas, or `*`."),
    ("readings.labels", "Readings of devices with these labels only: matchers, `site=\"berlin\"`."),
    ("readings.metrics", "Readings of these metrics only: names with commas."),
    ("alerts.devices", "Alerts of these devices only: names with commas."),
    ("alerts.labels", "Alerts with these labels only: matchers."),
    ("alerts.rules", "Alerts of these rules only: names with commas."),
    ("alerts.severity", "Alerts that are at least so bad only."),
];

/// What `limit` of a poll says.
const MOST: &str =
    "The most transitions in one answer; the next poll gives the rest. Readings are not counted.";

fn feed() -> Vec<Op> {
    let seen = "The last cursor that the client has seen; absent: it begins with a snapshot.";
    let joins = |op: Op| {
        let op = op.query("cursor", text(), seen);
        let op = WISHES.iter().fold(op, |op, (name, says)| op.query(name, text(), says));
        op.problems(&["starting", "too_many_live_clients"])
    };
    let socket = joins(Op::get(LIVE, "live", "The live feed as a WebSocket"))
        .about("Its frames are those of docs/live.md.")
        .problems(&["upgrade_required", "origin_not_allowed"])
        .empty(101, "The WebSocket is open.");
    let events = joins(Op::get(LIVE_EVENTS, "liveEvents", "The live feed as server-sent events"))
        .header("Last-Event-ID", text(), "As `cursor`; counts before it.")
        .gives_as(200, "text/event-stream", "A frame in each event.", text());
    let answer = object().must("cursor", cursor()).must("frames", list(named("Frame")));
    let poll = joins(Op::get(LIVE_POLL, "livePoll", "The live feed by long polling"))
        .about("Without a cursor it answers at once, with one as soon as something has happened.")
        .query("wait", duration(), "How long it may take, at most `60s`; absent: `25s`.")
        .query("limit", between(1, poll::LIMIT_MAX).usual(poll::LIMIT_MAX), MOST)
        .gives(200, "What happened after the cursor, or a snapshot.", answer);
    let one = object()
        .must("name", text())
        .must("since", time().says("When their first connection was opened."))
        .must("n", count().says("Connections; 0: they have just left."));
    let operators = Op::get(LIVE_OPERATORS, "liveOperators", "Who is looking at the live feed")
        .gives(200, "By name.", object().must("here", list(one)));
    vec![socket, events, poll, operators]
}

/// The document itself, and the page that shows it.
fn document() -> Vec<Op> {
    let tagged = |op: Op| op.if_none_match().answer_header(200, "ETag", "Of its contents.");
    let itself = Op::get(OPENAPI, "getDocument", "This document");
    let page = Op::get(DOCS, "getReference", "This document, as a page");
    let file = Op::get(DOCS_FILE, "getReferenceFile", "What that page loads")
        .part("file", text().example("page.js"), "Which.")
        .problems(&["route_not_found"])
        .gives_as(200, "text/javascript", "It.", text())
        .gives_as(200, "text/css", "It.", text());
    vec![
        tagged(itself.gives(200, "OpenAPI 3.1.", object())),
        tagged(page.gives_as(200, "text/html", "The page.", text())),
        tagged(file),
    ]
}

fn watching() -> Vec<Op> {
    let ready = || named("Readiness");
    vec![
        Op::get(HEALTHZ, "getHealth", "Whether the process lives").gives(
            200,
            "It does.",
            object().must("status", word(["ok"])),
        ),
        Op::get(READYZ, "getReadiness", "Whether the service does its work")
            .gives(200, "It does; `degraded` says that something is missing.", ready())
            .gives(503, "It does not: send traffic elsewhere.", ready()),
        Op::get(METRICS, "getMetrics", "The service's metrics").gives_as(
            200,
            "text/plain",
            "In Prometheus' text format.",
            text(),
        ),
    ]
}
