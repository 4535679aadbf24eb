//! What each packet of a client does to its session.

use std::str;

use bellwire_model::{PublishBatch, PublishRef, QoS, TopicFilter, check_topic};

use crate::close::{Close, CloseKind};
use crate::codec::control::{self, AfterDisconnect, SubscribeEntry};
use crate::codec::frame::Frame;
use crate::codec::publish::{self, Publish};
use crate::codec::{Parsed, Version, connect, encode, packet_type};
use crate::message::Routed;
use crate::session::acks::Due;
use crate::session::exchange::{Exchange, SubscribeOptions, Unsubscribed};
use crate::session::{Event, Phase, Session};

/// The longest topic that is remembered to be compared with the next.
const LAST_TOPIC_BYTES_MAX: usize = 256;

impl Session {
    /// Acts on one packet.
    pub(super) fn packet(
        &mut self,
        frame: Frame<'_>,
        exchange: &mut impl Exchange,
    ) -> Parsed<Option<Event>> {
        if frame.first >> 4 == packet_type::PUBLISH && self.phase == Phase::Connected {
            return self.publish(frame, exchange).map(|()| None);
        }
        self.control(frame, exchange)
    }

    /// Acts on a packet that is no PUBLISH.
    fn control(&mut self, frame: Frame<'_>, exchange: &mut impl Exchange) -> Parsed<Option<Event>> {
        let kind = frame.first >> 4;
        if self.phase != Phase::Connected {
            return self.connect(frame).map(Some);
        }
        let reserved = match kind {
            packet_type::PUBREL | packet_type::SUBSCRIBE | packet_type::UNSUBSCRIBE => 2,
            _ => 0,
        };
        if frame.first & 0x0F != reserved {
            return Err(Close::malformed("reserved flags are wrong")); // [MQTT-2.2.2-2]
        }
        match kind {
            packet_type::PUBACK => {
                self.inflight.acknowledge(control::puback(self.version, frame.body)?);
            }
            packet_type::SUBSCRIBE => self.subscribe(frame.body, exchange)?,
            packet_type::UNSUBSCRIBE => self.unsubscribe(frame.body, exchange)?,
            packet_type::PINGREQ if frame.body.is_empty() => encode::pingresp(&mut self.out),
            packet_type::PINGREQ => return Err(Close::malformed("PINGREQ has a body")),
            packet_type::DISCONNECT => return self.disconnect(frame.body).map(Some),
            packet_type::PUBREL => {
                let id = control::pubrel(self.version, frame.body)?;
                encode::pubcomp(self.version, id, &mut self.out);
            }
            packet_type::CONNECT => {
                return Err(Close::protocol("CONNECT came twice")); // [MQTT-3.1.0-2]
            }
            _ => return Err(Close::protocol("packet of this type may not come from a client")),
        }
        Ok(None)
    }

    fn connect(&mut self, frame: Frame<'_>) -> Parsed<Event> {
        match connect::parse(frame.first, frame.body, self.limits.connect) {
            Ok(connect) => {
                self.phase = Phase::Deciding;
                Ok(Event::Connect(Box::new(connect)))
            }
            Err(refused) => Err(self.refuse(refused.version, refused.refusal)),
        }
    }

    fn publish(&mut self, frame: Frame<'_>, exchange: &mut impl Exchange) -> Parsed<()> {
        let publish = publish::parse(self.version, frame.first, frame.body)?;
        self.check_publish(&publish)?;
        // [MQTT-1.5.3-1] not UTF-8: close
        let topic = str::from_utf8(publish.topic)
            .map_err(|_| Close { kind: CloseKind::Malformed, detail: "topic is not UTF-8" })?;
        if topic.is_empty() || topic != self.last_topic {
            self.new_topic(topic, exchange)?;
        }
        if self.last_claimed {
            self.telemetry(topic, &publish);
        } else {
            self.tally.n_other += 1;
            if publish.qos == QoS::AtLeastOnce
                && self.owed.push_other(publish.packet_id) == Due::AtOnce
            {
                encode::puback(publish.packet_id, &mut self.out);
                self.tally.n_acknowledged += 1;
            }
        }
        if exchange.has_subscribers() {
            exchange.route(&Routed {
                topic,
                properties: publish.properties,
                payload: publish.payload,
                qos: publish.qos,
                retain: publish.retain,
            });
        }
        Ok(())
    }

    /// Refuses what is not offered.
    fn check_publish(&self, publish: &Publish<'_>) -> Parsed<()> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(Close { kind: CloseKind::QosNotSupported, detail: "PUBLISH has QoS 2" });
        }
        if self.version == Version::V5 {
            if publish.retain {
                let kind = CloseKind::RetainNotSupported; // [MQTT-3.2.2-14]
                return Err(Close { kind, detail: "PUBLISH has RETAIN" });
            }
            if publish.qos == QoS::AtLeastOnce
                && self.owed.len() >= usize::from(self.limits.unacknowledged_publishes_max)
            {
                return Err(CloseKind::ReceiveMaximumExceeded.into());
            }
        }
        Ok(())
    }

    /// Checks a topic that is not the last one, and remembers it.
    fn new_topic(&mut self, topic: &str, exchange: &impl Exchange) -> Parsed<()> {
        if let Err(detail) = self.check_name(topic) {
            return Err(Close { kind: CloseKind::TopicInvalid, detail });
        }
        if !exchange.may_publish(topic) {
            return Err(CloseKind::NotAuthorized.into());
        }
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

    fn check_extent(&self, topic: &str) -> Result<(), &'static str> {
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
        if publish.qos == QoS::AtLeastOnce {
            self.owed.push_telemetry(publish.packet_id, topic.len() + publish.payload.len());
        } else {
            self.batch_at_most_once += 1;
        }
    }

    fn subscribe(&mut self, body: &[u8], exchange: &mut impl Exchange) -> Parsed<()> {
        let subscribe = control::subscribe(self.version, body)?;
        let mut codes = Vec::with_capacity(subscribe.entries.len());
        for entry in &subscribe.entries {
            codes.push(self.subscribe_one(entry, subscribe.subscription_id, exchange));
        }
        encode::suback(self.version, subscribe.packet_id, &codes, &mut self.out);
        Ok(())
    }

    /// Subscribes to one filter and gives the code for SUBACK, as MQTT 5 has it.
    fn subscribe_one(
        &self,
        entry: &SubscribeEntry,
        id: Option<u32>,
        exchange: &mut impl Exchange,
    ) -> u8 {
        const TOPIC_FILTER_INVALID: u8 = 0x8F;
        const NOT_AUTHORIZED: u8 = 0x87;
        const QUOTA_EXCEEDED: u8 = 0x97;
        const SHARED_NOT_SUPPORTED: u8 = 0x9E;
        if entry.filter.starts_with("$share/") {
            return SHARED_NOT_SUPPORTED;
        }
        if self.check_extent(&entry.filter).is_err() {
            return TOPIC_FILTER_INVALID;
        }
        let Ok(filter) = TopicFilter::new(&entry.filter) else { return TOPIC_FILTER_INVALID };
        if !exchange.may_subscribe(&filter) {
            return NOT_AUTHORIZED;
        }
        let qos = entry.qos.min(QoS::AtLeastOnce);
        let options = SubscribeOptions { qos, own: entry.own, retain: entry.retain, id };
        match exchange.subscribe(filter, options) {
            Ok(()) => qos as u8,
            Err(_) => QUOTA_EXCEEDED,
        }
    }

    fn unsubscribe(&mut self, body: &[u8], exchange: &mut impl Exchange) -> Parsed<()> {
        let (id, filters) = control::unsubscribe(self.version, body)?;
        let codes: Vec<u8> = filters
            .iter()
            .map(|filter| match exchange.unsubscribe(filter.as_str()) {
                Unsubscribed::Removed => 0,
                Unsubscribed::Absent => 0x11,
            })
            .collect();
        encode::unsuback(self.version, id, &codes, &mut self.out);
        Ok(())
    }

    fn disconnect(&mut self, body: &[u8]) -> Parsed<Event> {
        let kind = match control::disconnect(self.version, body, self.session_expiry_s)? {
            AfterDisconnect::ForgetWill => CloseKind::ClientDisconnected,
            AfterDisconnect::PublishWill => CloseKind::ClientDisconnectedWithWill,
        };
        Ok(Event::Close(kind.into()))
    }
}
