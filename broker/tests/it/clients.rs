//! Clients that other people wrote.

use std::collections::BTreeSet;
use std::time::Duration;

use rumqttc::v5;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use crate::support::{Service, within};

const N_PUBLISHES: usize = 500;

#[tokio::test]
async fn rumqttc_with_version_3_publishes_and_subscribes() {
    let mut service = Service::start().await;
    service.settle_all();
    let mut options = MqttOptions::new("client", "127.0.0.1", service.address.port());
    options.set_keep_alive(Duration::from_secs(5)).set_inflight(50);
    let (client, mut events) = AsyncClient::new(options, 2 * N_PUBLISHES);
    client.subscribe("devices/+/telemetry", QoS::AtLeastOnce).await.unwrap();
    for n in 0..N_PUBLISHES {
        client
            .publish("devices/d/telemetry", QoS::AtLeastOnce, false, n.to_string())
            .await
            .unwrap();
    }
    let (mut n_acknowledged, mut messages) = (0, BTreeSet::new());
    while n_acknowledged < N_PUBLISHES || messages.len() < N_PUBLISHES {
        match within(events.poll()).await.unwrap() {
            Event::Incoming(Packet::PubAck(_)) => n_acknowledged += 1,
            Event::Incoming(Packet::Publish(publish)) => {
                assert_eq!(publish.qos, QoS::AtLeastOnce);
                messages.insert(publish.payload);
            }
            _ => {}
        }
    }
    assert_eq!(n_acknowledged, N_PUBLISHES);
    client.disconnect().await.unwrap();
    while within(events.poll()).await.is_ok() {}
    service.stop(()).await;
}

#[tokio::test]
async fn rumqttc_with_version_5_publishes_and_subscribes() {
    use v5::mqttbytes::QoS;
    use v5::mqttbytes::v5::{ConnAck, Packet};

    let mut service = Service::start().await;
    service.settle_all();
    let mut options = v5::MqttOptions::new("client", "127.0.0.1", service.address.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = v5::AsyncClient::new(options, 2 * N_PUBLISHES);
    client.subscribe("devices/#", QoS::ExactlyOnce).await.unwrap();
    for n in 0..N_PUBLISHES {
        client
            .publish("devices/d/telemetry", QoS::AtLeastOnce, false, n.to_string())
            .await
            .unwrap();
    }
    let (mut n_acknowledged, mut messages) = (0, BTreeSet::new());
    while n_acknowledged < N_PUBLISHES || messages.len() < N_PUBLISHES {
        match within(events.poll()).await.unwrap() {
            v5::Event::Incoming(Packet::ConnAck(ConnAck {
                session_present, properties, ..
            })) => {
                assert!(!session_present);
                let properties = properties.expect("what is offered");
                assert_eq!((properties.max_qos, properties.retain_available), (None, None));
                assert_eq!(properties.receive_max, Some(1024));
            }
            v5::Event::Incoming(Packet::PubAck(_)) => n_acknowledged += 1,
            v5::Event::Incoming(Packet::Publish(publish)) => {
                messages.insert(publish.payload);
            }
            _ => {}
        }
    }
    assert_eq!(n_acknowledged, N_PUBLISHES);
    client.disconnect().await.unwrap();
    while within(events.poll()).await.is_ok() {}
    service.stop(()).await;
}
