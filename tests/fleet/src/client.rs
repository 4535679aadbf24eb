//! rumqttc's two clients, for MQTT 3.1.1 and 5, as one.

use bellwire_model::QoS;
use rumqttc::v5;

use crate::source::Verdict;
use crate::{FleetConfig, LinkError, Protocol};

/// The half of a client that is asked to publish.
pub(crate) enum Asker {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// The half of a client that does it.
pub(crate) enum Events {
    V4(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// What a client's event loop tells us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The connection stands.
    Connected,
    /// The oldest publish that was asked for has gone out; 0 with QoS 0.
    Sent(u16),
    /// The service has answered.
    Answered(u16, Verdict),
    /// Nothing we care about.
    Other,
}

/// The client's queue has no room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;

/// A client that keeps its session and has at most `config.in_flight` publishes on their way.
pub(crate) fn new(config: &FleetConfig, id: &str, (host, port): (&str, u16)) -> (Asker, Events) {
    let FleetConfig { in_flight, ref login, .. } = *config;
    let places = usize::from(in_flight);
    match config.protocol {
        Protocol::V4 => {
            let mut options = rumqttc::MqttOptions::new(id, host, port);
            options.set_clean_session(false).set_inflight(in_flight);
            if let Some(login) = login {
                options.set_credentials(&login.user, &login.password);
            }
            let (asker, events) = rumqttc::AsyncClient::new(options, places);
            (Asker::V4(asker), Events::V4(Box::new(events)))
        }
        Protocol::V5 => {
            let mut options = v5::MqttOptions::new(id, host, port);
            options.set_clean_start(false).set_session_expiry_interval(Some(3600));
            options.set_outgoing_inflight_upper_limit(in_flight);
            if let Some(login) = login {
                options.set_credentials(&login.user, &login.password);
            }
            let (asker, events) = v5::AsyncClient::new(options, places);
            (Asker::V5(asker), Events::V5(Box::new(events)))
        }
    }
}

impl Asker {
    /// Asks for a publish.
    ///
    /// # Errors
    /// [`QueueFull`], for now.
    pub(crate) fn publish(&self, topic: &str, qos: QoS, payload: Vec<u8>) -> Result<(), QueueFull> {
        match self {
            Self::V4(client) => {
                let qos = match qos {
                    QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
                    _ => rumqttc::QoS::AtLeastOnce,
                };
                client.try_publish(topic, qos, false, payload).map_err(|_| QueueFull)
            }
            Self::V5(client) => {
                let qos = match qos {
                    QoS::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
                    _ => v5::mqttbytes::QoS::AtLeastOnce,
                };
                client.try_publish(topic, qos, false, payload).map_err(|_| QueueFull)
            }
        }
    }
}

impl Events {
    /// Drives the client until it has something to tell.
    ///
    /// # Cancel safety
    /// Not cancel safe: connecting would begin anew, and a publish could be taken and not sent.
    pub(crate) async fn hear(&mut self) -> Result<Heard, LinkError> {
        match self {
            Self::V4(events) => match events.poll().await {
                Ok(event) => Ok(heard_v4(&event)),
                Err(error) => Err(LinkError::Client(error.to_string())),
            },
            Self::V5(events) => match events.poll().await {
                Ok(event) => Ok(heard_v5(&event)),
                Err(error) => Err(LinkError::Client(error.to_string())),
            },
        }
    }

    /// Closes the TCP connection without a word.
    pub(crate) fn drop_connection(&mut self) {
        match self {
            Self::V4(events) => events.clean(),
            Self::V5(events) => events.clean(),
        }
    }

    /// Makes the client forget what it would send again by itself, without DUP.
    pub(crate) fn forget(&mut self) {
        match self {
            Self::V4(events) => events.pending.clear(),
            Self::V5(events) => events.pending.clear(),
        }
    }
}

fn heard_v4(event: &rumqttc::Event) -> Heard {
    use rumqttc::{Event, Incoming, Outgoing};
    match event {
        Event::Incoming(Incoming::ConnAck(_)) => Heard::Connected,
        Event::Incoming(Incoming::PubAck(ack)) => Heard::Answered(ack.pkid, Verdict::Acknowledged),
        Event::Outgoing(Outgoing::Publish(packet_id)) => Heard::Sent(*packet_id),
        Event::Incoming(_) | Event::Outgoing(_) => Heard::Other,
    }
}

fn heard_v5(event: &v5::Event) -> Heard {
    use rumqttc::Outgoing;
    use v5::mqttbytes::v5::PubAckReason;
    use v5::{Event, Incoming};
    match event {
        Event::Incoming(Incoming::ConnAck(_)) => Heard::Connected,
        Event::Incoming(Incoming::PubAck(ack)) => {
            let verdict = match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                    Verdict::Acknowledged
                }
                _ => Verdict::Refused,
            };
            Heard::Answered(ack.pkid, verdict)
        }
        Event::Outgoing(Outgoing::Publish(packet_id)) => Heard::Sent(*packet_id),
        Event::Incoming(_) | Event::Outgoing(_) => Heard::Other,
    }
}
