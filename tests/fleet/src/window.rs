//! The publishes of one connection that are on their way, oldest first, by packet identifier.

use tokio::time::Instant;

/// Packet identifiers run from 1 to this and then from 1 again. [MQTT-2.2.1-3]
const PACKET_IDS: u64 = 65_535;

/// One publish that is not acknowledged yet.
#[derive(Debug)]
pub(crate) struct Flight<T> {
    /// What was published.
    pub(crate) item: T,
    /// When it was sent for the first time.
    pub(crate) sent_at: Instant,
}

/// A ring of publishes in the order they were sent. It never holds more than its limit.
#[derive(Debug)]
pub(crate) struct Window<T> {
    /// `None`: acknowledged before an older one was.
    ring: Box<[Option<Flight<T>>]>,
    /// How many may be on their way; at most the ring's length.
    limit: usize,
    /// The oldest's place in the connection's count of publishes.
    head: u64,
    /// The next one's.
    tail: u64,
}

impl<T> Window<T> {
    /// For at most `limit` publishes, at least one.
    pub(crate) fn new(limit: u16) -> Self {
        let ring: Box<[_]> = (0..limit.max(1)).map(|_| None).collect();
        Self { limit: ring.len(), ring, head: 0, tail: 0 }
    }

    /// How many places are taken.
    pub(crate) const fn len(&self) -> usize {
        (self.tail - self.head) as usize
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// How many publishes it may hold.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Holds at most `limit` from now on, or as many as it was made for if that is less: the
    /// server's Receive Maximum. [MQTT-3.3.4-7]
    pub(crate) fn restrict(&mut self, limit: u16) {
        self.limit = usize::from(limit.max(1)).min(self.ring.len());
    }

    /// The packet identifier that the next publish will have.
    pub(crate) fn next_id(&self) -> u16 {
        packet_id(self.tail)
    }

    /// Takes a publish in and gives its packet identifier; `None` if there is no room.
    pub(crate) fn push(&mut self, item: T, sent_at: Instant) -> Option<u16> {
        if self.len() >= self.limit {
            return None;
        }
        let at = self.slot(self.tail);
        self.ring[at] = Some(Flight { item, sent_at });
        let packet_id = packet_id(self.tail);
        self.tail += 1;
        Some(packet_id)
    }

    /// The publish with this packet identifier, which is no longer on its way. `None` if it was
    /// not.
    pub(crate) fn settle(&mut self, id: u16) -> Option<Flight<T>> {
        let oldest = u64::from(packet_id(self.head));
        let ahead = (u64::from(id) + PACKET_IDS - oldest) % PACKET_IDS;
        if id == 0 || ahead >= self.tail - self.head {
            return None;
        }
        let at = self.slot(self.head + ahead);
        let flight = self.ring[at].take();
        while self.head < self.tail && self.ring[self.slot(self.head)].is_none() {
            self.head += 1;
        }
        flight
    }

    /// What is on its way, in the order it was sent, with packet identifiers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &T)> {
        (self.head..self.tail).filter_map(|place| {
            let flight = self.ring[self.slot(place)].as_ref()?;
            Some((packet_id(place), &flight.item))
        })
    }

    fn slot(&self, place: u64) -> usize {
        (place % self.ring.len() as u64) as usize
    }
}

fn packet_id(place: u64) -> u16 {
    u16::try_from(place % PACKET_IDS + 1).expect("a remainder of 65535, and one, fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_limit() {
        let mut window = Window::new(3);
        let now = Instant::now();
        assert_eq!([(); 4].map(|()| window.push((), now)), [Some(1), Some(2), Some(3), None]);
        assert!(window.settle(2).is_some(), "out of order");
        assert_eq!(window.push((), now), None, "the oldest still holds its place");
        assert!(window.settle(1).is_some());
        assert_eq!((window.len(), window.push((), now)), (1, Some(4)));
    }

    #[test]
    fn each_publish_settles_once_across_the_end_of_the_identifiers() {
        let mut window = Window::new(7);
        let now = Instant::now();
        for n in 0..200_000_u32 {
            let id = window.push(n, now).expect("room");
            if n >= 5 {
                let oldest = u16::try_from((n - 5) % 65_535 + 1).expect("fits");
                assert_eq!(window.settle(oldest).map(|flight| flight.item), Some(n - 5));
                assert!(window.settle(oldest).is_none(), "twice");
            }
            assert!(window.settle(id.wrapping_add(1)).is_none(), "never sent");
        }
        let left: Vec<u32> = window.iter().map(|(_, n)| *n).collect();
        assert_eq!(left, (199_995..200_000).collect::<Vec<_>>(), "in the order they were sent");
    }
}
