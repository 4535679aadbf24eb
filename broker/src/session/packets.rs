//! What each packet of a client does to its session.

use crate::access::Subscribing;
use crate::close::{Close, CloseKind};
use crate::codec::control::{self, AfterDisconnect, Answered, Own, SubscribeEntry, Taken};
use crate::codec::encode::{self, Ack};
use crate::codec::frame::Frame;
use crate::codec::{Parsed, connect, packet_type};
use crate::flow::{Given, Received};
use crate::session::acks::{Answer, Due, Wait, is_success};
use crate::session::exchange::{Exchange, SubscribeOptions, Unsubscribed};
use crate::session::{Event, Phase, Session};
use crate::share::Filter;

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
        // [MQTT-2.1.3-1]: [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1],
        // [MQTT-3.15.1-1]
        let reserved = match kind {
            packet_type::PUBREL | packet_type::SUBSCRIBE | packet_type::UNSUBSCRIBE => 2,
            _ => 0,
        };
        if frame.first & 0x0F != reserved {
            return Err(Close::malformed("reserved flags are wrong"));
        }
        match kind {
            packet_type::PUBACK
            | packet_type::PUBREC
            | packet_type::PUBREL
            | packet_type::PUBCOMP => self.answered(kind, frame.body, exchange)?,
            packet_type::SUBSCRIBE => self.subscribe(frame.body, exchange)?,
            packet_type::UNSUBSCRIBE => self.unsubscribe(frame.body, exchange)?,
            packet_type::PINGREQ if frame.body.is_empty() => encode::pingresp(&mut self.out),
            packet_type::PINGREQ => return Err(Close::malformed("PINGREQ has a body")),
            packet_type::DISCONNECT => return self.disconnect(frame.body, exchange).map(Some),
            packet_type::CONNECT => {
                return Err(Close::protocol("CONNECT came twice")); // [MQTT-3.1.0-2]
            }
            // [MQTT-4.12.0-6], [MQTT-4.12.0-7] no CONNECT with an authentication method was let in
            packet_type::AUTH => {
                return Err(Close::protocol("enhanced authentication is not offered"));
            }
            _ => return Err(Close::protocol("packet of this type may not come from a client")),
        }
        Ok(None)
    }

    /// Acts on PUBACK, PUBREC, PUBREL or PUBCOMP.
    fn answered(&mut self, kind: u8, body: &[u8], exchange: &mut impl Exchange) -> Parsed<()> {
        const NOT_FOUND: u8 = 0x92;
        let Answered { packet_id, taken } = control::answered(self.version, kind, body)?;
        match kind {
            packet_type::PUBACK => exchange.acknowledged(packet_id),
            packet_type::PUBREC => match exchange.received(packet_id, taken) {
                Received::Release(_) | Received::ReleaseAgain(..) => {
                    self.answer(Ack::Pubrel, packet_id, 0, exchange); // [MQTT-4.3.3-4]
                }
                Received::Refused(_) => {} // [MQTT-4.4.0-2]
                // A client that refuses what we do not know needs no answer.
                Received::Unknown if taken == Taken::No => {}
                Received::Unknown => self.answer(Ack::Pubrel, packet_id, NOT_FOUND, exchange),
            },
            packet_type::PUBREL => match exchange.give(packet_id) {
                Given::Known => self.answer(Ack::Pubcomp, packet_id, 0, exchange), // [MQTT-4.3.3-11]
                Given::Unknown => self.answer(Ack::Pubcomp, packet_id, NOT_FOUND, exchange),
            },
            _ => exchange.completed(packet_id),
        }
        Ok(())
    }

    /// Answers, now or when what was noted is durable.
    pub(super) fn answer(
        &mut self,
        ack: Ack,
        packet_id: u16,
        reason: u8,
        exchange: &impl Exchange,
    ) {
        let wait = if exchange.has_changes() { Wait::ForReceipt } else { Wait::InTurn };
        if self.owed.push(packet_id, Answer::Other(ack, reason), 0, wait) == Due::AtOnce {
            encode::ack_with(self.version, ack, packet_id, reason, &mut self.out);
            self.tally.n_acknowledged += u64::from(is_success(ack, reason));
        }
    }

    /// Sends a packet, now or when what was noted is durable.
    fn reply(&mut self, packet: Vec<u8>, exchange: &impl Exchange) {
        if exchange.has_changes() {
            self.owed.push_packet(packet);
        } else {
            self.out.extend(packet);
        }
    }

    /// Reads the CONNECT; nothing behind it is read before it is decided. [MQTT-3.1.4-6]
    fn connect(&mut self, frame: Frame<'_>) -> Parsed<Event> {
        match connect::parse(frame.first, frame.body, self.limits.connect) {
            Ok(connect) => {
                self.phase = Phase::Deciding;
                self.client_packet_bytes_max = connect.packet_bytes_max;
                Ok(Event::Connect(Box::new(connect)))
            }
            Err(refused) => Err(self.refuse(refused.version, refused.refusal)),
        }
    }

    /// Every filter as if it came alone. [MQTT-3.8.4-1], [MQTT-3.8.4-5]
    fn subscribe(&mut self, body: &[u8], exchange: &mut impl Exchange) -> Parsed<()> {
        let subscribe = control::subscribe(self.version, body)?;
        let mut codes = Vec::with_capacity(subscribe.entries.len());
        for entry in &subscribe.entries {
            if entry.own == Own::Skipped && entry.filter.starts_with("$share/") {
                return Err(Close::protocol("No Local on a shared subscription")); // [MQTT-3.8.3-4]
            }
            codes.push(self.subscribe_one(entry, subscribe.subscription_id, exchange));
        }
        let mut packet = Vec::new();
        encode::suback(self.version, subscribe.packet_id, &codes, &mut packet);
        self.reply(packet, exchange);
        Ok(())
    }

    /// Subscribes to one filter and gives the code for SUBACK, as MQTT 5 has it.
    fn subscribe_one(
        &self,
        entry: &SubscribeEntry,
        id: Option<u32>,
        exchange: &mut impl Exchange,
    ) -> u8 {
        const UNSPECIFIED_ERROR: u8 = 0x80;
        const NOT_AUTHORIZED: u8 = 0x87;
        const TOPIC_FILTER_INVALID: u8 = 0x8F;
        const QUOTA_EXCEEDED: u8 = 0x97;
        if self.check_extent(&entry.filter).is_err() {
            return TOPIC_FILTER_INVALID;
        }
        let Ok(filter) = Filter::new(&entry.filter) else { return TOPIC_FILTER_INVALID };
        match exchange.subscribing(filter.topics()) {
            Subscribing::Allowed => {}
            Subscribing::NotAuthorized => return NOT_AUTHORIZED,
            Subscribing::Denied => return UNSPECIFIED_ERROR,
        }
        let SubscribeEntry { qos, own, retain, retained, .. } = *entry;
        match exchange.subscribe(filter, SubscribeOptions { qos, own, retain, id }, retained) {
            Ok(()) => qos as u8, // [MQTT-3.8.4-7]
            Err(_) => QUOTA_EXCEEDED,
        }
    }

    /// Every filter as if it came alone. [MQTT-3.10.4-1], [MQTT-3.10.4-4], [MQTT-3.10.4-6]
    fn unsubscribe(&mut self, body: &[u8], exchange: &mut impl Exchange) -> Parsed<()> {
        let (id, filters) = control::unsubscribe(self.version, body)?;
        let codes: Vec<u8> = filters
            .iter()
            .map(|filter| match exchange.unsubscribe(filter.as_str()) {
                Unsubscribed::Removed => 0,
                Unsubscribed::Absent => 0x11,
            })
            .collect();
        let mut packet = Vec::new();
        encode::unsuback(self.version, id, &codes, &mut packet);
        self.reply(packet, exchange);
        Ok(())
    }

    fn disconnect(&mut self, body: &[u8], exchange: &mut impl Exchange) -> Parsed<Event> {
        let farewell = control::disconnect(self.version, body, self.session_expiry_s)?;
        if let Some(expiry_s) = farewell.session_expiry_s {
            exchange.set_expiry(expiry_s);
        }
        let kind = match farewell.will {
            AfterDisconnect::ForgetWill => CloseKind::ClientDisconnected,
            AfterDisconnect::PublishWill => CloseKind::ClientDisconnectedWithWill,
        };
        Ok(Event::Close(kind.into()))
    }
}
