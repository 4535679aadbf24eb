//! The readings of a device that are young enough for others to come before them still, in order.

use std::cmp::Ordering;
use std::collections::VecDeque;

use bellwire_model::{Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::state::Reading;

/// The most instants that are remembered of one device, whatever the lateness.
pub(crate) const RECENT_MAX: usize = 4_096;

/// The readings of one instant that rules need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant<'a> {
    pub(crate) at: Timestamp,
    /// The device's own counter.
    pub(crate) seq: Option<u64>,
    /// By slot.
    pub(crate) readings: &'a [Reading],
}

fn readings_order(left: &[Reading], right: &[Reading]) -> Ordering {
    let pairs = left.iter().zip(right);
    let first = pairs
        .map(|((slot, value), (other_slot, other))| {
            slot.cmp(other_slot).then_with(|| value_order(value, other))
        })
        .find(|order| order.is_ne());
    first.unwrap_or_else(|| left.len().cmp(&right.len()))
}

pub(crate) fn value_order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.total_cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Number(_), Value::Text(_)) => Ordering::Less,
        (Value::Text(_), Value::Number(_)) => Ordering::Greater,
    }
}

/// How an instant stands to those that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind all of them.
    Last,
    /// Before some of them.
    Inside,
    /// It is there already.
    Known,
}

/// What is remembered of one instant.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Timestamp,
    seq: Option<u64>,
    /// Behind the last of its readings, counted from the first that ever was.
    end: u64,
}

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    entries: VecDeque<Entry>,
    readings: VecDeque<Reading>,
    /// How many readings there were before the first of `readings`.
    n_dropped: u64,
}

impl Recent {
    /// Readings of one instant are in the order of the device's counter, then of what they say: so
    /// that their order does not depend on how they came.
    #[inline]
    pub(crate) fn add(&mut self, instant: Instant<'_>) -> Place {
        let is_last = self.entries.back().is_none_or(|last| last.at < instant.at);
        if !is_last {
            return self.put(instant);
        }
        self.readings.extend(instant.readings.iter().cloned());
        let end = self.n_dropped + self.readings.len() as u64;
        self.entries.push_back(Entry { at: instant.at, seq: instant.seq, end });
        Place::Last
    }

    #[cold]
    fn put(&mut self, instant: Instant<'_>) -> Place {
        let found = self.search(instant);
        let Err(place) = found else { return Place::Known };
        let start = self.start(place);
        let n = instant.readings.len();
        for (index, reading) in instant.readings.iter().enumerate() {
            self.readings.insert(start + index, reading.clone());
        }
        let end = self.n_dropped + (start + n) as u64;
        self.entries.insert(place, Entry { at: instant.at, seq: instant.seq, end });
        for later in self.entries.range_mut(place + 1..) {
            later.end += n as u64;
        }
        if place + 1 == self.entries.len() { Place::Last } else { Place::Inside }
    }

    /// Where an instant is, or would be.
    fn search(&mut self, instant: Instant<'_>) -> Result<usize, usize> {
        self.readings.make_contiguous();
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let known = self.instant(middle);
            let order = (known.at.cmp(&instant.at))
                .then(known.seq.cmp(&instant.seq))
                .then_with(|| readings_order(known.readings, instant.readings));
            match order {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Where the readings of an instant begin.
    fn start(&self, place: usize) -> usize {
        let before = place.checked_sub(1).map_or(self.n_dropped, |before| self.entries[before].end);
        usize::try_from(before - self.n_dropped).unwrap_or(usize::MAX)
    }

    /// The instant at a place; its readings must have been made contiguous.
    fn instant(&self, place: usize) -> Instant<'_> {
        let Entry { at, seq, .. } = self.entries[place];
        let readings = &self.readings.as_slices().0[self.start(place)..self.start(place + 1)];
        Instant { at, seq, readings }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= RECENT_MAX
    }

    /// Drops what is not after `end`.
    pub(crate) fn drop_through(&mut self, end: Timestamp) {
        let n = self.entries.partition_point(|entry| entry.at <= end);
        let n_readings = self.start(n);
        self.n_dropped += n_readings as u64;
        self.entries.drain(..n);
        self.readings.drain(..n_readings);
    }

    /// Drops what is not before `start`.
    pub(crate) fn cut(&mut self, start: Timestamp) {
        let n = self.entries.partition_point(|entry| entry.at < start);
        self.readings.truncate(self.start(n));
        self.entries.truncate(n);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Those after `start`.
    pub(crate) fn after(&mut self, start: Timestamp) -> impl Iterator<Item = Instant<'_>> {
        self.readings.make_contiguous();
        let first = self.entries.partition_point(|entry| entry.at <= start);
        (first..self.entries.len()).map(|place| self.instant(place))
    }
}

/// An instant as a snapshot has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InstantState {
    at: i64,
    seq: Option<u64>,
    numbers: Vec<(u32, f64)>,
    texts: Vec<(u32, String)>,
}

impl Recent {
    pub(crate) fn save(&self) -> Vec<InstantState> {
        let save_at = |place: usize| {
            let Entry { at, seq, .. } = self.entries[place];
            let readings = self.readings.range(self.start(place)..self.start(place + 1));
            save(at, seq, readings)
        };
        (0..self.entries.len()).map(save_at).collect()
    }

    /// `None` if a reading is of none of `n_slots` inputs.
    pub(crate) fn load(states: Vec<InstantState>, n_slots: usize) -> Option<Self> {
        let mut recent = Self::default();
        for InstantState { at, seq, numbers, texts } in states {
            let numbers = numbers.into_iter().map(|(slot, it)| (slot, Value::Number(it)));
            let texts = texts.into_iter().map(|(slot, it)| (slot, Value::Text(it.into())));
            let mut readings: Vec<Reading> = numbers.chain(texts).collect();
            readings.sort_by_key(|(slot, _)| *slot);
            if readings.iter().any(|(slot, _)| *slot as usize >= n_slots) {
                return None;
            }
            recent.add(Instant { at: Timestamp::from_micros(at), seq, readings: &readings });
        }
        Some(recent)
    }
}

fn save<'a>(
    at: Timestamp,
    seq: Option<u64>,
    readings: impl Iterator<Item = &'a Reading>,
) -> InstantState {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for (slot, value) in readings {
        match value {
            Value::Number(number) => numbers.push((*slot, *number)),
            Value::Text(text) => texts.push((*slot, text.to_string())),
        }
    }
    InstantState { at: at.as_micros(), seq, numbers, texts }
}
