//! The readings of a device that are young enough for others to come before them still, in order.

use std::cmp::Ordering;
use std::collections::VecDeque;

use bellwire_model::{Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::state::Reading;

/// The most instants that are remembered of one device, whatever the lateness.
pub(crate) const RECENT_MAX: usize = 4_096;

/// The readings of one instant that rules need.
#[derive(Clone, Debug)]
pub(crate) struct Instant {
    pub(crate) at: Timestamp,
    /// The device's own counter.
    pub(crate) seq: Option<u64>,
    pub(crate) readings: Box<[Reading]>,
}

impl Instant {
    /// Readings of one instant are in the order of the device's counter, then of what they say:
    /// so that their order does not depend on how they came.
    fn order(&self, other: &Self) -> Ordering {
        self.at
            .cmp(&other.at)
            .then(self.seq.cmp(&other.seq))
            .then_with(|| readings_order(&self.readings, &other.readings))
    }
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

fn value_order(left: &Value, right: &Value) -> Ordering {
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

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(VecDeque<Instant>);

impl Recent {
    pub(crate) fn add(&mut self, instant: Instant) -> Place {
        let order = self.0.back().map_or(Ordering::Less, |last| last.order(&instant));
        match order {
            Ordering::Less => {
                self.0.push_back(instant);
                Place::Last
            }
            Ordering::Equal => Place::Known,
            Ordering::Greater => match self.0.binary_search_by(|it| it.order(&instant)) {
                Ok(_) => Place::Known,
                Err(place) => {
                    self.0.insert(place, instant);
                    Place::Inside
                }
            },
        }
    }

    /// Of the latest instant.
    pub(crate) fn last_readings(&self) -> &[Reading] {
        self.0.back().map_or(&[], |last| &last.readings)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= RECENT_MAX
    }

    /// Drops what is not after `end`.
    pub(crate) fn drop_through(&mut self, end: Timestamp) {
        while self.0.front().is_some_and(|first| first.at <= end) {
            self.0.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Those after `start`.
    pub(crate) fn after(&self, start: Timestamp) -> impl Iterator<Item = &Instant> {
        let first = self.0.partition_point(|it| it.at <= start);
        self.0.range(first..)
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
        self.0.iter().map(save).collect()
    }

    /// `None` if a reading is of none of `n_slots` inputs.
    pub(crate) fn load(states: Vec<InstantState>, n_slots: usize) -> Option<Self> {
        let recent = Self(states.into_iter().map(load).collect());
        let mut readings = recent.0.iter().flat_map(|instant| &instant.readings);
        readings.all(|(slot, _)| (*slot as usize) < n_slots).then_some(recent)
    }
}

fn save(instant: &Instant) -> InstantState {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for (slot, value) in &instant.readings {
        match value {
            Value::Number(number) => numbers.push((*slot, *number)),
            Value::Text(text) => texts.push((*slot, text.to_string())),
        }
    }
    InstantState { at: instant.at.as_micros(), seq: instant.seq, numbers, texts }
}

fn load(state: InstantState) -> Instant {
    let numbers = state.numbers.into_iter().map(|(slot, it)| (slot, Value::Number(it)));
    let texts = state.texts.into_iter().map(|(slot, it)| (slot, Value::Text(it.into())));
    let mut readings: Vec<Reading> = numbers.chain(texts).collect();
    readings.sort_by_key(|(slot, _)| *slot);
    Instant { at: Timestamp::from_micros(state.at), seq: state.seq, readings: readings.into() }
}
