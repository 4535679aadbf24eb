//! The session as a client meets it, without a socket.

mod control;
mod deadlines;
mod exactly_once;
mod publishes;
mod streams;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwire_model::{ClientId, Outcome, QoS, Timestamp, TopicFilter};

use super::acks::Ticket;
use super::exchange::{Exchange, SubscribeOptions, TooMany, Unsubscribed};
use super::{Batch, Deadline, Event, Session};
use crate::access::Subscribing;
use crate::close::CloseKind;
use crate::codec::control::{SendRetained, Taken};
use crate::codec::encode::SessionPresent;
use crate::config::Config;
use crate::flow::{Flow, FlowLimits, Fresh, Given, Ready, Received};
use crate::message::Routed;
use crate::retained::RetainFull;
use crate::share::Filter;

const CONNECT_V3: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x0A\0\x01c";
const CONNECT_V5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\x0A\0\0\x01c";

/// Claims what begins with `t/`, and notes what it is asked.
#[derive(Debug, Default)]
struct Recorder {
    subscribed: Vec<(String, QoS)>,
    routed: Vec<(String, Vec<u8>)>,
    retained: Vec<String>,
    has_subscribers: bool,
    flow: Flow,
    expiry_s: Option<u32>,
    /// Its session outlives connections: changes must be durable.
    is_kept: bool,
    has_changes: bool,
}

impl Recorder {
    fn changed(&mut self) {
        self.has_changes |= self.is_kept;
    }
}

impl Exchange for Recorder {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn has_changes(&self) -> bool {
        self.has_changes
    }

    fn claims(&self, topic: &str) -> bool {
        topic.starts_with("t/")
    }

    fn may_publish(&self, topic: &str) -> bool {
        !topic.contains("forbidden")
    }

    fn subscribing(&self, filter: &TopicFilter) -> Subscribing {
        match filter.as_str() {
            "forbidden" => Subscribing::NotAuthorized,
            "hidden" => Subscribing::Denied,
            _ => Subscribing::Allowed,
        }
    }

    fn has_subscribers(&self) -> bool {
        self.has_subscribers
    }

    fn route(&mut self, message: &Routed<'_>) {
        self.routed.push((message.topic.into(), message.payload.into()));
    }

    fn retain(&mut self, message: &Routed<'_>) -> Result<(), RetainFull> {
        if self.retained.len() == 2 {
            return Err(RetainFull);
        }
        self.retained.push(message.topic.into());
        self.has_changes = true;
        Ok(())
    }

    fn subscribe(
        &mut self,
        filter: Filter,
        options: SubscribeOptions,
        _retained: SendRetained,
    ) -> Result<(), TooMany> {
        if self.subscribed.len() == 3 {
            return Err(TooMany);
        }
        self.subscribed.push((filter.as_str().into(), options.qos));
        self.changed();
        Ok(())
    }

    fn unsubscribe(&mut self, filter: &str) -> Unsubscribed {
        let before = self.subscribed.len();
        self.subscribed.retain(|(it, _)| it != filter);
        if self.subscribed.len() < before { Unsubscribed::Removed } else { Unsubscribed::Absent }
    }

    fn take(&mut self, packet_id: u16) -> Fresh {
        self.changed();
        self.flow.take(packet_id)
    }

    fn give(&mut self, packet_id: u16) -> Given {
        self.changed();
        self.flow.give(packet_id)
    }

    fn n_unreleased(&self) -> usize {
        self.flow.n_unreleased()
    }

    fn acknowledged(&mut self, packet_id: u16) {
        self.flow.acknowledged(packet_id);
    }

    fn received(&mut self, packet_id: u16, taken: Taken) -> Received {
        self.changed();
        let received = self.flow.received(packet_id, taken);
        if let Received::Release(seq) = received {
            self.flow.release(seq);
        }
        received
    }

    fn completed(&mut self, packet_id: u16) {
        self.flow.completed(packet_id);
    }

    fn set_expiry(&mut self, expiry_s: u32) {
        self.expiry_s = Some(expiry_s);
    }
}

/// A session with what a driver would keep for it.
#[derive(Debug)]
struct Client {
    session: Session,
    recorder: Recorder,
    opened: Instant,
    batches: Vec<Batch>,
    closed: Option<CloseKind>,
}

impl Client {
    fn new(config: Config) -> Self {
        let opened = tokio::time::Instant::now().into_std();
        let limits = Arc::new(config.limits().expect("in range"));
        Self {
            session: Session::new(limits, opened),
            recorder: Recorder::default(),
            opened,
            batches: Vec::new(),
            closed: None,
        }
    }

    fn connected(config: Config, connect: &[u8]) -> Self {
        let mut client = Self::new(config);
        client.receive(connect);
        client.take_output();
        client
    }

    fn receive(&mut self, input: &[u8]) {
        self.receive_at(0, input);
    }

    /// Gives `input` to the session `at_s` seconds after it was opened, and accepts its CONNECT.
    fn receive_at(&mut self, at_s: u64, mut input: &[u8]) {
        let now = self.opened + Duration::from_secs(at_s);
        while self.closed.is_none() {
            let (read_bytes, event) = self.session.receive(input, now, &mut self.recorder);
            self.batches.extend(self.session.take_batch());
            self.recorder.has_changes = false;
            input = &input[read_bytes..];
            match event {
                None => {
                    assert!(input.is_empty(), "all is read unless there is an event");
                    return;
                }
                Some(Event::Connect(connect)) => {
                    let client = connect.client_id.clone();
                    let client = client.unwrap_or(ClientId::new("auto-1").expect("valid"));
                    let expiry_s = connect.session_expiry_s.min(60);
                    self.session.accept(*connect, &client, SessionPresent::No, expiry_s);
                }
                Some(Event::Close(close)) => {
                    self.closed = Some(close.kind);
                    self.session.close(close);
                }
            }
        }
    }

    fn take_output(&mut self) -> Vec<u8> {
        let output = self.session.output().to_vec();
        self.session.sent(output.len());
        output
    }

    /// Sends the client what waits for it, as far as the session takes it.
    fn send(&mut self) {
        let max = self.session.in_flight_max();
        let session = &mut self.session;
        let now = Timestamp::EPOCH;
        let deliver = &mut |ready: Ready<'_>| session.deliver(ready, now);
        self.recorder.flow.send(max, now, &mut Vec::new(), deliver);
    }

    fn settle(&mut self, ticket: Option<Ticket>, outcome: Outcome) {
        self.session.settle(ticket.expect("acknowledgements are owed"), outcome);
        self.session.release();
    }

    fn deadline(&mut self, at_s: u64) -> Deadline {
        self.session.deadline(self.opened + Duration::from_secs(at_s))
    }
}

fn publish(topic: &str, payload: &[u8], packet_id: u16) -> Vec<u8> {
    publish_with(if packet_id == 0 { 0x30 } else { 0x32 }, topic.as_bytes(), payload, packet_id)
}

fn publish_with(first: u8, topic: &[u8], payload: &[u8], packet_id: u16) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).expect("short").to_be_bytes().to_vec();
    body.extend(topic);
    if first & 6 != 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    packet(first, &body)
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}

/// What `bytes` behind `connect` are answered with, and why the connection ends.
fn check(connect: &[u8], bytes: &[u8], answer: &[u8], closed: Option<CloseKind>) {
    let mut client = Client::connected(Config::default(), connect);
    client.receive(bytes);
    assert_eq!(client.closed, closed, "{bytes:x?}");
    assert_eq!(brief(&client.take_output()), answer, "{bytes:x?}");
}

/// `bytes`, packets shorter than 130 bytes, with the reasons in words left out.
fn brief(mut bytes: &[u8]) -> Vec<u8> {
    let mut brief = Vec::new();
    while let [_, length, ..] = *bytes {
        let (packet, rest) = bytes.split_at((2 + usize::from(length)).min(bytes.len()));
        match packet {
            [0xE0, _, code, _, ..] => brief.extend([0xE0, 1, *code]),
            [0x20, _, flags, code, ..] if *code >= 0x80 => {
                brief.extend([0x20, 3, *flags, *code, 0])
            }
            _ => brief.extend(packet),
        }
        bytes = rest;
    }
    brief.extend(bytes);
    brief
}
