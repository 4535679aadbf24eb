//! Who has how much at the door: connections, handshakes and the rate of new ones, of each source
//! and of all together. Pure: `now` is an argument.

use std::time::Instant;

use bellwire_model::Source;
use hashbrown::HashMap;

use super::config::DoorLimits;
use crate::rate::{Bucket, Taken};

/// Entries beyond twice the connections there may be: room for sources that have just left.
const SPARE_ENTRIES: usize = 1024;

/// Which limit of a source is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    Connections,
    Handshakes,
    Connects,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    connections: u32,
    /// Those of them that have not been let in yet.
    handshakes: u32,
    connects: Bucket,
}

/// What each source has.
#[derive(Debug)]
pub(crate) struct Sources {
    entries: HashMap<Source, Entry>,
    entries_max: usize,
}

impl Sources {
    /// Nobody yet, of at most `connections_max` connections.
    pub(crate) fn new(connections_max: u32) -> Self {
        let entries_max = 2 * connections_max as usize + SPARE_ENTRIES;
        Self { entries: HashMap::new(), entries_max }
    }

    /// Counts a new connection of `source`, in handshake, if its limits have room. Each call that
    /// is answered with `Ok` must be followed by [`Sources::leave`], at the end.
    pub(crate) fn enter(
        &mut self,
        source: Source,
        limits: &DoorLimits,
        now: Instant,
    ) -> Result<(), TooMuch> {
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(&source) {
            self.make_room(now);
        }
        let new = Entry { connections: 0, handshakes: 0, connects: Bucket::new(now) };
        let entry = self.entries.entry(source).or_insert(new);
        if let Some(rate) = limits.connects_per_source
            && entry.connects.try_take(rate, now) == Taken::No
        {
            return Err(TooMuch::Connects);
        }
        if entry.connections >= limits.connections_per_source_max {
            return Err(TooMuch::Connections);
        }
        if entry.handshakes >= limits.handshakes_per_source_max {
            return Err(TooMuch::Handshakes);
        }
        entry.connections += 1;
        entry.handshakes += 1;
        Ok(())
    }

    /// A connection of `source` has been let in.
    pub(crate) fn admitted(&mut self, source: Source) {
        if let Some(entry) = self.entries.get_mut(&source) {
            entry.handshakes = entry.handshakes.saturating_sub(1);
        }
    }

    /// A connection of `source` has ended; if it was never let in, [`Sources::admitted`] comes first.
    pub(crate) fn leave(&mut self, source: Source, now: Instant) {
        let Some(entry) = self.entries.get_mut(&source) else { return };
        entry.connections = entry.connections.saturating_sub(1);
        if entry.connections == 0 && entry.connects.is_full(now) {
            self.entries.remove(&source);
        }
    }

    /// How many sources are remembered.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets sources without connections: those whose rate is forgotten too; if that is not
    /// enough, all of them. Then half of the table is free, since there are fewer connections.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.connections > 0 || !entry.connects.is_full(now));
        if self.entries.len() * 2 > self.entries_max {
            self.entries.retain(|_, entry| entry.connections > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::door::config::{DoorConfig, ProxyConfig, RateConfig};

    fn limits(connections: u32, handshakes: u32, per_second: u32, burst: u32) -> DoorLimits {
        let door = DoorConfig {
            connections_per_source_max: connections,
            handshakes_per_source_max: handshakes,
            connects_per_source_per_second_max: per_second,
            connects_per_source_burst: burst,
            ..DoorConfig::default()
        };
        DoorLimits::new(&door, &ProxyConfig::default(), &RateConfig::default()).expect("in range")
    }

    fn source(text: &str) -> Source {
        Source::of(text.parse().expect("an address"))
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_source_at_its_limit_keeps_nobody_else_out() {
        let (limits, now) = (limits(2, 0, 0, 0), start());
        let mut sources = Sources::new(10);
        let (a, b) = (source("10.0.0.1"), source("10.0.0.2"));
        assert_eq!(sources.enter(a, &limits, now), Ok(()));
        assert_eq!(sources.enter(a, &limits, now), Ok(()));
        assert_eq!(sources.enter(a, &limits, now), Err(TooMuch::Connections));
        assert_eq!(sources.enter(b, &limits, now), Ok(()));
        sources.leave(a, now);
        assert_eq!(sources.enter(a, &limits, now), Ok(()));
    }

    #[test]
    fn who_is_let_in_makes_room_for_the_next_handshake() {
        let (limits, now) = (limits(0, 1, 0, 0), start());
        let mut sources = Sources::new(10);
        let a = source("10.0.0.1");
        assert_eq!(sources.enter(a, &limits, now), Ok(()));
        assert_eq!(sources.enter(a, &limits, now), Err(TooMuch::Handshakes));
        sources.admitted(a);
        assert_eq!(sources.enter(a, &limits, now), Ok(()));
    }

    #[test]
    fn a_source_is_forgotten_once_its_rate_is() {
        let (limits, now) = (limits(0, 0, 1, 2), start());
        let mut sources = Sources::new(10);
        let a = source("10.0.0.1");
        for _ in 0..2 {
            assert_eq!(sources.enter(a, &limits, now), Ok(()));
            sources.admitted(a);
            sources.leave(a, now);
        }
        assert_eq!(sources.enter(a, &limits, now), Err(TooMuch::Connects));
        assert_eq!(sources.len(), 1);
        let later = now + Duration::from_secs(2);
        assert_eq!(sources.enter(a, &limits, later), Ok(()));
        sources.leave(a, later + Duration::from_secs(1));
        assert_eq!(sources.len(), 0);
    }

    #[test]
    fn a_storm_of_sources_does_not_grow_the_table_and_connections_stay_counted() {
        let (limits, now) = (limits(1, 0, 1, 1), start());
        let mut sources = Sources::new(100);
        let stays = source("192.0.2.1");
        assert_eq!(sources.enter(stays, &limits, now), Ok(()));
        for n in 0..100_000_u32 {
            let passer = Source::V4(n.to_be_bytes());
            assert_eq!(sources.enter(passer, &limits, now), Ok(()));
            sources.leave(passer, now);
            assert!(sources.len() <= 2 * 100 + SPARE_ENTRIES);
        }
        let later = now + Duration::from_secs(5);
        assert_eq!(sources.enter(stays, &limits, later), Err(TooMuch::Connections));
    }
}
