//! rumqttc, for MQTT 3.1.1 and 5: two clients of the same shape, so the scenarios are told once.
//! Its TLS would bring a second rustls, so it goes over TCP only.

use tokio::time::timeout;

use super::{LIMIT, SCENARIOS};
use crate::support::service::{Service, Settings};

/// Whether a session begins anew, and ends with its connection.
#[derive(Clone, Copy)]
enum Memory {
    None,
    Kept,
}

macro_rules! scenarios {
    ($module:ident, $rumqttc:path, $qos:path, $packet:path, $remember:expr, $will:expr) => {
        mod $module {
            use super::*;
            use $packet as Packet;
            use $qos as QoS;
            use $rumqttc::{AsyncClient, Event, EventLoop, MqttOptions};

            /// A connected client.
            struct Client {
                client: AsyncClient,
                events: EventLoop,
                session_present: bool,
            }

            impl Client {
                async fn connect(service: &Service, name: &str) -> Self {
                    Self::connect_with(service, name, Memory::None, None).await
                }

                async fn connect_with(
                    service: &Service,
                    name: &str,
                    memory: Memory,
                    last_words: Option<&str>,
                ) -> Self {
                    let address = service.mqtt();
                    let (host, port) = address.rsplit_once(':').unwrap();
                    let id = concat!(stringify!($module), "-");
                    let mut options =
                        MqttOptions::new(format!("{id}{name}"), host, port.parse().unwrap());
                    $remember(&mut options, memory);
                    if let Some(words) = last_words {
                        $will(&mut options, &topic("will"), words);
                    }
                    let (client, events) = AsyncClient::new(options, 50);
                    let mut new = Self { client, events, session_present: false };
                    new.session_present = new
                        .until(|packet| match packet {
                            Packet::ConnAck(connack) => Some(connack.session_present),
                            _ => None,
                        })
                        .await;
                    new
                }

                async fn until<T>(
                    &mut self,
                    wanted: impl Fn(Packet) -> Option<T> + Send + Sync,
                ) -> T {
                    let waiting = async {
                        loop {
                            let event = self.events.poll().await.expect("the connection stands");
                            if let Event::Incoming(packet) = event
                                && let Some(found) = wanted(packet)
                            {
                                return found;
                            }
                        }
                    };
                    timeout(LIMIT, waiting).await.expect("it comes in time")
                }

                async fn subscribe(&mut self, topic: &str, qos: QoS) {
                    self.client.subscribe(topic, qos).await.unwrap();
                    self.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
                }

                async fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) {
                    self.client.publish(topic, qos, retain, payload.to_owned()).await.unwrap();
                    match qos {
                        // Nothing answers it; what answers this comes after it.
                        QoS::AtMostOnce => self.subscribe("none", qos).await,
                        _ => {
                            let settled = |packet| {
                                matches!(packet, Packet::PubAck(_) | Packet::PubComp(_))
                                    .then_some(())
                            };
                            self.until(settled).await;
                        }
                    }
                }

                async fn expect(&mut self, payload: &str, qos: QoS, retain: bool) {
                    let message = |packet| match packet {
                        Packet::Publish(it) => Some((it.payload, it.qos, it.retain)),
                        _ => None,
                    };
                    let found = self.until(message).await;
                    assert_eq!(found, (payload.to_owned().into(), qos, retain));
                }

                /// Says goodbye.
                async fn leave(mut self) {
                    self.client.disconnect().await.unwrap();
                    let ending = async { while self.events.poll().await.is_ok() {} };
                    timeout(LIMIT, ending).await.expect("it ends in time");
                }
            }

            fn topic(name: &str) -> String {
                format!("{}/{name}", stringify!($module))
            }

            async fn passes_on(service: &Service, qos: QoS) {
                let topic = topic("on");
                let mut subscriber = Client::connect(service, "sub").await;
                let mut publisher = Client::connect(service, "pub").await;
                subscriber.subscribe(&topic, qos).await;
                for payload in ["1", "2", "3"] {
                    publisher.publish(&topic, payload, qos, false).await;
                    subscriber.expect(payload, qos, false).await;
                }
                publisher.leave().await;
                subscriber.leave().await;
            }

            async fn retained(service: &Service) {
                let topic = topic("kept");
                let mut publisher = Client::connect(service, "retains").await;
                publisher.publish(&topic, "kept", QoS::AtLeastOnce, true).await;
                let mut later = Client::connect(service, "later").await;
                later.client.subscribe(&topic, QoS::AtLeastOnce).await.unwrap();
                later.expect("kept", QoS::AtLeastOnce, true).await;
                publisher.publish(&topic, "", QoS::AtLeastOnce, true).await;
                let mut last = Client::connect(service, "last").await;
                last.subscribe(&topic, QoS::AtLeastOnce).await;
                publisher.publish(&topic, "plain", QoS::AtLeastOnce, false).await;
                last.expect("plain", QoS::AtLeastOnce, false).await;
            }

            async fn will(service: &Service) {
                let mut watcher = Client::connect(service, "watches").await;
                watcher.subscribe(&topic("will"), QoS::AtLeastOnce).await;
                Client::connect_with(service, "a", Memory::None, Some("left")).await.leave().await;
                drop(Client::connect_with(service, "b", Memory::None, Some("lost")).await);
                watcher.expect("lost", QoS::AtLeastOnce, false).await;
            }

            async fn session(service: &Service) {
                let topic = topic("away");
                let connect = |memory| Client::connect_with(service, "sleeps", memory, None);
                let mut first = connect(Memory::Kept).await;
                assert!(!first.session_present);
                first.subscribe(&topic, QoS::ExactlyOnce).await;
                first.leave().await;
                let mut publisher = Client::connect(service, "wakes").await;
                publisher.publish(&topic, "away", QoS::AtLeastOnce, false).await;
                publisher.publish(&topic, "away", QoS::ExactlyOnce, false).await;
                let mut again = connect(Memory::Kept).await;
                assert!(again.session_present);
                again.expect("away", QoS::AtLeastOnce, false).await;
                again.expect("away", QoS::ExactlyOnce, false).await;
                again.leave().await;
                assert!(!connect(Memory::None).await.session_present);
            }

            pub(super) async fn run(service: &Service, scenario: &str) {
                match scenario {
                    "qos0" => passes_on(service, QoS::AtMostOnce).await,
                    "qos1" => passes_on(service, QoS::AtLeastOnce).await,
                    "qos2" => passes_on(service, QoS::ExactlyOnce).await,
                    "retained" => retained(service).await,
                    "will" => will(service).await,
                    "session" => session(service).await,
                    name => panic!("there is no scenario {name}"),
                }
            }
        }
    };
}

scenarios!(
    rumqttc_v3,
    rumqttc,
    rumqttc::QoS,
    rumqttc::Packet,
    |options: &mut MqttOptions, memory| {
        options.set_clean_session(matches!(memory, Memory::None));
    },
    |options: &mut MqttOptions, topic: &str, words: &str| {
        let will = rumqttc::LastWill::new(topic, words.to_owned(), QoS::AtLeastOnce, false);
        options.set_last_will(will);
    }
);

scenarios!(
    rumqttc_v5,
    rumqttc::v5,
    rumqttc::v5::mqttbytes::QoS,
    rumqttc::v5::mqttbytes::v5::Packet,
    |options: &mut MqttOptions, memory| {
        options.set_clean_start(matches!(memory, Memory::None));
        if let Memory::Kept = memory {
            options.set_session_expiry_interval(Some(300));
        }
    },
    |options: &mut MqttOptions, topic: &str, words: &str| {
        use rumqttc::v5::mqttbytes::v5::LastWill;
        let will = LastWill::new(topic, words.to_owned(), QoS::AtLeastOnce, false, None);
        options.set_last_will(will);
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn rumqttc_finds_what_the_standard_promises() {
    let mut service = Service::start(Settings::default()).await;
    for name in SCENARIOS {
        rumqttc_v3::run(&service, name).await;
        rumqttc_v5::run(&service, name).await;
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
