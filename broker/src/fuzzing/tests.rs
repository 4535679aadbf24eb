//! A million packets with faults: no panic, answers that are MQTT, and memory that is bounded.
//!
//! Each test plays a quarter of them from a seed of its own; `BELLWIRE_FUZZ_SEED` plays others. A
//! failure names the seed of the one connection that shows it.

use super::allocations::{live_bytes, peak_bytes, reset_peak};
use super::packets::{Version, any, connect};
use super::*;

const PACKETS_PER_TEST: u64 = 250_000;
/// After so many connections the broker is dropped, and all its memory must be free again.
const CONNECTIONS_PER_ARENA: u64 = 500;
/// What a connection may take at a time, beside its share of what it sent and was sent: about what
/// the fixed parts of a connection are, many times over.
const CONNECTION_BYTES_MAX: usize = 32 * 1024;
/// What a broker may keep of the connections that have ended.
const ARENA_BYTES_MAX: usize = 1024 * 1024;

fn seed(default: u64) -> u64 {
    let given = std::env::var("BELLWIRE_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

/// Plays one connection; gives how many packets with faults the broker has looked at.
fn play(arena: &Arena, seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let stream = mutated_stream(&mut dice);
    let mut script = Script::in_pieces(&stream.bytes, &mut dice);
    let before = live_bytes();
    reset_peak();
    let looked_at_bytes = arena.play(&mut script);
    let taken = peak_bytes().saturating_sub(before);
    let allowed = CONNECTION_BYTES_MAX + 8 * (stream.bytes.len() + script.answer().len());
    assert!(taken <= allowed, "seed {seed}: {taken} bytes, allowed {allowed}");
    stream.mutated_at.iter().filter(|&&at| at < looked_at_bytes).count() as u64
}

fn check(first_seed: u64) {
    let first_seed = seed(first_seed);
    println!("seeds from {first_seed}");
    // What a thread makes once, its buffers among it, is made now.
    Arena::new().play(&mut Script::whole(packets::CONNECT_V3));
    let (mut packets, mut connections) = (0, 0);
    while packets < PACKETS_PER_TEST {
        let before = live_bytes();
        let arena = Arena::new();
        let empty = live_bytes();
        for _ in 0..CONNECTIONS_PER_ARENA {
            let seed = first_seed.wrapping_add(connections);
            let playing = std::panic::AssertUnwindSafe(|| play(&arena, seed));
            let Ok(looked_at) = std::panic::catch_unwind(playing) else {
                panic!("the connection of seed {seed} shows it: BELLWIRE_FUZZ_SEED={seed}");
            };
            packets += looked_at;
            connections += 1;
        }
        assert!(arena.is_as_good_after_a_restart(), "sessions up to {connections} are lost");
        let kept = live_bytes().saturating_sub(empty);
        assert!(kept <= ARENA_BYTES_MAX, "seeds up to {connections}: {kept} bytes are kept");
        drop(arena);
        let left = live_bytes().saturating_sub(before);
        assert!(left <= 4096, "{left} bytes are never freed, by connection {connections}");
    }
    println!("{packets} packets with faults on {connections} connections");
}

#[test]
fn a_million_packets_with_faults_do_no_harm_first_quarter() {
    check(1_000_000_000);
}

#[test]
fn a_million_packets_with_faults_do_no_harm_second_quarter() {
    check(2_000_000_000);
}

#[test]
fn a_million_packets_with_faults_do_no_harm_third_quarter() {
    check(3_000_000_000);
}

#[test]
fn a_million_packets_with_faults_do_no_harm_last_quarter() {
    check(4_000_000_000);
}

/// What the faults are put into is good: else they would test nothing but the first check.
#[test]
fn packets_without_faults_are_mostly_let_through() {
    let arena = Arena::new();
    let mut dice = Dice::new(7);
    let (mut looked_at, mut sent) = (0, 0);
    for round in 0..1_000 {
        let version = if round % 2 == 0 { Version::V3 } else { Version::V5 };
        let mut bytes = connect(version, &mut dice);
        for _ in 0..4 {
            bytes.extend(any(version, &mut dice));
        }
        looked_at += arena.play(&mut Script::whole(&bytes));
        sent += bytes.len() as u64;
    }
    assert!(looked_at * 3 > sent, "{looked_at} of {sent} bytes");
}

/// A connection that waits, subscribed to its own command topic, is cheap: 10,000 of them are 40 MB.
/// The kernel's part and what the runtime adds to a task, some 200 bytes, are not in this.
#[test]
fn an_idle_connection_takes_little_memory() {
    const IDLE_BYTES_MAX: usize = 4 * 1024;
    const CONNECTIONS: usize = 1_000;
    let arena = Arena::new();
    let inputs: Vec<Vec<u8>> = (0..CONNECTIONS)
        .map(|number| {
            let id = format!("idle-{number:05}");
            let filter = format!("devices/{id}/commands");
            let connect = [b"\0\x04MQTT\x04\x02\x0E\x10\0\x0A", id.as_bytes()].concat();
            let subscribe = [b"\0\x01\0\x1B", filter.as_bytes(), b"\x01"].concat();
            [packets::packet(0x10, &connect), packets::packet(0x82, &subscribe)].concat()
        })
        .collect();
    arena.play(&mut Script::whole(&inputs[0]));
    let before = live_bytes();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _entered = arena.runtime.enter();
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for input in &inputs {
        let mut connection = Box::pin(arena.serve(Script::silent(input)));
        assert!(connection.as_mut().poll(&mut context).is_pending());
        connections.push(connection);
    }
    assert_eq!(arena.broker.handle().subscriptions(), CONNECTIONS);
    // The script keeps the answers, 16 bytes of them; that is not the broker's.
    let each = (live_bytes() - before) / CONNECTIONS;
    let future = size_of_val(&*connections[0]);
    println!("{each} bytes each, of which {future} are the connection's future");
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes, of which {future} are the connection's future");
}

/// The fuzz targets run at least on what has been found before.
#[test]
fn the_corpus_does_no_harm() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut n = 0;
    for (name, target) in
        [("stranger", stranger as fn(&[u8])), ("client", client), ("mutated", mutated)]
    {
        for file in std::fs::read_dir(folder.join(name)).unwrap() {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            n += 1;
        }
    }
    assert!(n > 0, "there is a corpus");
}
