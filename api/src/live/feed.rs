//! The feed's memory, without locks or async: the open alerts, and the latest transitions.
//!
//! Both change together, so that a snapshot and the transitions after it fit without gap or
//! overlap (Prometheus' `SlurpAndSubscribe`, provider/provider.go).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bellwire_model::{Alert, AlertId, Cursor, LogId, LogPosition};

use crate::live::filter::{Before, Facts};
use crate::live::frames::Entry;
use crate::ports::Place;

/// An open alert, and its JSON.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) alert: Arc<Alert>,
    /// What filters look at.
    pub(crate) facts: Arc<Facts>,
    pub(crate) json: Arc<str>,
}

/// The open alerts and the latest transitions.
#[derive(Debug)]
pub(crate) struct Feed {
    log: LogId,
    /// The first place that is not in `open`; absent until someone says what the present is.
    next: Option<Place>,
    open: BTreeMap<AlertId, Open>,
    /// The latest transitions in order, at most `ring_max`: every one from `floor` up to `next`.
    ring: VecDeque<Arc<Entry>>,
    ring_max: usize,
    /// The number of the ring's first entry. Numbers go on for as long as the process lives.
    first: u64,
    floor: Place,
}

/// Where a client that comes back stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seek {
    /// The ring has everything it missed, from this entry on.
    InRing(u64),
    /// It missed more than the ring has, which begins here.
    BeforeRing(Place),
    /// It claims to have seen what has not happened.
    Ahead,
}

/// A client was so slow that the ring has moved past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overrun;

impl Feed {
    pub(crate) fn new(log: LogId, ring_max: usize) -> Self {
        Self {
            log,
            next: None,
            open: BTreeMap::new(),
            ring: VecDeque::new(),
            ring_max,
            first: 0,
            floor: Place::default(),
        }
    }

    /// Begins anew: the open alerts as they are after every record that begins before `end`.
    pub(crate) fn reset(&mut self, end: LogPosition, open: BTreeMap<AlertId, Open>) {
        let next = Place { position: end, ordinal: 0 };
        // A number is skipped, so that clients of before are overrun even if they had seen all.
        self.first = self.head() + 1;
        self.ring.clear();
        self.floor = next;
        self.next = Some(next);
        self.open = open;
    }

    /// The first place that is not in the present; none until someone says what that is.
    pub(crate) const fn next_place(&self) -> Option<Place> {
        self.next
    }

    /// Whether someone has said what the present is.
    pub(crate) fn is_ready(&self) -> bool {
        self.next.is_some()
    }

    /// Takes the next transition. One that is already in the present is left out: *judge* may say
    /// the same twice after a restart.
    pub(crate) fn push(&mut self, mut entry: Entry, open: Option<Open>) -> bool {
        match self.next {
            Some(next) if entry.place >= next => {}
            _ => return false,
        }
        self.next = Some(entry.place.after());
        let before = match open {
            Some(open) => self.open.insert(entry.alert, open),
            None => self.open.remove(&entry.alert),
        };
        entry.before = before.map_or(Before::Nothing, |open| Before::Open(open.facts));
        self.ring.push_back(Arc::new(entry));
        if self.ring.len() > self.ring_max
            && let Some(oldest) = self.ring.pop_front()
        {
            self.floor = oldest.place.after();
            self.first += 1;
        }
        true
    }

    /// The number the next transition will have.
    pub(crate) fn head(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// The cursor of a client that has seen everything.
    pub(crate) fn cursor(&self) -> Cursor {
        self.next.unwrap_or_default().cursor(self.log)
    }

    /// The open alerts, in order of id.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// One open alert.
    pub(crate) fn open_alert(&self, id: AlertId) -> Option<&Open> {
        self.open.get(&id)
    }

    /// The transitions of one alert that the ring still has.
    pub(crate) fn of_alert(&self, id: AlertId) -> Vec<Arc<Entry>> {
        self.ring.iter().filter(|entry| entry.alert == id).map(Arc::clone).collect()
    }

    /// Where a client stands that has not seen `from` and what comes after it.
    pub(crate) fn seek(&self, from: Place) -> Seek {
        match self.next {
            Some(next) if from <= next => {}
            _ => return Seek::Ahead,
        }
        if from < self.floor {
            return Seek::BeforeRing(self.floor);
        }
        let n_seen = self.ring.partition_point(|entry| entry.place < from);
        Seek::InRing(self.first + n_seen as u64)
    }

    /// At most `n_max` entries from number `from` on.
    ///
    /// # Errors
    /// [`Overrun`] if the ring no longer has them all.
    pub(crate) fn since(
        &self,
        from: u64,
        n_max: usize,
    ) -> Result<impl Iterator<Item = &Arc<Entry>>, Overrun> {
        let skip = from.checked_sub(self.first).ok_or(Overrun)?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.ring.len());
        Ok(self.ring.range(skip..).take(n_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::testing::{open, plain_entry as entry};

    fn feed(ring_max: usize) -> Feed {
        let mut feed = Feed::new(LogId(1), ring_max);
        feed.reset(LogPosition(100), BTreeMap::new());
        feed
    }

    fn place(position: u64, ordinal: u32) -> Place {
        Place { position: LogPosition(position), ordinal }
    }

    #[test]
    fn a_transition_is_taken_once_and_in_order() {
        let mut feed = feed(10);
        assert!(!feed.push(entry(99, 0, 1), None), "the present has it already");
        assert!(feed.push(entry(100, 0, 1), None));
        assert!(!feed.push(entry(100, 0, 1), None));
        assert!(feed.push(entry(100, 1, 1), None));
        assert!(!feed.push(entry(100, 0, 1), None));
        assert_eq!(feed.head() - feed.first, 2);
    }

    #[test]
    fn nothing_is_taken_before_the_present_is_known() {
        let mut feed = Feed::new(LogId(1), 10);
        assert!(!feed.is_ready());
        assert!(!feed.push(entry(5, 0, 1), None));
        assert_eq!(feed.seek(place(0, 0)), Seek::Ahead);
    }

    #[test]
    fn an_alert_is_open_until_a_transition_ends_it() {
        let mut feed = feed(10);
        feed.push(entry(100, 0, 7), Some(open(7)));
        assert!(feed.open_alert(AlertId(7)).is_some());
        feed.push(entry(101, 0, 7), None);
        assert_eq!(feed.open().count(), 0);
        assert_eq!(feed.of_alert(AlertId(7)).len(), 2);
    }

    #[test]
    fn a_cursor_finds_what_comes_after_it() {
        let mut feed = feed(3);
        let first = feed.first;
        for position in 100..103 {
            feed.push(entry(position, 0, 1), None);
        }
        assert_eq!(feed.seek(place(100, 0)), Seek::InRing(first));
        assert_eq!(feed.seek(place(101, 1)), Seek::InRing(first + 2));
        assert_eq!(feed.seek(Place::unseen(&feed.cursor())), Seek::InRing(first + 3));
        assert_eq!(feed.seek(place(103, 0)), Seek::Ahead);
        assert_eq!(feed.seek(place(99, 5)), Seek::BeforeRing(place(100, 0)));
    }

    #[test]
    fn the_oldest_leave_a_full_ring_and_their_readers_are_overrun() {
        let mut feed = feed(2);
        let first = feed.first;
        for position in 100..104 {
            feed.push(entry(position, 0, 1), None);
        }
        assert_eq!(feed.since(first, 9).err(), Some(Overrun));
        let positions: Vec<_> =
            feed.since(first + 2, 9).expect("in the ring").map(|e| e.place.position.0).collect();
        assert_eq!(positions, [102, 103]);
        assert_eq!(feed.seek(place(101, 0)), Seek::BeforeRing(place(101, 1)));
        assert_eq!(feed.seek(place(101, 1)), Seek::InRing(first + 2));
    }

    #[test]
    fn a_new_present_overruns_every_reader_of_the_old_one() {
        let mut feed = feed(9);
        let head = feed.head();
        feed.reset(LogPosition(500), BTreeMap::from([(AlertId(3), open(3))]));
        assert_eq!(feed.since(head, 9).err(), Some(Overrun));
        assert_eq!(feed.since(feed.head(), 9).expect("at the head").count(), 0);
        assert_eq!(feed.open().count(), 1);
    }
}
