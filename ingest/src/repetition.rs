//! Tells a publish that repeats an earlier one from a new one.
//!
//! The same topic and payload bytes within the window are a repetition where the payload carries
//! its own time. Without its own time, equal bytes may well be a second event; then only a client
//! that says so counts: DUP is set, and the last use of that client's packet id had the same bytes.
//!
//! The window slides over *all* publishes of the log, repetitions included, so its content is a
//! pure function of the log's last publishes: after a restart it is rebuilt by reading them again
//! from [`Window::floor`], and need not be in any snapshot (`docs/decisions/0010`).

use std::collections::VecDeque;
use std::time::Duration;

use bellwire_model::{ClientId, LogId, LogPosition, PublishRef, QoS, Timestamp};
use hashbrown::{DefaultHashBuilder, HashMap};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// How long a publish is remembered, in receive time.
pub const WINDOW: Duration = Duration::from_secs(600);
/// How many publishes are remembered at most: 7/8 of 2²⁰, so that the tables stay at 2²⁰ slots.
pub const PUBLISHES_MAX: usize = 917_504;

/// At most this part of the stretch that a window reaches back over is forgotten at once.
const MARKS_MIN: u64 = 16;

/// What bounds a [`Window`], beside [`WINDOW`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most publishes it remembers.
    pub publishes_max: usize,
    /// A place to rebuild from is noted after this many publishes.
    pub mark_every: u64,
    /// The most log it reaches back over, in bytes: the log must keep that stretch, so this must
    /// be well below what the log may have, or a full log could never let go of anything. If it
    /// is changed, a start may decide otherwise about what came between the last snapshot and the
    /// end; nothing is stored twice or missed for that.
    pub log_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { publishes_max: PUBLISHES_MAX, mark_every: 4_096, log_bytes_max: u64::MAX }
    }
}

/// What identifies a publish: a hash of topic and payload, and of client and packet id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    content: u128,
    /// `None` with QoS 0, which has no packet id.
    packet: Option<u64>,
}

/// Hashes publishes with a seed of the log's own, so that nobody can prepare collisions.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    seed: u64,
}

impl Hasher {
    /// A hasher for this log.
    #[must_use]
    pub const fn new(log: LogId) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "both halves go in")]
        let seed = (log.0 >> 64) as u64 ^ log.0 as u64;
        Self { seed }
    }

    /// The seed for one client's packet ids; the same for all its publishes.
    #[must_use]
    pub fn client(&self, client: &ClientId) -> u64 {
        self.client_str(client.as_str())
    }

    /// [`Hasher::client`] for a name that has not been copied.
    #[must_use]
    pub fn client_str(&self, client: &str) -> u64 {
        xxh3_64_with_seed(client.as_bytes(), self.seed)
    }

    /// The fingerprint of one publish of the client with this seed.
    #[must_use]
    pub fn fingerprint(&self, client: u64, publish: &PublishRef<'_>) -> Fingerprint {
        let topic = xxh3_64_with_seed(publish.topic.as_bytes(), self.seed);
        let packet = (publish.qos != QoS::AtMostOnce)
            .then(|| client ^ u64::from(publish.packet_id).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Fingerprint { content: xxh3_128_with_seed(publish.payload, topic), packet }
    }
}

/// What would make equal bytes a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The payload carries its own time: equal bytes anywhere in the window are the same event.
    OwnTime,
    /// The client set DUP: equal bytes under the last use of its packet id are the same packet.
    Dup,
    /// Nothing: equal bytes are another event.
    None,
}

/// Whether a publish was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// It is new.
    New,
    /// It repeats an earlier one.
    Repeated,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    content: u128,
    packet: Option<u64>,
    received_at: Timestamp,
}

/// The publishes of the last ten minutes, at most [`PUBLISHES_MAX`].
#[derive(Debug)]
pub struct Window {
    ring: VecDeque<Remembered>,
    /// The number of the ring's front, counted from the window's birth.
    front: u64,
    /// Low half of the content hash → the number of its last publish.
    by_content: HashMap<u64, u64, DefaultHashBuilder>,
    /// Client and packet id → the number of its last use.
    by_packet: HashMap<u64, u64, DefaultHashBuilder>,
    /// Records to rebuild from, with the number of their first publish.
    marks: VecDeque<(LogPosition, u64)>,
    limits: Limits,
}

impl Default for Window {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Window {
    /// A window that remembers nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            ring: VecDeque::new(),
            front: 0,
            by_content: HashMap::default(),
            by_packet: HashMap::default(),
            marks: VecDeque::new(),
            limits,
        }
    }

    /// Says whether a publish repeats one in the window, and remembers it.
    pub fn observe(
        &mut self,
        fingerprint: Fingerprint,
        evidence: Evidence,
        received_at: Timestamp,
    ) -> Repetition {
        self.forget(received_at);
        let number = self.front + self.ring.len() as u64;
        let by_content = self.by_content.insert(low(fingerprint.content), number);
        let by_packet = fingerprint.packet.and_then(|packet| self.by_packet.insert(packet, number));
        let before = match evidence {
            Evidence::OwnTime => by_content,
            Evidence::Dup => by_packet,
            Evidence::None => None,
        };
        let repeated = before.is_some_and(|n| self.at(n).content == fingerprint.content);
        self.ring.push_back(Remembered {
            content: fingerprint.content,
            packet: fingerprint.packet,
            received_at,
        });
        if repeated { Repetition::Repeated } else { Repetition::New }
    }

    /// Notes that the record at `position` begins; the next publish is its first.
    pub fn begin_record(&mut self, position: LogPosition) {
        let number = self.front + self.ring.len() as u64;
        let Limits { mark_every, log_bytes_max, .. } = self.limits;
        let due = self.marks.back().is_none_or(|&(at, last)| {
            number >= last + mark_every || position.0 - at.0 >= log_bytes_max / MARKS_MIN
        });
        if due {
            self.marks.push_back((position, number));
        }
        while self.marks.len() > 1
            && (self.marks[1].1 <= self.front || position.0 - self.marks[0].0.0 > log_bytes_max)
        {
            while self.front < self.marks[1].1 {
                self.forget_oldest();
            }
            self.marks.pop_front();
        }
    }

    /// The record from which the window can be rebuilt; `None` if it has seen none.
    #[must_use]
    pub fn floor(&self) -> Option<LogPosition> {
        self.marks.front().map(|&(position, _)| position)
    }

    /// How many publishes it remembers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether it remembers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    fn at(&self, number: u64) -> &Remembered {
        let index = usize::try_from(number - self.front).expect("the ring is far below 2³²");
        &self.ring[index]
    }

    /// Forgets what is too old, and makes room for one.
    fn forget(&mut self, now: Timestamp) {
        while let Some(&oldest) = self.ring.front() {
            if self.ring.len() < self.limits.publishes_max
                && now.since(oldest.received_at) <= WINDOW
            {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.ring.pop_front() else { return };
        remove_if(&mut self.by_content, low(oldest.content), self.front);
        if let Some(packet) = oldest.packet {
            remove_if(&mut self.by_packet, packet, self.front);
        }
        self.front += 1;
    }
}

/// Removes `key` if it still speaks of publish `number`.
fn remove_if(map: &mut HashMap<u64, u64, DefaultHashBuilder>, key: u64, number: u64) {
    if let hashbrown::hash_map::Entry::Occupied(entry) = map.entry(key)
        && *entry.get() == number
    {
        entry.remove();
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
const fn low(hash: u128) -> u64 {
    hash as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_secs(1_000);

    fn limits(publishes_max: usize) -> Limits {
        Limits { publishes_max, ..Limits::default() }
    }

    fn publish(payload: &[u8], packet_id: u16) -> PublishRef<'_> {
        let qos = if packet_id == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        PublishRef { topic: "t", payload, qos, dup: false, retain: false, packet_id }
    }

    fn print(client: &str, payload: &[u8], packet_id: u16) -> Fingerprint {
        let hasher = Hasher::new(LogId(7));
        hasher.fingerprint(hasher.client_str(client), &publish(payload, packet_id))
    }

    #[test]
    fn equal_bytes_with_their_own_time_are_one_event() {
        let mut window = Window::default();
        assert_eq!(window.observe(print("a", b"x", 1), Evidence::OwnTime, T0), Repetition::New);
        assert_eq!(
            window.observe(print("b", b"x", 9), Evidence::OwnTime, T0),
            Repetition::Repeated
        );
        assert_eq!(window.observe(print("a", b"y", 1), Evidence::OwnTime, T0), Repetition::New);
    }

    #[test]
    fn without_own_time_only_dup_with_the_same_id_repeats() {
        let mut window = Window::default();
        let observe = |window: &mut Window, client, payload, id, dup| {
            window.observe(print(client, payload, id), dup, T0)
        };
        assert_eq!(observe(&mut window, "a", b"x", 1, Evidence::None), Repetition::New);
        assert_eq!(observe(&mut window, "a", b"x", 2, Evidence::None), Repetition::New);
        assert_eq!(observe(&mut window, "a", b"x", 1, Evidence::Dup), Repetition::Repeated);
        assert_eq!(
            observe(&mut window, "b", b"x", 1, Evidence::Dup),
            Repetition::New,
            "another client"
        );
        assert_eq!(
            observe(&mut window, "a", b"y", 1, Evidence::Dup),
            Repetition::New,
            "other bytes"
        );
        assert_eq!(
            observe(&mut window, "a", b"x", 1, Evidence::Dup),
            Repetition::New,
            "a newer use of id 1"
        );
        assert_eq!(
            observe(&mut window, "a", b"x", 0, Evidence::Dup),
            Repetition::New,
            "QoS 0 has no id"
        );
    }

    #[test]
    fn the_window_forgets_by_time_and_by_number() {
        let mut window = Window::new(limits(2));
        let see = |window: &mut Window, payload, at| {
            window.observe(print("a", payload, 1), Evidence::OwnTime, at)
        };
        see(&mut window, b"x", T0);
        assert_eq!(see(&mut window, b"x", T0 + WINDOW), Repetition::Repeated);
        let later = T0 + WINDOW + WINDOW + Duration::from_micros(1);
        assert_eq!(see(&mut window, b"x", later), Repetition::New);
        see(&mut window, b"y", later);
        see(&mut window, b"z", later);
        assert_eq!(see(&mut window, b"x", later), Repetition::New);
        assert_eq!(window.len(), 2);
        assert_eq!(window.by_content.len(), 2);
    }

    /// Observes `numbers` as publishes, one record each, and returns the verdicts.
    fn run(window: &mut Window, numbers: impl Iterator<Item = u64>) -> Vec<Repetition> {
        numbers
            .map(|n| {
                window.begin_record(LogPosition(n));
                let payload = (n * n % 3_001).to_le_bytes();
                window.observe(
                    print("a", &payload, 1),
                    Evidence::OwnTime,
                    T0 + Duration::from_millis(n),
                )
            })
            .collect()
    }

    #[test]
    fn a_window_rebuilt_from_its_floor_decides_the_same() {
        rebuilds(limits(5_000));
    }

    #[test]
    fn a_window_reaches_back_over_a_bounded_stretch_of_the_log() {
        let limits = Limits { log_bytes_max: 2_000, ..Limits::default() };
        rebuilds(limits);
        let mut window = Window::new(limits);
        for n in 0..20_000 {
            run(&mut window, n..n + 1);
            let floor = window.floor().expect("it is not empty");
            assert!(n - floor.0 <= 2_000, "at {n} it reaches back to {floor}");
        }
    }

    fn rebuilds(limits: Limits) {
        let mut whole = Window::new(limits);
        run(&mut whole, 0..20_000);
        let floor = whole.floor().expect("it is not empty");
        assert!(floor > LogPosition(10_000), "the floor follows: {floor}");
        let mut rebuilt = Window::new(limits);
        run(&mut rebuilt, floor.0..20_000);
        assert_eq!(run(&mut whole, 20_000..30_000), run(&mut rebuilt, 20_000..30_000));
    }
}
