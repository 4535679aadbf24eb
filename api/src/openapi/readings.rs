//! The document of readings, one by one, in buckets, as charts and files, and of telemetry.

use super::op::Op;
use super::parts;
use super::shape::{
    Shape, any, between, count, device, duration, either, list, named, number, object, page, text,
    time, word,
};
use crate::chart::POINTS_MAX;
use crate::routes::{ALL_READINGS, READINGS, TELEMETRY};

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let of_bucket = || number().or_null();
    let bucket = object()
        .must("at", time().says("When it begins."))
        .may("group", text().or_null().says("The label's value, where devices are grouped."))
        .must("metric", text())
        .must("avg", of_bucket())
        .must("min", of_bucket())
        .must("max", of_bucket())
        .must("count", count().says("How many readings; 0 where the numbers are made up."))
        .must("first", of_bucket())
        .must("last", of_bucket());
    let post = object()
        .must("device", device())
        .must("telemetry", any().says("What it would publish on `devices/{device}/telemetry`."))
        .says("What a device says.");
    vec![
        ("Reading", parts::reading().says("One value of one metric at one instant.")),
        ("ReadingsPage", page("readings", "Reading")),
        ("Bucket", bucket.says("The readings of one metric in one stretch of time.")),
        ("BucketsPage", page("buckets", "Bucket")),
        ("Post", post),
    ]
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    vec![of_one(), of_all(), telemetry()]
}

fn common(op: Op) -> Op {
    let from = "From this event time on; absent: a day before `to`, or before now.";
    let fill = "What empty buckets show; they are left out if absent, or `none`.";
    let format = "Absent: what `Accept` likes best.";
    let limit = "The most rows: of a page of JSON at most 10,000, of a file any number.";
    op.tag("readings")
        .query("metric", text(), "Of this metric only.")
        .query("from", time(), from)
        .query("to", time(), "Up to this event time, exclusive.")
        .query("bucket", duration(), "Gathered into buckets so long.")
        .query("fill", word(["none", "null", "previous", "linear"]), fill)
        .query("format", word(["json", "csv", "ndjson"]), format)
        .query("limit", between(1, 1_000_000_000), limit)
        .query("cursor", text().lengths(0, 512), "Where the page before ended: its `next`.")
        .asks_history()
        .problem(400, "too_many_buckets")
        .problems(&["missing_parameter", "conflicting_parameters"])
        .problems(&["too_many_exports", "http_1_1_required"])
        .gives_as(200, "text/csv", "They.", text())
        .gives_as(200, "application/x-ndjson", "They.", text())
}

fn of_one() -> Op {
    let page = either([named("ReadingsPage"), named("BucketsPage")]);
    let points = "As a chart of so many points; needs `metric`.";
    let method = "How the points are chosen; absent: `lttb`.";
    common(Op::get(READINGS, "listReadings", "Lists a device's readings, by time"))
        .part("id", device(), "The device's name.")
        .query("points", between(2, POINTS_MAX), points)
        .query("method", word(["lttb", "minmax"]), method)
        .problem(400, "too_many_readings")
        .problems(&["device_not_found"])
        .gives(200, "A page of readings or buckets; or all of them, as a file.", page)
}

fn of_all() -> Op {
    let by = "Devices grouped by this label; needs `metric`.";
    common(Op::get(ALL_READINGS, "listAllReadings", "Lists the readings of all devices together"))
        .about("In buckets only: `bucket` must be there.")
        .query("by", text(), by)
        .gives(200, "A page of buckets; or all of them, as a file.", named("BucketsPage"))
}

fn telemetry() -> Op {
    let about = "202 says that it is on disk; then it is counted, decoded, judged and stored as if it \
        had come by MQTT. With `Idempotency-Key`, what is sent again within ten minutes counts as a \
        repetition.";
    Op::post(TELEMETRY, "postTelemetry", "Takes readings of devices that cannot speak MQTT")
        .tag("readings")
        .about(about)
        .body(either([named("Post"), list(named("Post"))]))
        .problems(&["invalid_device", "device_not_found", "telemetry_too_large", "log_full"])
        .gives(202, "All of it is on disk.", object().must("accepted", count()))
}
