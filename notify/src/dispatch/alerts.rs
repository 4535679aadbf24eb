//! What is known of an alert, and what that means for one who was told of it, or not.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwire_model::Timestamp;

use super::facts::{Facts, Mute, Status};
use super::group::{Heard, Member, Told};

/// An alert that is followed.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) facts: Arc<Facts>,
    pub(super) mute: Mute,
    pub(super) acknowledged: bool,
    pub(super) escalation: u8,
    /// The groups that it is in.
    pub(super) groups: BTreeSet<u64>,
    /// When we learned that it is over.
    pub(super) ended_at: Option<Timestamp>,
}

/// What a receiver has to be told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Nothing,
    Firing,
    End,
}

impl Entry {
    /// What one receiver has to be told, in a group where this was the last that it heard.
    pub(super) fn want(&self, member: Member, told: Option<&Told>) -> Want {
        let knows_firing = told.is_some_and(|told| told.is_firing);
        match self.facts.status {
            Status::Firing if !member.is_current || self.mute == Mute::Muted => Want::Nothing,
            Status::Firing => match told {
                Some(told) if told.is_firing && !self.is_news(told) => Want::Nothing,
                _ => Want::Firing,
            },
            // Who was told that it fires is told its end, whoever silenced it meanwhile.
            _ if knows_firing => Want::End,
            // It came and went before its turn: it is told of all the same.
            Status::Resolved if told.is_none() && self.is_told(member) => Want::End,
            _ => Want::Nothing,
        }
    }

    /// Whether it is not sure that this was heard, or it is worse now.
    fn is_news(&self, told: &Told) -> bool {
        told.heard == Heard::Perhaps || told.severity < self.facts.severity
    }

    fn is_told(&self, member: Member) -> bool {
        member.is_current && self.mute == Mute::Loud
    }

    /// Whether one who knows that it fires is to be reminded.
    pub(super) fn is_repeated(&self, member: Member) -> bool {
        self.facts.status == Status::Firing && self.is_told(member)
    }
}
