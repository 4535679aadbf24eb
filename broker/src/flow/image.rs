//! A session's messages as an image has them, and a session from an image.

use super::{Durability, Flow, Sent, Seq, Stage};
use crate::message::Outgoing;

impl Flow {
    /// Everything that is durable: what a restart begins with. Letters are not.
    pub(crate) fn image(&self) -> FlowImage<'_> {
        FlowImage {
            last_seq: self.last_seq,
            reserved: self.reserved.iter().map(|(seq, _)| seq.0).collect(),
            sent: self
                .sent
                .iter()
                .filter(|sent| {
                    !matches!(&sent.stage, Stage::Published(it) if it.message.letter().is_some())
                })
                .map(|sent| (sent.seq.0, &sent.stage))
                .collect(),
            waiting: self
                .waiting
                .iter()
                .filter(|(_, outgoing)| outgoing.message.letter().is_none())
                .filter_map(|(seq, outgoing)| seq.map(|seq| (seq.0, outgoing)))
                .collect(),
            unreleased: self
                .unreleased
                .iter()
                .filter(|it| it.durability == Durability::Durable)
                .map(|it| it.packet_id)
                .collect(),
        }
    }

    /// A flow as an image has it.
    pub(crate) fn restore(
        last_seq: u64,
        reserved: Vec<u64>,
        sent: Vec<(u64, Stage)>,
        waiting: Vec<(u64, Outgoing)>,
        unreleased: Vec<u16>,
    ) -> Self {
        let mut flow = Self { last_seq, ..Self::default() };
        flow.reserved = reserved.into_iter().map(|seq| (Seq(seq), 0)).collect();
        flow.sent = sent
            .into_iter()
            .map(|(seq, stage)| Sent { seq: Seq(seq), stage, again: true })
            .collect();
        waiting.into_iter().for_each(|(seq, outgoing)| flow.push(Some(Seq(seq)), outgoing));
        for packet_id in unreleased {
            flow.take(packet_id);
            flow.taken_durably(packet_id);
        }
        flow
    }
}

/// What [`Flow::image`] shows.
#[derive(Debug)]
pub(crate) struct FlowImage<'a> {
    pub(crate) last_seq: u64,
    pub(crate) reserved: Vec<u64>,
    pub(crate) sent: Vec<(u64, &'a Stage)>,
    pub(crate) waiting: Vec<(u64, &'a Outgoing)>,
    pub(crate) unreleased: Vec<u16>,
}
