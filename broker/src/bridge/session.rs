//! A bridge's side of a connection, without I/O: bytes from the broker become publishes for the log,
//! and answers that we wait for.

use std::mem;

use bellwire_model::{PublishBatch, PublishRef, QoS, check_topic};

use super::metrics::Refusal;
use super::packets::{self, Connack};
use crate::codec::{Version, frame, packet_type, publish};

/// CONNACK, SUBACK and PINGRESP: what only brokers send.
mod from_broker {
    pub(super) const CONNACK: u8 = 2;
    pub(super) const SUBACK: u8 = 9;
    pub(super) const UNSUBACK: u8 = 11;
    pub(super) const PINGRESP: u8 = 13;
}

/// Which topics are ours.
pub(crate) trait Claims {
    /// Whether publishes on this topic, without the prefix, are telemetry.
    fn claims(&self, topic: &str) -> bool;
}

/// What the broker has said beside publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// To our CONNECT.
    Connack(Connack),
    /// To our SUBSCRIBE: why each filter was refused, or `None`.
    Suback(u16, Vec<Option<String>>),
}

/// What some bytes have brought.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// For the log, in the order they came.
    pub(crate) publishes: PublishBatch,
    /// What is to be acknowledged when they are durable, in the order it came: also what is not for
    /// the log.
    pub(crate) answers: Vec<u16>,
    /// PUBLISH packets, all of them.
    pub(crate) n_publishes: usize,
    /// Publishes that are not for the log: why, and the topic.
    pub(crate) refused: Vec<(Refusal, String)>,
    /// In order.
    pub(crate) heard: Vec<Heard>,
}

/// Why the connection must end.
pub(crate) type Fault = String;

/// Cuts what the broker sends into packets, and takes them.
#[derive(Debug)]
pub(crate) struct Session {
    version: Version,
    prefix: Box<str>,
    packet_bytes_max: usize,
    /// The beginning of a packet.
    partial: Vec<u8>,
    /// Bytes of a packet that is too large, still to come.
    n_skip: usize,
    is_accepted: bool,
}

impl Session {
    pub(crate) fn new(version: Version, prefix: &str, packet_bytes_max: usize) -> Self {
        Self {
            version,
            prefix: prefix.into(),
            packet_bytes_max,
            partial: Vec::new(),
            n_skip: 0,
            is_accepted: false,
        }
    }

    /// Takes bytes from the broker.
    ///
    /// # Errors
    /// What is wrong with them. What was gathered is given up: it is not acknowledged.
    pub(crate) fn read(&mut self, input: &[u8], claims: &impl Claims) -> Result<Gathered, Fault> {
        let (skipped, input) = input.split_at(self.n_skip.min(input.len()));
        self.n_skip -= skipped.len();
        let mut gathered = Gathered::default();
        let mut bytes = mem::take(&mut self.partial);
        bytes.extend_from_slice(input);
        let mut at = 0;
        while let Some(n) = self.packet(&bytes[at..], claims, &mut gathered)? {
            at += n;
        }
        bytes.drain(..at);
        self.partial = bytes;
        Ok(gathered)
    }

    /// Takes the first packet of `bytes` and gives its size; `None` if it is not yet complete.
    fn packet(
        &mut self,
        bytes: &[u8],
        claims: &impl Claims,
        gathered: &mut Gathered,
    ) -> Result<Option<usize>, Fault> {
        // Whatever its length would be: who is no broker is found by the first byte.
        if !self.is_accepted
            && bytes.first().is_some_and(|first| first >> 4 != from_broker::CONNACK)
        {
            return Err(
                "the broker sent something else than CONNACK: is it an MQTT broker?".to_owned()
            );
        }
        let measured = frame::measure(bytes, usize::MAX).map_err(|close| close.to_string())?;
        let Some(size) = measured else { return Ok(None) };
        if size.packet_bytes > self.packet_bytes_max {
            return self.skip(bytes, size, gathered);
        }
        let Some(body) = bytes.get(size.header_bytes..size.packet_bytes) else { return Ok(None) };
        self.take(bytes[0], body, claims, gathered)?;
        Ok(Some(size.packet_bytes))
    }

    fn take(
        &mut self,
        first: u8,
        body: &[u8],
        claims: &impl Claims,
        gathered: &mut Gathered,
    ) -> Result<(), Fault> {
        let wrong = |what: &str| Err(format!("the broker sent {what}"));
        match first >> 4 {
            from_broker::CONNACK if !self.is_accepted => {
                let Some(connack) = packets::connack(self.version, body) else {
                    return wrong("a CONNACK that cannot be read");
                };
                self.is_accepted = matches!(connack, Connack::Accepted { .. });
                gathered.heard.push(Heard::Connack(connack));
                Ok(())
            }
            packet_type::PUBLISH => self.publish(first, body, claims, gathered),
            from_broker::SUBACK => match packets::suback(self.version, body) {
                Some((id, refusals)) => {
                    gathered.heard.push(Heard::Suback(id, refusals));
                    Ok(())
                }
                None => wrong("a SUBACK that cannot be read"),
            },
            packet_type::DISCONNECT => {
                let reason = body
                    .first()
                    .map_or_else(|| "no reason".to_owned(), |&code| packets::reason_code(code));
                Err(format!("the broker closed the connection: {reason}"))
            }
            packet_type::PUBACK | from_broker::UNSUBACK | from_broker::PINGRESP => Ok(()),
            _ => wrong("a packet that may not come here"),
        }
    }

    fn publish(
        &self,
        first: u8,
        body: &[u8],
        claims: &impl Claims,
        gathered: &mut Gathered,
    ) -> Result<(), Fault> {
        let publish = publish::parse(self.version, first, body).map_err(|it| it.to_string())?;
        if publish.qos == QoS::ExactlyOnce {
            return Err("the broker sent QoS 2, although QoS 1 was asked for".to_owned());
        }
        gathered.n_publishes += 1;
        if publish.qos == QoS::AtLeastOnce {
            gathered.answers.push(publish.packet_id);
        }
        let name = String::from_utf8_lossy(publish.topic);
        // In MQTT 3.1.1 RETAIN says that it is from before we subscribed.
        if publish.retain && self.version == Version::V3 {
            gathered.refused.push((Refusal::Retained, name.into_owned()));
            return Ok(());
        }
        let topic = name.strip_prefix(&*self.prefix).filter(|topic| check_topic(topic).is_ok());
        let Some(topic) = topic.filter(|topic| claims.claims(topic)) else {
            gathered.refused.push((Refusal::NoTelemetry, name.into_owned()));
            return Ok(());
        };
        gathered.publishes.push(&PublishRef {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
            packet_id: publish.packet_id,
        });
        Ok(())
    }

    /// Passes over a packet that is too large, once its head is there: a publish is acknowledged, or
    /// the broker would send it for ever.
    fn skip(
        &mut self,
        bytes: &[u8],
        size: frame::Size,
        gathered: &mut Gathered,
    ) -> Result<Option<usize>, Fault> {
        let (first, head) = (bytes[0], &bytes[size.header_bytes..]);
        if first >> 4 != packet_type::PUBLISH || !self.is_accepted {
            return Err(format!("the broker sent a packet of {} bytes", size.packet_bytes));
        }
        let Some((length, rest)) = head.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((topic, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        if first >> 1 & 3 != 0 {
            let Some((id, _)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            gathered.answers.push(u16::from_be_bytes(*id));
        }
        gathered.n_publishes += 1;
        gathered.refused.push((Refusal::TooLarge, String::from_utf8_lossy(topic).into_owned()));
        let n = size.packet_bytes.min(bytes.len());
        self.n_skip = size.packet_bytes - n;
        Ok(Some(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::publish::Outbound;

    struct Telemetry;

    impl Claims for Telemetry {
        fn claims(&self, topic: &str) -> bool {
            topic.starts_with("devices/")
        }
    }

    fn outbound<'a>(topic: &'a str, payload: &'a [u8], packet_id: u16) -> Outbound<'a> {
        let qos = if packet_id == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        Outbound {
            topic,
            alias: 0,
            expiry_s: None,
            properties: &[],
            payload,
            qos,
            dup: false,
            retain: false,
            packet_id,
            subscription_ids: &[],
        }
    }

    fn accepted(version: Version, prefix: &str) -> Session {
        let mut session = Session::new(version, prefix, 100);
        let connack: &[u8] =
            if version == Version::V3 { &[0x20, 2, 0, 0] } else { &[0x20, 3, 0, 0, 0] };
        let heard = session.read(connack, &Telemetry).expect("valid").heard;
        assert!(matches!(heard[..], [Heard::Connack(Connack::Accepted { .. })]));
        session
    }

    fn stream(version: Version, packets: &[Outbound<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.encode(version, &mut bytes));
        bytes
    }

    fn topics(gathered: &Gathered) -> Vec<&str> {
        gathered.publishes.iter().map(|it| it.expect("valid").topic).collect()
    }

    fn reasons(gathered: &Gathered) -> Vec<Refusal> {
        gathered.refused.iter().map(|(reason, _)| *reason).collect()
    }

    #[test]
    fn publishes_are_cut_wherever_the_network_cuts_them() {
        for version in [Version::V3, Version::V5] {
            let bytes = stream(
                version,
                &[
                    outbound("devices/a", b"1", 7),
                    outbound("devices/b", b"2", 0),
                    Outbound { dup: true, ..outbound("devices/c", b"3", 9) },
                ],
            );
            for cut in 0..bytes.len() {
                let mut session = accepted(version, "");
                let mut seen = Vec::new();
                let mut answers = Vec::new();
                for part in [&bytes[..cut], &bytes[cut..]] {
                    let gathered = session.read(part, &Telemetry).expect("valid");
                    answers.extend(gathered.answers);
                    for publish in &gathered.publishes {
                        let publish = publish.expect("valid");
                        seen.push((publish.topic.to_owned(), publish.packet_id, publish.dup));
                    }
                }
                let expected = [("devices/a", 7, false), ("devices/b", 0, false)];
                let expected = expected.into_iter().chain([("devices/c", 9, true)]);
                let expected: Vec<_> =
                    expected.map(|(t, id, dup)| (t.to_owned(), id, dup)).collect();
                assert_eq!((seen, answers), (expected, vec![7, 9]), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_for_the_log_is_acknowledged_in_its_place() {
        let mut session = accepted(Version::V3, "plant/");
        let large = [b'x'; 300];
        let bytes = stream(
            Version::V3,
            &[
                outbound("plant/devices/a", b"1", 1),
                outbound("plant/other", b"", 2),
                outbound("devices/a", b"", 3),
                outbound("plant/devices/a", &large, 4),
                Outbound { retain: true, ..outbound("plant/devices/a", b"", 5) },
                outbound("plant/devices/b", b"2", 6),
            ],
        );
        let whole = session.read(&bytes, &Telemetry).expect("valid");
        assert_eq!(topics(&whole), ["devices/a", "devices/b"]);
        assert_eq!((&whole.answers[..], whole.n_publishes), (&[1, 2, 3, 4, 5, 6][..], 6));
        let expected =
            [Refusal::NoTelemetry, Refusal::NoTelemetry, Refusal::TooLarge, Refusal::Retained];
        assert_eq!(reasons(&whole), expected);

        let mut session = accepted(Version::V3, "plant/");
        let mut answers = Vec::new();
        for byte in &bytes {
            let gathered = session.read(std::slice::from_ref(byte), &Telemetry).expect("valid");
            answers.extend(gathered.answers);
            assert!(session.partial.len() <= 100, "nothing large is kept");
        }
        assert_eq!(answers, [1, 2, 3, 4, 5, 6], "byte by byte");
    }

    #[test]
    fn with_mqtt_5_retain_is_as_it_was_published() {
        let mut session = accepted(Version::V5, "");
        let retained = Outbound { retain: true, ..outbound("devices/a", b"1", 5) };
        let bytes = stream(Version::V5, &[retained]);
        let gathered = session.read(&bytes, &Telemetry).expect("valid");
        assert!(gathered.publishes.iter().all(|it| it.expect("valid").retain));
        assert_eq!(gathered.publishes.len(), 1);
    }

    #[test]
    fn who_is_no_broker_or_breaks_the_protocol_is_left() {
        let read = |session: &mut Session, bytes: &[u8]| session.read(bytes, &Telemetry).map(drop);
        let fresh = || Session::new(Version::V5, "", 100);
        assert!(read(&mut fresh(), b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(read(&mut fresh(), &stream(Version::V5, &[outbound("a", b"", 0)])).is_err());
        let mut session = accepted(Version::V5, "");
        let error = read(&mut session, &[0xE0, 1, 0x8E]).unwrap_err();
        assert!(error.contains("the same client identifier"), "{error}");
        let twice = Outbound { qos: QoS::ExactlyOnce, ..outbound("devices/a", b"", 1) };
        let twice = stream(Version::V5, &[twice]);
        assert!(read(&mut accepted(Version::V5, ""), &twice).is_err());
    }

    #[test]
    fn answers_to_a_subscription_are_heard() {
        let mut session = accepted(Version::V3, "");
        let gathered = session.read(&[0x90, 3, 0, 1, 0x80, 0xD0, 0], &Telemetry).expect("valid");
        let refused = Some("it was refused".to_owned());
        assert_eq!(gathered.heard, [Heard::Suback(1, vec![refused])]);
    }
}
