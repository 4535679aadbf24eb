//! The document of `devices`, their accounts, and what they said last.

use bellwire_model::registry::LABELS_MAX;

use super::op::{JSON, Op};
use super::parts;
use super::shape::{
    Shape, count, device, flag, labels, list, map, named, object, page, signed, text, time, word,
};
use crate::routes::{ALL_AUDITS, ALL_LATEST, AUDIT, DEVICE, DEVICES, LATEST};

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let latest = object().must("device", device()).must("latest", list(named("Reading")));
    let of_fleet = parts::reading().must("device", device());
    vec![
        ("Device", a_device().says("A device, as lists show it.")),
        ("DeviceDetail", a_device().must("sources", parts::sources()).says("One device.")),
        ("DevicesPage", page("devices", "Device")),
        ("DeviceChange", said().says("What the registry is to say of a device.")),
        ("NewDevice", said().must("device", device()).says("A device to register, or to label.")),
        ("Audit", parts::audit()),
        ("AuditsPage", page("audit", "Audit")),
        ("Latest", latest.says("The latest reading of each metric of a device.")),
        ("LatestReading", of_fleet.says("The latest reading of a metric of a device.")),
        ("LatestPage", page("latest", "LatestReading")),
    ]
}

fn a_device() -> Shape {
    let skew = signed().or_null().says("Positive: its clock is ahead. `null`: not known.");
    object()
        .must("device", device())
        .must("first_seen", time().or_null().says("When its first publish was received."))
        .must("last_seen", time().or_null().says("When its latest publish was received."))
        .must("online", flag().says("Whether it is connected, as far as is known."))
        .must("clock_skew_ms", skew)
        .must("clock_skew_since", time().or_null())
        .must("labels", labels().says("Those that count, whoever says them."))
        .must("model", text().or_null().says("The label `model`."))
        .must("registered", flag().says("Whether the registry has it."))
}

fn said() -> Shape {
    let model = text().lengths(1, 256).or_null().says("The label `model`; `null` removes it.");
    let labels = map(text().lengths(1, 256).or_null()).or_null();
    object().may("model", model).may("labels", labels.says("`null` removes one, or all.")).closed()
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    [one(), many()].into_iter().flatten().map(|op| op.tag("devices")).collect()
}

fn name(op: Op) -> Op {
    op.part("id", device(), "The device's name.").problems(&["device_not_found"])
}

/// What every change of devices may answer.
const CHANGES: [&str; 6] =
    ["invalid_label", "too_many_labels", "registry_full", "registry_busy", "log_full", "stopping"];

fn one() -> Vec<Op> {
    let registered = "To register it: `*`, in place of `If-Match`.";
    let tagged = |op: Op, status| {
        let says = "The revision of what the registry says of it, for `If-Match`.";
        op.answer_header(status, "ETag", says)
    };
    let shown = |op: Op| tagged(op.gives(200, "The device.", named("DeviceDetail")), 200);
    let put = Op::put(DEVICE, "putDevice", "Says all that the registry says of a device")
        .header("If-None-Match", word(["*"]), registered)
        .body(named("DeviceChange"))
        .problems(&["device_exists", "device_changed"])
        .gives(201, "It was registered.", named("DeviceDetail"));
    let patch = Op::patch(DEVICE, "patchDevice", "Changes what the registry says of a device")
        .about("The body is a JSON merge patch (RFC 7396): `null` removes.")
        .header("If-None-Match", word(["*"]), registered)
        .body_as(&[JSON, "application/merge-patch+json"], named("DeviceChange"))
        .problems(&["device_exists", "device_changed"]);
    let births = "`forget` forgets what its births said too.";
    let delete = Op::delete(DEVICE, "deleteDevice", "Removes a device from the registry")
        .about("What it has published stays, and so does the device as long as it is there.")
        .header("If-None-Match", word(["*"]), registered)
        .query("births", word(["forget"]), births)
        .problems(&["device_exists", "device_changed"])
        .empty(204, "The registry has it no more.");
    let get = Op::get(DEVICE, "getDevice", "Shows a device, and which source says which label");
    let changes = |op: Op| name(op).if_match("device").problems(&CHANGES);
    let audit = Op::get(AUDIT, "getAudit", "Shows the account of a device's publishes");
    let latest = Op::get(LATEST, "getLatest", "Shows the latest reading of each metric");
    vec![
        name(shown(get)),
        changes(tagged(shown(put), 201)),
        changes(shown(patch)),
        changes(delete),
        name(audit).asks_history().gives(200, "The account.", named("Audit")),
        name(latest).gives(200, "The readings, by metric.", named("Latest")),
    ]
}

fn many() -> Vec<Op> {
    let select = "Those that this chooses, as `select` of a rule.";
    let all = Op::get(DEVICES, "listDevices", "Lists devices, by name")
        .query("select", text().example("kind = 'freezer'"), select)
        .query("online", word(["true", "false"]), "Those that are connected, or are not.")
        .query("prefix", text(), "Those whose names begin so.")
        .pages(1_000)
        .problems(&["invalid_selection"])
        .gives(200, "A page of them.", named("DevicesPage"));
    let about = format!(
        "All or none, at most 10,000, each with at most {LABELS_MAX} labels, which come beside those \
         that it has. Also line by line (NDJSON)."
    );
    let import = Op::post(DEVICES, "importDevices", "Registers devices, and labels them")
        .about(&about)
        .body_as(&[JSON, "application/x-ndjson"], list(named("NewDevice")))
        .problems(&CHANGES)
        .problems(&["invalid_device"])
        .gives(200, "All are registered.", object().must("devices", count()));
    let audits = Op::get(ALL_AUDITS, "listAudits", "Lists the accounts of all devices, by name")
        .pages(1_000)
        .asks_history()
        .gives(200, "A page of them.", named("AuditsPage"));
    let latest = Op::get(ALL_LATEST, "listLatest", "Lists the latest readings of all devices")
        .about("By device and metric; `limit` counts devices.")
        .query("metric", text(), "Of this metric only.")
        .pages(10_000)
        .gives(200, "A page of them.", named("LatestPage"));
    vec![all, import, audits, latest]
}
