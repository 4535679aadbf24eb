//! The document of `channels` and `deliveries`.

use super::op::Op;
use super::shape::{Shape, count, flag, hex, list, named, object, page, text, time, word};
use crate::ports::{ChannelInfo, DeliveryInfo};
use crate::routes::{CHANNEL_TEST, CHANNELS, DELIVERIES};

fn result() -> Shape {
    word(DeliveryInfo::RESULTS).says("`failed` is tried again, `rejected` was not wanted.")
}

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let error = object().must("at", time()).must("detail", text());
    let channel = object()
        .must("name", text())
        .must("type", text().example("webhook"))
        .must("status", word(ChannelInfo::STATES))
        .must("last_success", time().or_null())
        .must("last_error", named("ChannelError").or_null())
        .must("waiting", count().says("Messages that could be sent now, or are on their way."))
        .must("oldest_waiting_s", count().says("For how long the oldest of them could have been."));
    let address = || count().says("Which of the channel's addresses, from 0.");
    let answer = object()
        .must("address", address())
        .must("result", result())
        .must("detail", text().says("In the receiver's words."))
        .must("took_ms", count());
    let tested = object()
        .must("channel", text())
        .must("delivered", flag().says("Whether every address has it."))
        .must("answers", list(named("ChannelAnswer")));
    let delivery = object()
        .must("id", text())
        .must("at", time().says("When it ended."))
        .must("channel", text())
        .must("address", address())
        .must("message", text().says("`X-Bellwire-Delivery`: the same for the same message."))
        .must("test", flag())
        .must("result", result())
        .must("detail", text().says("In the receiver's words."))
        .must("took_ms", count())
        .must("group", text().says("The group's key."))
        .must("firing", count().says("How many of its alerts fire."))
        .must("alerts", list(hex(16)));
    vec![
        ("ChannelError", error),
        ("Channel", channel.says("Where alerts are sent to.")),
        ("ChannelAnswer", answer),
        ("ChannelTested", tested),
        ("Delivery", delivery.says("An attempt to send a message.")),
        ("DeliveriesPage", page("deliveries", "Delivery")),
    ]
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let all = Op::get(CHANNELS, "listChannels", "Lists the channels, and how each is")
        .tag("channels")
        .gives(200, "All of them.", object().must("channels", list(named("Channel"))));
    let about = "It waits for the receiver, at most as long as the channel's `timeout_ms`. What the \
        message opens at an Alertmanager or PagerDuty it closes again.";
    let test = Op::post(CHANNEL_TEST, "testChannel", "Sends a test message")
        .tag("channels")
        .about(about)
        .part("name", text(), "The channel's name.")
        .problems(&["channel_not_found", "channel_busy"])
        .gives(200, "What the receiver said, also if it was no.", named("ChannelTested"));
    let deliveries = Op::get(DELIVERIES, "listDeliveries", "Lists what was sent, the latest first")
        .tag("channels")
        .about("The latest 10,000 attempts.")
        .query("channel", text(), "Of this channel only.")
        .query("alert", hex(16), "That tell of this alert only.")
        .pages(100)
        .gives(200, "A page of them.", named("DeliveriesPage"));
    vec![all, test, deliveries]
}
