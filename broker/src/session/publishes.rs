//! What a client's PUBLISH does to its session: to the log, to subscribers, to what is retained.

use std::str;
use std::time::Duration;

use bellwire_model::{PublishBatch, PublishRef, QoS, check_topic};

use crate::close::{Close, CloseKind};
use crate::codec::encode::Ack;
use crate::codec::frame::Frame;
use crate::codec::publish::{self, Publish};
use crate::codec::{Parsed, Version};
use crate::flow::Fresh;
use crate::message::Routed;
use crate::session::Session;
use crate::session::acks::{Answer, Wait};
use crate::session::exchange::Exchange;

/// The longest topic that is remembered to be compared with the next.
const LAST_TOPIC_BYTES_MAX: usize = 256;

const NOT_AUTHORIZED: u8 = 0x87;
const QUOTA_EXCEEDED: u8 = 0x97;

impl Session {
    pub(super) fn publish(&mut self, frame: Frame<'_>, exchange: &mut impl Exchange) -> Parsed<()> {
        let publish = publish::parse(self.version, frame.first, frame.body)?;
        // [MQTT-1.5.4-1] not UTF-8: close
        let topic = str::from_utf8(publish.topic)
            .map_err(|_| Close { kind: CloseKind::Malformed, detail: "topic is not UTF-8" })?;
        match publish.properties.alias {
            None => self.publish_on(topic, &publish, exchange),
            Some(alias) => {
                let topic = self.aliases_in.resolve(alias, topic)?;
                self.publish_on(&topic, &publish, exchange)
            }
        }
    }

    fn publish_on(
        &mut self,
        topic: &str,
        publish: &Publish<'_>,
        exchange: &mut impl Exchange,
    ) -> Parsed<()> {
        if topic.is_empty()
            || topic != self.last_topic
            || exchange.claims_version() != self.last_version
        {
            self.new_topic(topic, exchange)?;
        }
        if !self.last_allowed {
            if self.last_claimed {
                exchange.refused(topic);
            }
            return self.refuse_publish(publish, exchange);
        }
        if publish.qos == QoS::ExactlyOnce
            && let Fresh::Repeated(_) = exchange.take(publish.packet_id)
        {
            // [MQTT-4.3.3-10] taken before; in turn, so not before the first one is durable
            self.answer(Ack::Pubrec, publish.packet_id, 0, exchange);
            return Ok(());
        }
        self.check_window(publish, exchange)?;
        if self.last_claimed {
            self.telemetry(topic, publish);
        } else {
            self.tally.n_other += 1;
        }
        if publish.retain || exchange.has_subscribers() {
            let reason = self.pass_on(topic, publish, exchange);
            if reason != 0 {
                self.refuse_with(publish, reason, exchange);
                return Ok(());
            }
        }
        self.acknowledge(topic, publish, exchange);
        Ok(())
    }

    /// Gives it to subscribers and to what is retained; gives the reason code.
    fn pass_on(&self, topic: &str, publish: &Publish<'_>, exchange: &mut impl Exchange) -> u8 {
        let expiry = publish.properties.expiry_s;
        let routed = Routed {
            topic,
            properties: &publish.properties.others,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expires_at: expiry.map(|it| exchange.now() + Duration::from_secs(it.into())),
        };
        // Telemetry is kept whether or not it is also retained; MQTT 3.1.1 cannot say that it is not.
        // [MQTT-3.3.1-8] without RETAIN what is retained stays as it is
        if publish.retain
            && exchange.retain(&routed).is_err()
            && !self.last_claimed
            && self.version == Version::V5
        {
            return QUOTA_EXCEEDED;
        }
        if exchange.has_subscribers() {
            exchange.route(&routed);
        }
        0
    }

    /// Owes the acknowledgement of a publish that was taken. [MQTT-3.3.4-1], [MQTT-4.3.2-4],
    /// [MQTT-4.3.3-8]
    fn acknowledge(&mut self, topic: &str, publish: &Publish<'_>, exchange: &impl Exchange) {
        let Some(ack) = ack_of(publish.qos) else {
            self.batch_at_most_once += usize::from(self.last_claimed);
            return;
        };
        if self.last_claimed {
            let bytes = topic.len() + publish.payload.len();
            self.owed.push(publish.packet_id, Answer::Telemetry(ack), bytes, Wait::ForReceipt);
        } else {
            self.answer(ack, publish.packet_id, 0, exchange);
        }
    }

    /// Refuses a publish on a topic that this client may not publish to. [MQTT3-3.3.5-2]
    fn refuse_publish(
        &mut self,
        publish: &Publish<'_>,
        exchange: &mut impl Exchange,
    ) -> Parsed<()> {
        self.tally.n_refused += 1;
        match (publish.qos, self.version) {
            (QoS::AtMostOnce, _) => Ok(()),
            // It has no code for it, and an acknowledgement would be a lie.
            (_, Version::V3) => Err(CloseKind::NotAuthorized.into()),
            (_, Version::V5) => {
                self.refuse_with(publish, NOT_AUTHORIZED, exchange);
                Ok(())
            }
        }
    }

    fn refuse_with(&mut self, publish: &Publish<'_>, reason: u8, exchange: &mut impl Exchange) {
        if let Some(ack) = ack_of(publish.qos) {
            if ack == Ack::Pubrec {
                exchange.give(publish.packet_id); // [MQTT-4.3.3-9]
            }
            self.answer(ack, publish.packet_id, reason, exchange);
        }
    }

    /// Refuses what goes beyond what may be unacknowledged. Who knows its bound, by MQTT 5, keeps to
    /// it; the others are only not read from, but for QoS 2, which they must release.
    fn check_window(&self, publish: &Publish<'_>, exchange: &impl Exchange) -> Parsed<()> {
        let max = usize::from(self.limits.unacknowledged_publishes_max);
        let n_unreleased = exchange.n_unreleased();
        let is_beyond = match (publish.qos, self.version) {
            (QoS::AtMostOnce, _) | (QoS::AtLeastOnce, Version::V3) => false,
            // [MQTT-3.3.4-7] is the client's to keep
            (QoS::AtLeastOnce, Version::V5) => self.owed.n_pubacks() + n_unreleased >= max,
            (QoS::ExactlyOnce, Version::V5) => self.owed.n_pubacks() + n_unreleased > max,
            (QoS::ExactlyOnce, Version::V3) => n_unreleased > max,
        };
        if is_beyond { Err(CloseKind::ReceiveMaximumExceeded.into()) } else { Ok(()) }
    }

    /// Checks a topic that is not the last one, and remembers it.
    fn new_topic(&mut self, topic: &str, exchange: &impl Exchange) -> Parsed<()> {
        if let Err(detail) = self.check_name(topic) {
            return Err(Close { kind: CloseKind::TopicInvalid, detail });
        }
        // What is said about the service itself, only the service says. (4.7.2)
        self.last_allowed = !topic.starts_with("$SYS/") && exchange.may_publish(topic);
        self.last_version = exchange.claims_version();
        self.last_claimed = exchange.claims(topic);
        self.last_topic.clear();
        if topic.len() <= LAST_TOPIC_BYTES_MAX {
            self.last_topic.push_str(topic);
        }
        Ok(())
    }

    fn check_name(&self, topic: &str) -> Result<(), &'static str> {
        if check_topic(topic).is_err() {
            return Err("topic is empty, or has a wildcard or U+0000");
        }
        self.check_extent(topic)
    }

    pub(super) fn check_extent(&self, topic: &str) -> Result<(), &'static str> {
        if topic.len() > self.limits.connect.topic_bytes_max {
            return Err("topic is longer than topic_bytes_max");
        }
        let separators = topic.bytes().filter(|&byte| byte == b'/').count();
        if separators >= self.limits.topic_levels_max {
            return Err("topic has more levels than topic_levels_max");
        }
        Ok(())
    }

    fn telemetry(&mut self, topic: &str, publish: &Publish<'_>) {
        if self.batch.is_empty() {
            // A batch spends up to three bytes more on a publish than the packet does.
            let bytes = self.batch_bytes_hint + self.batch_bytes_hint / 16 + 64;
            self.batch = PublishBatch::with_capacity(bytes);
        }
        self.batch.push(&PublishRef {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
            packet_id: publish.packet_id,
        });
        self.tally.n_telemetry += 1;
    }
}

/// Which acknowledgement a publish gets.
const fn ack_of(qos: QoS) -> Option<Ack> {
    match qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => Some(Ack::Puback),
        QoS::ExactlyOnce => Some(Ack::Pubrec),
    }
}
