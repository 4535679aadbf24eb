//! The document of `devices/{id}/commands`.

use bellwire_model::{CommandState, Reply};

use super::op::Op;
use super::shape::{
    Shape, any, between, count, device, duration, flag, hex, list, named, next, object, text, time,
    word,
};
use crate::routes::{COMMAND, COMMANDS};

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let replies = || word(Reply::ALL.iter().map(|it| it.label()));
    let command = payload(object())
        .must("id", hex(32))
        .must("device", device())
        .must("state", word(CommandState::ALL.iter().map(|it| it.label())))
        .must("content_type", text().or_null())
        .must("reply", replies())
        .must("author", text().or_null())
        .must("created_at", time())
        .must("expires_at", time())
        .must("sent_at", time().or_null())
        .must("acknowledged_at", time().or_null())
        .must("answered_at", time().or_null())
        .must("ended_at", time().or_null())
        .must("sendings", count().says("How often it was sent: once, as a rule."))
        .must("answer", named("CommandAnswer").or_null());
    let says = "The member of a JSON object under which the command's id is added.";
    let short = || text().lengths(1, 256).or_null();
    let new = object()
        .may("payload", any().says("What the device gets: JSON, as it stands."))
        .may("payload_text", text().or_null().says("Or text."))
        .may("payload_base64", text().or_null().says("Or bytes, in base64 with padding."))
        .may("content_type", short().says("For MQTT 5."))
        .may("id_as", short().says(says))
        .may("reply", replies().or_null().says("Absent: `expected`."))
        .may("expires_in", duration().or_null().says("At most `30d`; absent: `1h`."))
        .may("author", short())
        .closed();
    let answer = payload(object()).must("at", time());
    let partial = "True if the database is away: then only those in memory are shown.";
    let page = object()
        .must("commands", list(named("Command")))
        .must("next", next())
        .may("partial", flag().says(partial));
    vec![
        ("Command", command.says("What a device is asked to do, and what came of it.")),
        ("NewCommand", new.says("One of the three payloads, and how it is meant.")),
        ("CommandAnswer", answer.says("What the device answered.")),
        ("CommandsPage", page),
    ]
}

fn payload(shape: Shape) -> Shape {
    shape
        .may("payload", any().says("Where it is JSON."))
        .may("payload_text", text().says("Where it is other text."))
        .may("payload_base64", text().says("Where it is no text."))
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let of = |op: Op| op.tag("commands").part("id", device(), "The device's name.");
    let one = |op: Op| {
        of(op)
            .part("command", hex(32), "The command's id.")
            .problems(&["command_not_found"])
            .asks_history()
    };
    let about = "It is brought to the device when it is connected, until it expires. With \
        `Idempotency-Key`, what is sent again within a day is the same command.";
    let place = "The command's own address.";
    let give = of(Op::post(COMMANDS, "giveCommand", "Gives a device a command"))
        .about(about)
        .body(named("NewCommand"))
        .problems(&["device_not_found", "invalid_command", "command_too_large"])
        .problems(&["too_many_commands", "commands_full", "log_full"])
        .asks_history()
        .gives(200, "It was given before, with this key.", named("Command"))
        .gives(202, "It is on disk.", named("Command"))
        .answer_header(200, "Location", place)
        .answer_header(202, "Location", place);
    let states = "States with commas; `open` are those that are not over.";
    let many = of(Op::get(COMMANDS, "listCommands", "Lists a device's commands, the latest first"))
        .query("state", text().example("open"), states)
        .pages(100)
        .problems(&["device_not_found"])
        .asks_history()
        .gives(200, "A page of them.", named("CommandsPage"));
    let wait = "So many seconds, until nothing more is expected of it.";
    let get = one(Op::get(COMMAND, "getCommand", "Shows a command"))
        .query("wait", between(0, 60), wait)
        .gives(200, "The command.", named("Command"));
    let cancel = one(Op::delete(COMMAND, "cancelCommand", "Takes a command back"))
        .about("One that was not sent yet.")
        .problems(&["command_sent", "log_full"])
        .gives(200, "The command, cancelled.", named("Command"));
    vec![many, give, get, cancel]
}
