//! Sessions, wills, shared subscriptions and retained messages, without connections: at instants that
//! the test says.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{ClientId, Outcome, QoS, Timestamp};
use prometheus::Registry;

use super::{Hub, Opening};
use crate::codec::connect::{Start, Will};
use crate::codec::control::{Own, RetainFlag, SendRetained};
use crate::codec::encode::SessionPresent;
use crate::config::Config;
use crate::flow::{Handled, Ready};
use crate::handle::BrokerHandle;
use crate::mailbox::Mailbox;
use crate::message::Routed;
use crate::metrics::Metrics;
use crate::ops::Effects;
use crate::outbox::{Lifetime, Outbox};
use crate::session::exchange::{SubscribeOptions, TooMany, Unsubscribed};
use crate::share::Filter;

fn at(secs: u64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(secs)
}

fn hub(config: &Config) -> Hub {
    let metrics = Metrics::register(&Registry::new()).expect("fresh registry");
    Hub::new(&config.limits().expect("in range"), metrics)
}

/// A client that is connected.
struct Client {
    mailbox: Arc<Mailbox>,
    outbox: Arc<Outbox>,
    present: SessionPresent,
}

fn connect(hub: &Hub, name: &str, start: Start, expiry_s: u32) -> Client {
    let mailbox = hub.join();
    let client = ClientId::new(name).expect("valid");
    let lifetime = Lifetime::from_expiry(expiry_s);
    let opening = Opening { client: &client, start, lifetime };
    let mut effects = Effects::default();
    let (outbox, present, _) = hub.begin(&mailbox, opening, &mut effects).expect("room");
    effects.settle(Outcome::Durable);
    Client { mailbox, outbox, present }
}

impl Client {
    fn subscribe(&self, hub: &Hub, filter: &str, retained: SendRetained) -> Result<(), TooMany> {
        let (qos, own, retain) = (QoS::ExactlyOnce, Own::Delivered, RetainFlag::Cleared);
        let options = SubscribeOptions { qos, own, retain, id: None };
        let filter = Filter::new(filter).expect("valid");
        hub.subscribe(&self.outbox, filter, options, retained, &mut Effects::default())
    }

    /// The payloads that it is sent at `now`, each acknowledged unless it is of QoS 2.
    fn read(&self, hub: &Hub, now: Timestamp) -> Vec<String> {
        let mut payloads = Vec::new();
        loop {
            let mut effects = Effects::default();
            hub.refill(&self.outbox, now, &mut effects);
            effects.settle(Outcome::Durable);
            let mut ids = Vec::new();
            self.outbox.send(&self.mailbox, 10, now, &mut |ready| {
                if let Ready::Publish { outgoing, packet_id, .. } = ready {
                    let (_, payload) = outgoing.message.parts();
                    payloads.push(String::from_utf8(payload.to_vec()).expect("text"));
                    ids.push(packet_id);
                }
                Handled::Sent
            });
            if ids.is_empty() {
                return payloads;
            }
            for id in ids {
                self.outbox.with(|state| state.flow.acknowledged(id));
            }
        }
    }

    fn leave(&self, hub: &Hub, will: Option<Will>, now: Timestamp) -> Option<Will> {
        let mut effects = Effects::default();
        let will = hub.part(&self.mailbox, &self.outbox, will, now, &mut effects);
        effects.settle(Outcome::Durable);
        will
    }
}

fn publish(hub: &Hub, topic: &str, payload: &str, qos: QoS, expires_at: Option<Timestamp>) {
    let (payload, properties) = (payload.as_bytes(), &[][..]);
    let routed = Routed { topic, properties, payload, qos, retain: false, expires_at };
    let mut effects = Effects::default();
    hub.route(None, &routed, &mut effects);
    effects.settle(Outcome::Durable);
}

/// What the service itself publishes is not left for a session that is kept, and takes none of its room.
#[test]
fn what_the_service_publishes_takes_no_room_of_kept_sessions() {
    let hub = Arc::new(hub(&Config::default()));
    let client = connect(&hub, "kept", Start::Clean, 1_000);
    client.subscribe(&hub, "a", SendRetained::Never).expect("room");
    let handle = BrokerHandle::new(Arc::clone(&hub));
    for _ in 0..5_000 {
        handle.publish("a", b"told", QoS::AtLeastOnce).expect("a topic");
    }
    publish(&hub, "a", "kept", QoS::AtLeastOnce, None);
    assert_eq!(client.read(&hub, at(1)), ["kept"]);
}

fn retain(hub: &Hub, topic: &str, payload: &str) {
    let (payload, properties, qos) = (payload.as_bytes(), &[][..], QoS::AtMostOnce);
    let routed = Routed { topic, properties, payload, qos, retain: true, expires_at: None };
    hub.retain(&routed, &mut Effects::default()).expect("room");
}

fn will(delay_s: u32) -> Will {
    Will {
        topic: "w".into(),
        payload: b"lost".as_slice().into(),
        properties: Box::default(),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_s,
        expiry_s: None,
    }
}

const ONCE: QoS = QoS::AtLeastOnce;

#[test]
fn what_waits_for_a_client_that_is_away_is_there_when_it_is_back() {
    let hub = hub(&Config::default());
    let client = connect(&hub, "c", Start::Resume, 60);
    assert_eq!(client.present, SessionPresent::No);
    client.subscribe(&hub, "a", SendRetained::Always).expect("room");
    client.leave(&hub, None, at(0));
    publish(&hub, "a", "lost", QoS::AtMostOnce, None);
    publish(&hub, "a", "1", ONCE, None);
    publish(&hub, "a", "late", ONCE, Some(at(5)));
    publish(&hub, "a", "2", ONCE, Some(at(15)));
    let back = connect(&hub, "c", Start::Resume, 60);
    assert_eq!(back.present, SessionPresent::Yes);
    assert_eq!(back.read(&hub, at(10)), ["1", "2"]); // [MQTT-3.3.2-5]
}

#[test]
fn a_clean_start_has_nothing_of_the_session_before() {
    let hub = hub(&Config::default());
    connect(&hub, "c", Start::Resume, 60).subscribe(&hub, "a", SendRetained::Always).expect("room");
    publish(&hub, "a", "1", ONCE, None);
    let clean = connect(&hub, "c", Start::Clean, 60);
    assert_eq!(clean.present, SessionPresent::No); // [MQTT-3.1.2-4]
    assert_eq!((hub.n_subscriptions(), hub.n_kept()), (0, 1));
    assert!(clean.read(&hub, at(0)).is_empty());
}

#[test]
fn a_session_that_does_not_outlive_its_connection_is_gone_with_it() {
    let hub = hub(&Config::default());
    let client = connect(&hub, "c", Start::Resume, 0);
    client.subscribe(&hub, "a", SendRetained::Always).expect("room");
    assert_eq!((hub.n_subscriptions(), hub.n_kept()), (1, 0));
    client.leave(&hub, None, at(0));
    assert_eq!(hub.n_subscriptions(), 0);
    assert_eq!(connect(&hub, "c", Start::Resume, 0).present, SessionPresent::No);
}

#[test]
fn whoever_is_taken_over_sends_and_ends_nothing_any_more() {
    let hub = hub(&Config::default());
    let old = connect(&hub, "c", Start::Resume, 60);
    old.subscribe(&hub, "a", SendRetained::Always).expect("room");
    let new = connect(&hub, "c", Start::Resume, 60);
    publish(&hub, "a", "1", ONCE, None);
    assert!(old.read(&hub, at(0)).is_empty());
    old.leave(&hub, None, at(0));
    assert_eq!(new.read(&hub, at(0)), ["1"]);
}

#[test]
fn there_are_no_more_sessions_than_allowed() {
    let hub = hub(&Config { sessions_max: 1, ..Config::default() });
    connect(&hub, "a", Start::Resume, 60);
    connect(&hub, "b", Start::Resume, 0);
    let mailbox = hub.join();
    let client = ClientId::new("c").expect("valid");
    let lifetime = Lifetime::Seconds(60);
    let opening = Opening { client: &client, start: Start::Resume, lifetime };
    assert!(hub.begin(&mailbox, opening, &mut Effects::default()).is_err());
}

#[test]
fn what_waits_is_bounded_and_the_rest_is_dropped() {
    let config = Config { outbox_messages_max: 2, ..Config::default() };
    let hub = hub(&config);
    let client = connect(&hub, "c", Start::Resume, 60);
    client.subscribe(&hub, "a", SendRetained::Always).expect("room");
    client.leave(&hub, None, at(0));
    for payload in ["1", "2", "3"] {
        publish(&hub, "a", payload, ONCE, None);
    }
    let back = connect(&hub, "c", Start::Resume, 60);
    assert_eq!(back.read(&hub, at(0)), ["1", "2"]);
}

#[test]
fn a_will_with_a_delay_waits_for_the_client_or_the_end_of_its_session() {
    let hub = hub(&Config::default());
    let due = |hub: &Hub, secs| {
        let partings = hub.expire(at(secs), &mut Effects::default());
        partings.iter().filter(|parting| parting.will.is_some()).count()
    };
    // [MQTT-3.1.3-9] back in time
    connect(&hub, "c", Start::Resume, 60).leave(&hub, Some(will(10)), at(0));
    connect(&hub, "c", Start::Resume, 60);
    assert_eq!(due(&hub, 20), 0);
    // not back
    connect(&hub, "d", Start::Resume, 60).leave(&hub, Some(will(10)), at(0));
    assert_eq!((due(&hub, 9), due(&hub, 10), due(&hub, 11)), (0, 1, 0));
    // the session ends first
    connect(&hub, "e", Start::Resume, 5).leave(&hub, Some(will(10)), at(0));
    assert_eq!((due(&hub, 4), due(&hub, 5)), (0, 1));
    // no session, no delay
    let now = connect(&hub, "f", Start::Resume, 0).leave(&hub, Some(will(10)), at(0));
    assert!(now.is_some());
    // a clean start ends the session, and so the delay
    connect(&hub, "g", Start::Resume, 60).leave(&hub, Some(will(10)), at(0));
    let (mailbox, client) = (hub.join(), ClientId::new("g").expect("valid"));
    let opening = Opening { client: &client, start: Start::Clean, lifetime: Lifetime::Connection };
    let begun = hub.begin(&mailbox, opening, &mut Effects::default()).expect("room");
    assert!(begun.2.is_some_and(|parting| parting.will.is_some()));
}

#[test]
fn each_message_goes_to_one_of_a_group_in_turn() {
    let hub = hub(&Config::default());
    let members = ["a", "b"].map(|name| connect(&hub, name, Start::Resume, 0));
    for member in &members {
        member.subscribe(&hub, "$share/g/t/+", SendRetained::Always).expect("room");
    }
    let plain = connect(&hub, "plain", Start::Resume, 0);
    plain.subscribe(&hub, "t/x", SendRetained::Always).expect("room");
    for n in 0..6 {
        publish(&hub, "t/x", &n.to_string(), ONCE, None);
    }
    let [first, second] = members.each_ref().map(|member| member.read(&hub, at(0)));
    assert_eq!((first.len(), second.len()), (3, 3));
    let mut all = [first, second].concat();
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(plain.read(&hub, at(0)).len(), 6);
    assert_eq!(hub.n_subscriptions(), 2, "a group counts once");
}

#[test]
fn what_a_member_leaves_unacknowledged_goes_to_another() {
    let hub = hub(&Config::default());
    let lazy = connect(&hub, "lazy", Start::Resume, 0);
    lazy.subscribe(&hub, "$share/g/t", SendRetained::Always).expect("room");
    for n in 0..4 {
        publish(&hub, "t", &n.to_string(), ONCE, None);
    }
    let keen = connect(&hub, "keen", Start::Resume, 60);
    keen.subscribe(&hub, "$share/g/t", SendRetained::Always).expect("room");
    // Two of them were sent and are not acknowledged, two wait.
    lazy.outbox.send(&lazy.mailbox, 2, at(0), &mut |_| Handled::Sent);
    lazy.leave(&hub, None, at(0));
    assert_eq!(keen.read(&hub, at(0)), ["0", "1", "2", "3"]);
    assert_eq!(
        hub.unsubscribe(&keen.outbox, "$share/g/t", &mut Effects::default()),
        Unsubscribed::Removed
    );
    assert_eq!(hub.n_subscriptions(), 0);
}

#[test]
fn retained_messages_come_as_the_subscription_asks() {
    let hub = hub(&Config::default());
    retain(&hub, "a", "1");
    let client = connect(&hub, "c", Start::Resume, 0);
    client.subscribe(&hub, "a", SendRetained::Never).expect("room");
    assert!(client.read(&hub, at(0)).is_empty());
    client.subscribe(&hub, "a", SendRetained::IfNew).expect("room");
    assert!(client.read(&hub, at(0)).is_empty(), "it was there");
    client.subscribe(&hub, "a", SendRetained::Always).expect("room");
    assert_eq!(client.read(&hub, at(0)), ["1"]);
    client.subscribe(&hub, "+", SendRetained::IfNew).expect("room");
    assert_eq!(client.read(&hub, at(0)), ["1"]);
    client.subscribe(&hub, "$share/g/a", SendRetained::Always).expect("room");
    assert!(client.read(&hub, at(0)).is_empty(), "not for who shares");
}

#[test]
fn more_retained_messages_than_may_wait_all_come() {
    let hub = hub(&Config { outbox_messages_max: 20, ..Config::default() });
    for n in 0..100 {
        retain(&hub, &format!("t/{n:03}"), &n.to_string());
    }
    let client = connect(&hub, "c", Start::Resume, 60);
    client.subscribe(&hub, "t/#", SendRetained::Always).expect("room");
    let read = client.read(&hub, at(0));
    assert_eq!(read, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn an_image_read_back_is_the_same_however_much_is_made_again_over_it() {
    let config = Config::default();
    let (hub, mut changes) = (hub(&config), Vec::new());
    let mut note = |mut effects: Effects| {
        changes.push(effects.take_bytes());
        effects.settle(Outcome::Durable);
    };
    let mailbox = hub.join();
    let client = ClientId::new("c").expect("valid");
    let lifetime = Lifetime::Seconds(60);
    let opening = Opening { client: &client, start: Start::Resume, lifetime };
    let mut effects = Effects::default();
    let (outbox, ..) = hub.begin(&mailbox, opening, &mut effects).expect("room");
    note(effects);
    let (qos, own, retain) = (QoS::ExactlyOnce, Own::Skipped, RetainFlag::Kept);
    for (filter, id) in [("a", Some(7)), ("$share/g/b", None), ("c", None)] {
        let options = SubscribeOptions { qos, own, retain, id };
        let filter = Filter::new(filter).expect("valid");
        let mut effects = Effects::default();
        hub.subscribe(&outbox, filter, options, SendRetained::Never, &mut effects).expect("room");
        note(effects);
    }
    for (n, topic) in ["a", "b", "a", "c"].into_iter().enumerate() {
        let payload = n.to_string();
        let (payload, properties) = (payload.as_bytes(), &[1, 1][..]);
        let expires_at = Some(at(n as u64 + 50));
        let routed = Routed { topic, properties, payload, qos, retain: true, expires_at };
        let mut effects = Effects::default();
        hub.route(None, &routed, &mut effects);
        hub.retain(&routed, &mut effects).expect("room");
        note(effects);
    }
    let mut effects = Effects::default();
    hub.unsubscribe(&outbox, "c", &mut effects);
    hub.part(&mailbox, &outbox, None, at(3), &mut effects);
    note(effects);
    let image = hub.image();
    for from in 0..=changes.len() {
        let other = self::hub(&config);
        other.restore(&image).expect("an image");
        changes[from..].iter().for_each(|it| other.replay(it).expect("changes"));
        // But for the next free number, which is one byte here.
        assert_eq!(other.image()[2..], image[2..], "made again from {from}");
    }
    let other = self::hub(&config);
    changes.iter().for_each(|it| other.replay(it).expect("changes"));
    assert_eq!(other.n_subscriptions(), 2);
    assert!(other.restore(&[9]).is_err());
    assert!(other.replay(&[200]).is_err());
}
