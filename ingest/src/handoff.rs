//! Hands groups from *judge* to *keep* while *keep* is at the head.
//!
//! Full: the newest group is left out, and *keep* reads that stretch from disk when it gets there.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bellwire_model::LogPosition;

use crate::group::Group;

/// The most weight it holds, in readings: about 20 MB.
pub const WEIGHT_MAX: usize = 400_000;

#[derive(Debug)]
struct Inner {
    weight_max: usize,
    groups: VecDeque<Group>,
    weight: usize,
}

/// A bounded queue that may leave groups out, but never out of order.
#[derive(Debug)]
pub struct Handoff(Mutex<Inner>);

impl Default for Handoff {
    fn default() -> Self {
        Self::with_limit(WEIGHT_MAX)
    }
}

/// What *keep* finds for its position.
#[derive(Debug)]
pub enum Next {
    /// The group that begins there.
    Group(Box<Group>),
    /// It is not here: read the log up to there.
    ReadTo(LogPosition),
}

impl Handoff {
    /// An empty queue that holds at most this weight, see [`Group::weight`]; one group always fits.
    #[must_use]
    pub const fn with_limit(weight_max: usize) -> Self {
        Self(Mutex::new(Inner { weight_max, groups: VecDeque::new(), weight: 0 }))
    }

    /// Adds a group, or drops it when there is no room.
    pub fn offer(&self, group: Group) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = group.weight();
        if inner.groups.is_empty() || inner.weight + weight <= inner.weight_max {
            inner.weight += weight;
            inner.groups.push_back(group);
        }
    }

    /// What comes at `position`, which is before `judged`, the end of what was judged.
    #[must_use]
    pub fn next(&self, position: LogPosition, judged: LogPosition) -> Next {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(front) = inner.groups.front() else { return Next::ReadTo(judged) };
            let (start, end) = (front.start, front.end);
            if start > position {
                return Next::ReadTo(start.min(judged));
            }
            let Some(group) = inner.groups.pop_front() else { return Next::ReadTo(judged) };
            inner.weight -= group.weight();
            if start == position {
                return Next::Group(Box::new(group));
            }
            if end > position {
                return Next::ReadTo(end.min(judged));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(start: u64, end: u64) -> Group {
        Group { end: LogPosition(end), ..Group::at(LogPosition(start)) }
    }

    fn check(groups: &[(u64, u64)], position: u64, judged: u64, expected: Result<u64, u64>) {
        let handoff = Handoff::default();
        groups.iter().for_each(|&(start, end)| handoff.offer(group(start, end)));
        let actual = match handoff.next(LogPosition(position), LogPosition(judged)) {
            Next::Group(group) => Ok(group.end.0),
            Next::ReadTo(end) => Err(end.0),
        };
        assert_eq!(actual, expected, "{groups:?} at {position}");
    }

    #[test]
    fn keep_gets_its_group_or_learns_how_far_to_read() {
        check(&[(10, 20), (20, 30)], 10, 30, Ok(20));
        check(&[(10, 20), (20, 30)], 20, 30, Ok(30));
        check(&[(10, 20)], 5, 20, Err(10));
        check(&[(10, 20)], 15, 20, Err(20));
        check(&[], 15, 40, Err(40));
        check(&[(10, 20)], 20, 40, Err(40));
    }

    #[test]
    fn a_full_queue_leaves_out_the_newest() {
        let handoff = Handoff::default();
        let heavy = |start, end| Group {
            entries: Vec::new(),
            duplicates: Vec::new(),
            transitions: Vec::new(),
            quarantined: (0..WEIGHT_MAX / 32).map(|_| quarantined()).collect(),
            ..group(start, end)
        };
        handoff.offer(heavy(0, 10));
        handoff.offer(heavy(10, 20));
        handoff.offer(heavy(20, 30));
        assert!(matches!(handoff.next(LogPosition(0), LogPosition(30)), Next::Group(_)));
        handoff.offer(group(30, 40));
        let next = handoff.next(LogPosition(10), LogPosition(40));
        assert!(matches!(next, Next::ReadTo(LogPosition(30))), "{next:?}");
    }

    #[test]
    fn what_is_taken_gives_its_room_back() {
        let handoff = Handoff::with_limit(10);
        for start in 0..100 {
            handoff.offer(group(start, start + 1));
            let next = handoff.next(LogPosition(start), LogPosition(start + 1));
            assert!(matches!(next, Next::Group(_)), "{next:?}");
        }
        (100..110).for_each(|start| handoff.offer(group(start, start + 1)));
        assert_eq!(handoff.0.lock().unwrap().groups.len(), 10);
    }

    #[test]
    fn large_payloads_weigh_what_they_take() {
        let handoff = Handoff::default();
        let mut end = 0;
        for start in 0..200 {
            end = (start + 1) << 18;
            let quarantined = vec![quarantined()];
            handoff.offer(Group { quarantined, ..group(start << 18, end) });
        }
        let mut bytes = 0;
        while let Next::Group(group) = handoff.next(LogPosition(bytes), LogPosition(end)) {
            bytes = group.end.0;
        }
        assert!((10 << 20..30 << 20).contains(&bytes), "{bytes} bytes of payloads in memory");
    }

    fn quarantined() -> bellwire_model::Quarantined {
        bellwire_model::Quarantined {
            position: LogPosition(0),
            ordinal: 0,
            received_at: bellwire_model::Timestamp::EPOCH,
            device: None,
            topic: "".into(),
            payload: [].into(),
            reason: bellwire_model::RejectReason::BadTopic,
            detail: "".into(),
            kept: None,
        }
    }
}
