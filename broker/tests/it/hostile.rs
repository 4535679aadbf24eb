//! Clients that mean harm: each hurts itself only. Meanwhile others are served, memory is bounded,
//! and the log says who it was.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwire_broker::Config;
use bellwire_broker::access::{Acl, Admission, Anyone, Gatekeeper, Grant, Hello};
use bellwire_model::ClientId;

use crate::support::{RawClient, connect, packet, publish, subscribe, text, within};
use crate::witness::{Scene, publish_v5, subscribe_v5};

const MB: usize = 1 << 20;

#[tokio::test]
async fn a_connect_that_trickles_in_is_cut_off_at_the_deadline() {
    const N: usize = 50;
    let mut scene = Scene::open(Config { connect_timeout_ms: 300, ..Config::default() }).await;
    let (mut slow, mut ports) = (Vec::new(), Vec::new());
    for _ in 0..N {
        let client = RawClient::open(scene.service.address).await;
        ports.push(client.0.local_addr().unwrap().port());
        slow.push(client);
    }
    // Ten seconds' worth: whoever counts from the last byte lets them go on.
    let hello = connect(4, &"x".repeat(200));
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut bytes = hello.iter();
    within(async {
        while scene.n_closed("connect_timeout") < N {
            tick.tick().await;
            let byte = *bytes.next().expect("closed long before");
            for client in &mut slow {
                client.send_what_goes(&[byte]).await;
            }
            scene.others_are_served().await;
        }
    })
    .await;
    for port in ports {
        scene.log_says(&["connect_timeout", &format!(":{port}")]).await;
    }
    drop(slow);
    scene.memory_is_bounded(2 * MB).await;
    scene.close().await;
}

#[tokio::test]
async fn silent_connections_lose_their_places_and_take_nobody_elses() {
    let config = Config { connections_max: 102, connect_timeout_ms: 100, ..Config::default() };
    let mut scene = Scene::open(config).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(RawClient::open(scene.service.address).await);
    }
    scene.others_are_served().await;
    // Some wait for their turn to be silent, some find no place: all of them end.
    for (number, client) in silent.iter_mut().enumerate() {
        assert_eq!(client.read_or_nothing().await, b"");
        if number % 50 == 0 {
            scene.others_are_served().await;
        }
    }
    assert!(scene.n_closed("connect_timeout") >= 100);
    scene.log_says(&["connect_timeout"]).await;
    drop(silent);
    scene.memory_is_bounded(2 * MB).await;
    scene.close().await;
}

#[tokio::test]
async fn subscribers_that_never_read_share_a_bounded_backlog() {
    let payload = vec![b'x'; 60_000];
    let mut scene = Scene::open(Config::default()).await;
    let mut lazy = Vec::new();
    for number in 0..8 {
        let mut client = RawClient::v3(scene.service.address, &format!("lazy-{number}")).await;
        client.send(&subscribe("flood", number % 2)).await;
        client.expect(&[0x90, 3, 0, 1, number % 2]).await;
        lazy.push(client);
    }
    let mut flood = RawClient::v3(scene.service.address, "flood").await;
    for id in 1..=400 {
        flood.send(&publish("flood", &payload, id)).await;
        let [high, low] = id.to_be_bytes();
        flood.expect(&[0x40, 2, high, low]).await;
        if id % 50 == 0 {
            scene.others_are_served().await;
        }
    }
    // 24 MB went to each of them. Those with QoS 1 are closed, those with QoS 0 lose messages.
    crate::support::wait_until(|| scene.n_closed("slow_reader") == 4).await;
    for name in ["`lazy-1`", "`lazy-3`", "`lazy-5`", "`lazy-7`"] {
        scene.log_says(&["Closing", name, "does not read"]).await;
    }
    assert!(scene.service.metric("bellwire_mqtt_messages_dropped_total", None) > 100.0);
    drop((payload, flood, lazy));
    // A message is one for all: what waits is bounded once, not eight times.
    scene.memory_is_bounded(12 * MB).await;
    scene.close().await;
}

#[tokio::test]
async fn connections_that_throw_each_other_out_disturb_nobody() {
    let mut scene = Scene::open(Config::default()).await;
    let mut last = None;
    for round in 0..500 {
        let newcomer = RawClient::v5(scene.service.address, "twin").await;
        if let Some(mut before) = last.replace(newcomer) {
            RawClient::expect_end(&mut before, &[0xE0, 1, 0x8E]).await;
        }
        if round % 50 == 0 {
            scene.others_are_served().await;
        }
    }
    assert_eq!(scene.n_closed("taken_over"), 499);
    scene.log_says(&["`twin`", "taken_over"]).await;
    drop(last);
    scene.memory_is_bounded(MB).await;
    scene.close().await;
}

#[tokio::test]
async fn topics_of_64_kb_are_refused_wherever_they_come() {
    let mut scene = Scene::open(Config::default()).await;
    let address = scene.service.address;
    let (long, deep) = ("x".repeat(65_535), "/".repeat(1_000));
    for topic in [&long, &deep] {
        let mut client = RawClient::v5(address, "long-winded").await;
        client.send(&publish_v5(topic, &[], b"", 0)).await;
        client.expect_end(&[0xE0, 1, 0x90]).await;
        scene.others_are_served().await;
        let mut client = RawClient::v5(address, "long-winded").await;
        for _ in 0..20 {
            client.send(&subscribe_v5(topic, 1)).await;
            client.expect(&[0x90, 4, 0, 1, 0, 0x8F]).await;
        }
        scene.others_are_served().await;
    }
    let mut client = RawClient::open(address).await;
    let body =
        [&b"\0\x04MQTT\x04\x06\0\x3C\0\x01w"[..], &text(&long[..60_000]), &text("")].concat();
    client.send(&packet(0x10, &body)).await;
    client.expect_end(&[]).await;
    scene.log_says(&["`long-winded`", "topic_invalid"]).await;
    drop((client, body));
    scene.memory_is_bounded(2 * MB).await;
    scene.close().await;
}

#[tokio::test]
async fn topic_aliases_beyond_what_was_offered_end_the_connection() {
    let mut scene = Scene::open(Config::default()).await;
    // 0 is no alias at all, and one that was never set leaves the message without a topic.
    for (topic, alias, code) in [("a", 0_u16, 0x94), ("a", 0xFFFF, 0x94), ("", 7, 0x82)] {
        let mut client = RawClient::v5(scene.service.address, "alias").await;
        let [high, low] = alias.to_be_bytes();
        client.send(&publish_v5(topic, &[0x23, high, low], b"x", 0)).await;
        client.expect_end(&[0xE0, 1, code]).await;
        scene.others_are_served().await;
    }
    scene.log_says(&["`alias`", "topic_alias_invalid"]).await;
    scene.memory_is_bounded(MB).await;
    scene.close().await;
}

#[tokio::test]
async fn one_packet_id_for_everything_counts_against_the_receive_maximum() {
    let config = Config { unacknowledged_publishes_max: 100, ..Config::default() };
    let mut scene = Scene::open(config).await;
    let mut client = RawClient::v5(scene.service.address, "same-id").await;
    let flood = publish_v5("devices/d", &[], b"x", 7).repeat(5_000);
    client.send_what_goes(&flood).await;
    // How many are acknowledged before the end depends on how they came in.
    let mut answer = Vec::new();
    within(async {
        loop {
            let bytes = client.read_or_nothing().await;
            if bytes.is_empty() {
                break;
            }
            answer.extend(bytes);
        }
    })
    .await;
    let acks = answer.strip_suffix(&[0xE0, 1, 0x93]).expect("DISCONNECT says why");
    assert_eq!(acks, [0x40, 2, 0, 7].repeat(acks.len() / 4));
    scene.log_says(&["`same-id`", "receive_maximum_exceeded"]).await;
    drop((flood, client));
    scene.memory_is_bounded(4 * MB).await;
    scene.close().await;
}

#[tokio::test]
async fn a_client_that_subscribes_to_everything_it_can_think_of_is_stopped_at_its_limit() {
    let mut scene = Scene::open(Config::default()).await;
    let mut client = RawClient::v5(scene.service.address, "greedy").await;
    for number in 0..3_000 {
        client.send(&subscribe_v5(&format!("a/{number}/+/#"), 0)).await;
        let code = if number < 100 { 0 } else { 0x97 };
        client.expect(&[0x90, 4, 0, 1, 0, code]).await;
    }
    scene.others_are_served().await;
    assert_eq!(scene.service.handle.subscriptions(), 101);
    drop(client);
    scene.memory_is_bounded(MB).await;
    assert_eq!(scene.service.handle.subscriptions(), 1);
    scene.close().await;
}

/// A PUBLISH with QoS 2.
fn publish_2(topic: &str, id: u16) -> Vec<u8> {
    let mut bytes = publish(topic, b"x", id);
    bytes[0] = 0x34;
    bytes
}

#[tokio::test]
async fn a_flood_of_qos_2_without_pubrel_ends_at_the_receive_maximum() {
    let config = Config { unacknowledged_publishes_max: 100, ..Config::default() };
    let mut scene = Scene::open(config).await;
    let mut client = RawClient::v5(scene.service.address, "no-pubrel").await;
    for id in 1..=101_u16 {
        let mut bytes = publish_v5("devices/d", &[], b"x", id);
        bytes[0] = 0x34;
        client.send(&bytes).await;
        if id <= 100 {
            let [high, low] = id.to_be_bytes();
            client.expect(&[0x50, 2, high, low]).await;
        }
    }
    client.expect_end(&[0xE0, 1, 0x93]).await;
    scene.log_says(&["`no-pubrel`", "receive_maximum_exceeded"]).await;
    drop(client);
    scene.memory_is_bounded(MB).await;
    scene.close().await;
}

/// One that cannot be told its maximum is not read beyond it, and closed as it releases nothing.
#[tokio::test]
async fn a_flood_of_qos_2_from_an_old_client_is_bounded_as_well() {
    let mut scene = Scene::open(Config::default()).await;
    let mut client = RawClient::v3(scene.service.address, "no-pubrel-3").await;
    let flood: Vec<u8> = (1..=60_000).flat_map(|id| publish_2("devices/d/telemetry", id)).collect();
    client.send_what_goes(&flood).await;
    drop(flood);
    within(async { while !client.read_or_nothing().await.is_empty() {} }).await;
    scene.others_are_served().await;
    scene.log_says(&["Closing", "`no-pubrel-3`"]).await;
    drop(client);
    scene.memory_is_bounded(8 * MB).await;
    scene.close().await;
}

/// The same PUBLISH again and again, with QoS 2: it is kept once.
#[tokio::test]
async fn a_qos_2_publish_that_is_repeated_for_ever_is_delivered_once() {
    let mut scene = Scene::open(Config::default()).await;
    let address = scene.service.address;
    let mut watcher = RawClient::v3(address, "watches").await;
    watcher.send(&subscribe("once", 2)).await;
    watcher.expect(&[0x90, 3, 0, 1, 2]).await;
    let mut client = RawClient::v3(address, "repeats").await;
    for _ in 0..500 {
        client.send(&publish_2("once", 5)).await;
        client.expect(&[0x50, 2, 0, 5]).await;
    }
    client.send(&[0x62, 2, 0, 5]).await;
    client.expect(&[0x70, 2, 0, 5]).await;
    let mut once = publish_2("once", 1);
    once[0] = 0x34;
    watcher.settled_with(&once).await;
    drop((client, watcher));
    scene.memory_is_bounded(MB).await;
    scene.close().await;
}

#[tokio::test]
async fn what_members_of_a_share_leave_unacknowledged_goes_to_those_who_stay() {
    let mut scene = Scene::open(Config::default()).await;
    let address = scene.service.address;
    let join = async |name: &str| {
        let mut client = RawClient::v5(address, name).await;
        client.send(&subscribe_v5("$share/g/jobs", 1)).await;
        client.expect(&[0x90, 4, 0, 1, 0, 1]).await;
        client
    };
    let mut stays = join("stays").await;
    let mut publisher = RawClient::v3(address, "publishes").await;
    let mut got = Vec::new();
    for round in 0..50_u8 {
        let mut leaver = join("leaver").await;
        for n in 0..2 {
            publisher.send(&publish("jobs", &[b'0' + round, b'0' + n], 1)).await;
            publisher.expect(&[0x40, 2, 0, 1]).await;
        }
        // It takes what it gets, says nothing, and vanishes.
        leaver.send(&[0xC0, 0]).await;
        let mut taken = Vec::new();
        while !taken.ends_with(&[0xD0, 0]) {
            taken.extend(leaver.read_once().await);
        }
        drop(leaver);
        while got.len() < 2 * (usize::from(round) + 1) {
            let message = stays.packet().await;
            assert_eq!(message[0] & 0xF6, 0x32, "QoS 1, perhaps repeated: {message:x?}");
            let id_at = 4 + "jobs".len();
            stays.send(&[0x40, 2, message[id_at], message[id_at + 1]]).await;
            got.push(message[message.len() - 2..].to_vec());
        }
        scene.others_are_served().await;
    }
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 100, "each once, however many members vanished");
    drop((stays, publisher));
    scene.memory_is_bounded(MB).await;
    scene.close().await;
}

/// Lets the good do everything, and others nothing that no rule allows: there is none.
#[derive(Debug)]
struct Doorman(Anyone);

impl Gatekeeper for Doorman {
    fn admit<'a>(
        &'a self,
        hello: Hello<'a>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>> {
        if hello.client.map(ClientId::as_str).is_some_and(|it| it.starts_with("good-")) {
            return Box::pin(std::future::ready(Ok(Grant::everything())));
        }
        self.0.admit(hello)
    }
}

#[tokio::test]
async fn who_may_not_listen_hears_nothing_whatever_it_subscribes_to() {
    let doorman = Arc::new(Doorman(Anyone::under(Arc::new(Acl::strict(Vec::new())))));
    let mut scene = Scene::open_guarded(Config::default(), doorman).await;
    let mut curious = RawClient::v5(scene.service.address, "curious").await;
    let mut old = RawClient::v3(scene.service.address, "curious-3").await;
    for filter in ["#", "+/#", "+", "news", "$share/g/#", "$SYS/#", "devices/+/telemetry"] {
        curious.send(&subscribe_v5(filter, 1)).await;
        curious.expect(&[0x90, 4, 0, 1, 0, 0x87]).await;
        old.send(&subscribe(filter, 1)).await;
        old.expect(&[0x90, 3, 0, 1, 0x80]).await;
        scene.others_are_served().await;
    }
    curious.settled_with(&[]).await;
    old.settled_with(&[]).await;
    drop((curious, old));
    scene.memory_is_bounded(MB).await;
    scene.close().await;
}
