//! How what fired in one run differs from what fired in another.

use super::episode::Episode;

/// How the episodes of the rules that are tried differ from those of the running ones. Two episodes
/// of the same rule and device are the same one if they overlap in time; each has one partner at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference<'a> {
    /// Would be new.
    pub only_tried: Vec<&'a Episode>,
    /// Would no longer be.
    pub only_running: Vec<&'a Episode>,
    /// From when to when is the same in both: the tried one's.
    pub both: Vec<&'a Episode>,
    /// In both, but it fires or ends at another time: first the tried one's.
    pub moved: Vec<(&'a Episode, &'a Episode)>,
}

impl Difference<'_> {
    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.only_tried.is_empty() && self.only_running.is_empty() && self.moved.is_empty()
    }
}

/// Compares the episodes of two [`Report`](super::Report)s.
#[must_use]
pub fn compare<'a>(tried: &'a [Episode], running: &'a [Episode]) -> Difference<'a> {
    let mut difference = Difference::default();
    let (mut left, mut right) = (tried.iter().peekable(), running.iter().peekable());
    loop {
        match (left.peek().copied(), right.peek().copied()) {
            (None, None) => return difference,
            (Some(new), Some(old)) if are_one(new, old) => {
                left.next();
                right.next();
                if (new.fired_at, new.until) == (old.fired_at, old.until) {
                    difference.both.push(new);
                } else {
                    difference.moved.push((new, old));
                }
            }
            (Some(new), Some(old)) if place(new) > place(old) => {
                right.next();
                difference.only_running.push(old);
            }
            (Some(new), _) => {
                left.next();
                difference.only_tried.push(new);
            }
            (None, Some(old)) => {
                right.next();
                difference.only_running.push(old);
            }
        }
    }
}

/// The order of a report's episodes.
fn place(episode: &Episode) -> (&str, &str, bellwire_model::Timestamp) {
    (episode.rule.as_str(), episode.device.as_str(), episode.fired_at)
}

fn are_one(new: &Episode, old: &Episode) -> bool {
    new.rule == old.rule
        && new.device == old.device
        && new.fired_at <= old.until
        && old.fired_at <= new.until
}
