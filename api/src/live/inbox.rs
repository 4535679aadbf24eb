//! Readings that wait for one client: bounded, and conflated when it is slow.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::live::frames::LiveReading;

/// Readings that wait for one client, in order.
#[derive(Debug)]
pub(crate) struct Inbox {
    waiting: VecDeque<Arc<LiveReading>>,
    readings_max: usize,
}

impl Inbox {
    pub(crate) fn new(readings_max: usize) -> Self {
        Self { waiting: VecDeque::new(), readings_max: readings_max.max(1) }
    }

    /// Adds a reading. When that is one too many, only the latest of each series stays; if even
    /// those fill more than half, the oldest go. Returns how many went.
    pub(crate) fn push(&mut self, reading: Arc<LiveReading>) -> usize {
        self.waiting.push_back(reading);
        if self.waiting.len() <= self.readings_max {
            return 0;
        }
        let n_before = self.waiting.len();
        self.conflate();
        // Half: so that the next conflation is half a queue away, whatever the readings are.
        let n_keep = self.readings_max.div_ceil(2);
        let n_surplus = self.waiting.len().saturating_sub(n_keep);
        self.waiting.drain(..n_surplus);
        n_before - self.waiting.len()
    }

    fn conflate(&mut self) {
        let mut seen = HashSet::with_capacity(self.waiting.len());
        let mut latest = VecDeque::with_capacity(self.waiting.len());
        while let Some(reading) = self.waiting.pop_back() {
            if seen.insert(reading.series) {
                latest.push_front(reading);
            }
        }
        self.waiting = latest;
    }

    /// Takes at most `n_max`, the oldest first.
    pub(crate) fn take(&mut self, n_max: usize) -> impl Iterator<Item = Arc<LiveReading>> {
        let n = n_max.min(self.waiting.len());
        self.waiting.drain(..n)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets what waits: the client has subscribed to something else.
    pub(crate) fn clear(&mut self) {
        self.waiting = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::testing::reading;

    fn drain(inbox: &mut Inbox) -> Vec<(u32, i64)> {
        let waiting = inbox.take(usize::MAX);
        waiting.map(|reading| (reading.series.1.0, reading.at.as_micros())).collect()
    }

    #[test]
    fn a_client_that_keeps_up_gets_every_reading_in_order() {
        let mut inbox = Inbox::new(4);
        let dropped: usize = (0..4).map(|at| inbox.push(reading(0, 0, at))).sum();
        assert_eq!(dropped, 0);
        assert_eq!(drain(&mut inbox), [(0, 0), (0, 1), (0, 2), (0, 3)]);
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_slow_client_gets_the_latest_of_each_series() {
        let mut inbox = Inbox::new(6);
        inbox.push(reading(0, 1, 0));
        let dropped: usize = (1..=6).map(|at| inbox.push(reading(0, 0, at))).sum();
        assert_eq!(dropped, 5);
        assert_eq!(drain(&mut inbox), [(1, 0), (0, 6)]);
    }

    #[test]
    fn more_series_than_it_holds_lose_the_oldest() {
        let mut inbox = Inbox::new(4);
        let dropped: usize = (0..5).map(|n| inbox.push(reading(0, n, i64::from(n)))).sum();
        assert_eq!(dropped, 3);
        assert_eq!(drain(&mut inbox), [(3, 3), (4, 4)]);
    }
}
