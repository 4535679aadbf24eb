//! Shared subscriptions: `$share/GROUP/FILTER`, and who of a group gets a message.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwire_model::{TopicError, TopicFilter};

use crate::outbox::Outbox;
use crate::session::exchange::SubscribeOptions;

/// What a SUBSCRIBE asks for: a filter, shared by a group or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// As it came.
    text: Arc<str>,
    /// How long `$share/GROUP/` is; 0 if it is not shared.
    prefix_bytes: usize,
    topics: TopicFilter,
}

/// Why a text is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterError {
    /// `$share` without a group or a filter, or with a group that has a wildcard. [MQTT-4.8.2-1]
    Share,
    /// The filter.
    Topic(TopicError),
}

impl Filter {
    /// Takes `text` as a filter.
    ///
    /// # Errors
    /// [`FilterError`] if MQTT does not allow it.
    pub(crate) fn new(text: &str) -> Result<Self, FilterError> {
        let (prefix_bytes, topics) = match text.strip_prefix("$share/") {
            None => (0, text),
            Some(rest) => {
                // [MQTT-4.8.2-2] a group of at least one character, without `+` and `#`
                let (group, topics) = rest.split_once('/').ok_or(FilterError::Share)?;
                if group.is_empty() || group.contains(['+', '#']) || topics.is_empty() {
                    return Err(FilterError::Share);
                }
                (text.len() - topics.len(), topics)
            }
        };
        let topics = TopicFilter::new(topics).map_err(FilterError::Topic)?;
        Ok(Self { text: text.into(), prefix_bytes, topics })
    }

    /// As it came.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Which topics it matches.
    pub(crate) const fn topics(&self) -> &TopicFilter {
        &self.topics
    }

    /// The whole text, if it is shared: names the group and its filter.
    pub(crate) fn share(&self) -> Option<Arc<str>> {
        (self.prefix_bytes > 0).then(|| Arc::clone(&self.text))
    }
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its session.
    pub(crate) outbox: Arc<Outbox>,
    /// How it wants the messages.
    pub(crate) options: SubscribeOptions,
}

/// Those who share one filter.
#[derive(Debug)]
pub(crate) struct Group {
    /// The shared filter as it came.
    pub(crate) text: Arc<str>,
    members: Mutex<Vec<Member>>,
    next: AtomicUsize,
}

impl Group {
    /// A group without members.
    pub(crate) fn new(text: Arc<str>) -> Self {
        Self { text, members: Mutex::default(), next: AtomicUsize::new(0) }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a member or changes how it wants the messages.
    pub(crate) fn join(&self, member: Member) {
        let mut members = self.members();
        match members.iter_mut().find(|it| it.outbox.number == member.outbox.number) {
            Some(known) => *known = member,
            None => members.push(member),
        }
    }

    /// Takes a session out; how many are left.
    pub(crate) fn leave(&self, number: u64) -> usize {
        let mut members = self.members();
        members.retain(|member| member.outbox.number != number);
        members.len()
    }

    /// Who gets the next message: in turn, of those whose client is connected the first that is not
    /// behind the others; if none is, one whose session is kept.
    pub(crate) fn choose(&self) -> Option<Member> {
        let members = self.members();
        if members.is_empty() {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed) % members.len();
        let in_turn = (0..members.len()).map(|n| &members[(first + n) % members.len()]);
        let rank = |member: &&Member| {
            let (is_there, n_messages) = member.outbox.readiness();
            // Some messages more make no difference, so that turns are taken.
            (!is_there, n_messages / 16)
        };
        in_turn.min_by_key(rank).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_filters_are_told_from_others() {
        let shared = Filter::new("$share/g/a/+").expect("valid");
        assert_eq!((shared.topics().as_str(), shared.as_str()), ("a/+", "$share/g/a/+"));
        assert_eq!(shared.share().as_deref(), Some("$share/g/a/+"));
        assert_eq!(Filter::new("a").expect("valid").share(), None);
        for wrong in ["$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/g#/a"] {
            assert_eq!(Filter::new(wrong), Err(FilterError::Share), "{wrong}");
        }
        assert!(matches!(Filter::new("$share/g/a#"), Err(FilterError::Topic(_))));
    }
}
