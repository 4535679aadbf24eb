//! Letters among the messages of a session.

use super::{Flow, Sent, Stage};
use crate::message::Outgoing;

impl Flow {
    /// The letter with this packet identifier that was sent, if it is one.
    pub(crate) fn letter(&self, packet_id: u16) -> Option<u128> {
        match &self.sent[self.find(packet_id)?].stage {
            Stage::Published(outgoing) => outgoing.message.letter(),
            Stage::Released(_) => None,
        }
    }

    /// Whether a letter waits or is on its way.
    pub(crate) fn has_letter(&self, id: u128) -> bool {
        let is_it = |outgoing: &Outgoing| outgoing.message.letter() == Some(id);
        let was_sent =
            |sent: &Sent| matches!(&sent.stage, Stage::Published(outgoing) if is_it(outgoing));
        self.waiting.iter().any(|(_, outgoing)| is_it(outgoing)) || self.sent.iter().any(was_sent)
    }

    /// Takes a letter out that was not sent.
    pub(crate) fn withdraw(&mut self, id: u128) {
        self.waiting.retain(|(_, outgoing)| outgoing.message.letter() != Some(id));
        self.waiting_bytes = self.waiting.iter().map(|(_, outgoing)| outgoing.bytes()).sum();
    }
}
