//! One device with a real MQTT client: publishes and knows when it was acknowledged.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tokio::time::timeout;

use super::service::PATIENCE;

/// A connected device.
pub(crate) struct Device {
    client: AsyncClient,
    events: EventLoop,
}

impl Device {
    /// Connects to `host:port` with `name` as client identifier.
    pub(crate) async fn connect(address: &str, name: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut options = MqttOptions::new(name, host, port.parse().unwrap());
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, events) = AsyncClient::new(options, 10);
        let mut device = Self { client, events };
        device.until(|packet| matches!(packet, Packet::ConnAck(_))).await;
        device
    }

    /// Connects as this user; says whether it was let in.
    pub(crate) async fn knock(
        address: &str,
        name: &str,
        user: &str,
        password: &str,
    ) -> Option<Self> {
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut options = MqttOptions::new(name, host, port.parse().unwrap());
        options.set_keep_alive(Duration::from_secs(30)).set_credentials(user, password);
        let (client, mut events) = AsyncClient::new(options, 10);
        let first = timeout(PATIENCE, events.poll()).await.expect("an answer in time");
        matches!(first, Ok(Event::Incoming(Packet::ConnAck(_)))).then_some(Self { client, events })
    }

    /// Publishes with QoS 1 and waits for the acknowledgement.
    pub(crate) async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
        self.until(|packet| matches!(packet, Packet::PubAck(_))).await;
    }

    /// Subscribes with QoS 1 and waits for the acknowledgement.
    pub(crate) async fn subscribe(&mut self, filter: &str) {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        self.until(|packet| matches!(packet, Packet::SubAck(_))).await;
    }

    /// The next message that comes: topic and payload.
    pub(crate) async fn receive(&mut self) -> (String, String) {
        let (topic, payload) = self.receive_bytes().await;
        (topic, String::from_utf8(payload).unwrap())
    }

    /// The next message that comes, whatever its payload is.
    pub(crate) async fn receive_bytes(&mut self) -> (String, Vec<u8>) {
        let waiting = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        return (publish.topic, publish.payload.to_vec());
                    }
                    Ok(_) => {}
                    Err(error) => panic!("the connection ended: {error}"),
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("a message in time")
    }

    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool + Send + Sync) {
        let waiting = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(packet)) if wanted(&packet) => return,
                    Ok(_) => {}
                    Err(error) => panic!("the connection ended: {error}"),
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("an answer in time");
    }
}
