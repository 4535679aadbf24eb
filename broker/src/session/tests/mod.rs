//! The session as a client meets it, without a socket.

mod control;
mod deadlines;
mod publishes;
mod streams;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwire_model::{ClientId, Outcome, QoS, TopicFilter};

use super::acks::Ticket;
use super::exchange::{Exchange, SubscribeOptions, TooMany, Unsubscribed};
use super::{Batch, Deadline, Event, Session};
use crate::close::CloseKind;
use crate::config::Config;
use crate::message::Routed;

const CONNECT_V3: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\x0A\0\x01c";
const CONNECT_V5: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\x0A\0\0\x01c";

/// Claims what begins with `t/`, and notes what it is asked.
#[derive(Debug, Default)]
struct Recorder {
    subscribed: Vec<(String, QoS)>,
    routed: Vec<(String, Vec<u8>)>,
    has_subscribers: bool,
}

impl Exchange for Recorder {
    fn claims(&self, topic: &str) -> bool {
        topic.starts_with("t/")
    }

    fn may_publish(&self, topic: &str) -> bool {
        !topic.contains("forbidden")
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        !filter.as_str().contains("forbidden")
    }

    fn has_subscribers(&self) -> bool {
        self.has_subscribers
    }

    fn route(&mut self, message: &Routed<'_>) {
        self.routed.push((message.topic.into(), message.payload.into()));
    }

    fn subscribe(&mut self, filter: TopicFilter, options: SubscribeOptions) -> Result<(), TooMany> {
        if self.subscribed.len() == 2 {
            return Err(TooMany);
        }
        self.subscribed.push((filter.as_str().into(), options.qos));
        Ok(())
    }

    fn unsubscribe(&mut self, filter: &str) -> Unsubscribed {
        let before = self.subscribed.len();
        self.subscribed.retain(|(it, _)| it != filter);
        if self.subscribed.len() < before { Unsubscribed::Removed } else { Unsubscribed::Absent }
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
            input = &input[read_bytes..];
            match event {
                None => {
                    assert!(input.is_empty(), "all is read unless there is an event");
                    return;
                }
                Some(Event::Connect(connect)) => {
                    let client = connect.client_id.clone();
                    let client = client.unwrap_or(ClientId::new("auto-1").expect("valid"));
                    self.session.accept(*connect, &client);
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
    assert_eq!(client.take_output(), answer, "{bytes:x?}");
}
