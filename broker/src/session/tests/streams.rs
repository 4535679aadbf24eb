//! Any bytes, split anywhere.

use proptest::prelude::*;

use super::*;

/// A packet a well-behaved or a careless client may send.
fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let topic = prop_oneof![Just("t/a"), Just("t/long/topic"), Just("other")];
    let publishes = (topic, prop::collection::vec(any::<u8>(), 0..300), 0_u16..5)
        .prop_map(|(topic, payload, id)| publish(topic, &payload, id));
    prop_oneof![
        8 => publishes,
        1 => Just(b"\xC0\0".to_vec()),
        1 => Just(b"\x82\x06\0\x01\0\x01a\x01".to_vec()),
        1 => Just(b"\xA2\x05\0\x01\0\x01a".to_vec()),
        1 => Just(b"\x40\x02\0\x01".to_vec()),
    ]
}

/// What a client's bytes come to.
#[derive(Debug, PartialEq)]
struct Effect {
    answers: Vec<u8>,
    /// Topic, payload, packet identifier.
    publishes: Vec<(String, Vec<u8>, u16)>,
    closed: Option<CloseKind>,
}

fn effect(pieces: &[&[u8]]) -> Effect {
    let mut client = Client::new(Config::default());
    for piece in pieces {
        client.receive(piece);
    }
    let mut publishes = Vec::new();
    for batch in std::mem::take(&mut client.batches) {
        for publish in &batch.publishes {
            let publish = publish.expect("what we pushed");
            publishes.push((publish.topic.into(), publish.payload.into(), publish.packet_id));
        }
        if let Some(ticket) = batch.ticket {
            client.session.settle(ticket, Outcome::Durable);
        }
    }
    client.session.release();
    assert!(client.session.owes_nothing());
    let (mut answers, mut acks): (Vec<u8>, Vec<u8>) = Default::default();
    // Acknowledgements wait for the end here, other answers do not: compare them apart.
    let mut output = client.session.output();
    while let [first, length, ..] = *output {
        let (packet, rest) = output.split_at(2 + usize::from(length));
        if first == 0x40 {
            acks.extend(packet)
        } else {
            answers.extend(packet)
        }
        output = rest;
    }
    answers.extend(acks);
    Effect { answers, publishes, closed: client.closed }
}

proptest! {
    #[test]
    fn a_stream_means_the_same_however_it_is_split(
        packets in prop::collection::vec(any_packet(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = [CONNECT_V3, &packets.concat()].concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        let whole = effect(&[&stream]);
        prop_assert_eq!(whole.closed, None);
        prop_assert_eq!(whole, effect(&pieces));
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_grow_what_is_kept(
        version_5 in any::<bool>(),
        packets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..10),
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let config = Config { packet_bytes_max: 64, ..Config::default() };
        let connect = if version_5 { CONNECT_V5 } else { CONNECT_V3 };
        let mut client = Client::connected(config, connect);
        for (first, body) in packets {
            client.receive(&packet(first, &body));
        }
        client.receive(&tail);
        prop_assert!(client.session.partial.len() <= 64);
    }

    #[test]
    fn arbitrary_bytes_from_a_stranger_do_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut client = Client::new(Config::default());
        client.receive(&packet(0x10, &[b"\0\x04MQTT\x05", &bytes[..]].concat()));
        let mut client = Client::new(Config::default());
        client.receive(&packet(0x10, &[b"\0\x04MQTT\x04", &bytes[..]].concat()));
        let mut client = Client::new(Config::default());
        client.receive(&bytes);
        prop_assert!(client.session.partial.len() <= 80);
    }
}
