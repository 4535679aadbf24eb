//! The QoS 1 messages sent to a client that it has not acknowledged: their packet identifiers.

use std::collections::VecDeque;

/// Packet identifiers in use towards one client, oldest first.
///
/// Only the identifiers: without sessions that outlive a connection nothing is ever sent again.
#[derive(Debug)]
pub(crate) struct Inflight {
    ids: VecDeque<u16>,
    last: u16,
    max: u16,
}

impl Inflight {
    /// None in use, at most `max`, which is at least 1.
    pub(crate) fn new(max: u16) -> Self {
        Self { ids: VecDeque::new(), last: 0, max }
    }

    /// Whether no more may be sent until the client acknowledges.
    pub(crate) fn is_full(&self) -> bool {
        self.ids.len() >= usize::from(self.max)
    }

    /// Takes an identifier that is not in use; `None` if [`Inflight::is_full`].
    pub(crate) fn take(&mut self) -> Option<u16> {
        if self.is_full() {
            return None;
        }
        // Ends: fewer than 65,535 are in use.
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.ids.contains(&self.last) {
                self.ids.push_back(self.last);
                return Some(self.last);
            }
        }
    }

    /// Frees `id`; an identifier that is not in use is ignored.
    pub(crate) fn acknowledge(&mut self, id: u16) {
        if let Some(index) = self.ids.iter().position(|&used| used == id) {
            self.ids.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_in_use_is_never_given_again() {
        let mut inflight = Inflight::new(2);
        assert_eq!(inflight.take(), Some(1));
        for _ in 0..65_533 {
            let id = inflight.take().expect("one is free");
            inflight.acknowledge(id);
        }
        assert_eq!(inflight.take(), Some(65_535));
        assert_eq!(inflight.take(), None);
        inflight.acknowledge(65_535);
        inflight.acknowledge(9);
        assert_eq!(inflight.take(), Some(2), "0 is no identifier, 1 is in use");
    }
}
