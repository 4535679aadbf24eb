//! Retained messages: the last one of each topic, by topic.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bellwire_model::{QoS, Timestamp, TopicFilter};

use crate::message::Message;

/// How many retained messages there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetainLimits {
    /// Messages.
    pub(crate) messages_max: usize,
    /// Bytes of topics, properties and payloads.
    pub(crate) bytes_max: usize,
}

/// A retained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retained {
    /// The message.
    pub(crate) message: Arc<Message>,
    /// The quality of service it was published with.
    pub(crate) qos: QoS,
}

/// There are as many retained messages as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetainFull;

/// The retained messages.
#[derive(Debug, Default)]
pub(crate) struct RetainedMessages {
    by_topic: BTreeMap<Box<str>, Retained>,
    bytes: usize,
}

impl RetainedMessages {
    /// Puts a message in the place of the one before; an empty payload only takes that away.
    /// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7]; whatever becomes of the client's session,
    /// [MQTT3-3.1.2-7]
    ///
    /// # Errors
    /// [`RetainFull`]; the one before is then still there.
    pub(crate) fn put(
        &mut self,
        retained: Retained,
        limits: RetainLimits,
    ) -> Result<(), RetainFull> {
        let topic = retained.message.topic();
        if retained.message.parts().1.is_empty() {
            if let Some(old) = self.by_topic.remove(topic) {
                self.bytes -= old.message.bytes();
            }
            return Ok(());
        }
        let old = self.by_topic.get(topic).map(|old| old.message.bytes());
        let bytes = self.bytes - old.unwrap_or(0) + retained.message.bytes();
        let n_messages = self.by_topic.len() + usize::from(old.is_none());
        if n_messages > limits.messages_max || bytes > limits.bytes_max {
            return Err(RetainFull);
        }
        self.bytes = bytes;
        self.by_topic.insert(topic.into(), retained);
        Ok(())
    }

    /// The first `n_max` behind the topic `after` that `filter` matches and that have not expired at
    /// `now`, by topic.
    pub(crate) fn matching(
        &self,
        filter: &TopicFilter,
        after: Option<&str>,
        n_max: usize,
        now: Timestamp,
    ) -> Vec<Retained> {
        let text = filter.as_str();
        // What the topics must begin with bounds the search.
        let prefix = &text[..text.find(['+', '#']).unwrap_or(text.len())];
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let candidates = self.by_topic.range::<str, _>((from, Bound::Unbounded));
        candidates
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, it)| filter.matches(topic) && !it.message.has_expired(now))
            .map(|(_, it)| it.clone())
            .take(n_max)
            .collect()
    }

    /// Takes away what has expired at `now`.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let bytes = &mut self.bytes;
        self.by_topic.retain(|_, it| {
            let stays = !it.message.has_expired(now);
            if !stays {
                *bytes -= it.message.bytes();
            }
            stays
        });
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Retained> {
        self.by_topic.values()
    }

    /// How many there are, and their bytes.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.by_topic.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Routed;

    const LIMITS: RetainLimits = RetainLimits { messages_max: 3, bytes_max: 100 };
    const NOW: Timestamp = Timestamp::from_secs(10);

    fn retained(topic: &str, payload: &[u8], expires_at: Option<Timestamp>) -> Retained {
        let qos = QoS::AtLeastOnce;
        let routed = Routed { topic, properties: &[], payload, qos, retain: true, expires_at };
        Retained { message: Message::new(&routed), qos }
    }

    fn matching(messages: &RetainedMessages, filter: &str) -> Vec<String> {
        let filter = TopicFilter::new(filter).expect("valid");
        let found = messages.matching(&filter, None, 9, NOW);
        found.iter().map(|it| it.message.topic().to_owned()).collect()
    }

    #[test]
    fn the_last_one_of_each_topic_stays_until_it_is_emptied() {
        let mut messages = RetainedMessages::default();
        for (topic, payload) in [("a/b", "1"), ("a", "2"), ("a/b", "3"), ("a/c", "4"), ("a/c", "")]
        {
            messages.put(retained(topic, payload.as_bytes(), None), LIMITS).expect("room");
        }
        assert_eq!(matching(&messages, "a/#"), ["a", "a/b"]);
        assert_eq!(messages.load(), (2, 6));
        assert_eq!(messages.put(retained("b", &[0; 100], None), LIMITS), Err(RetainFull));
        messages.put(retained("b", b"5", None), LIMITS).expect("room");
        assert_eq!(messages.put(retained("c", b"6", None), LIMITS), Err(RetainFull));
        messages.put(retained("b", b"7", None), LIMITS).expect("one takes the place of another");
    }

    #[test]
    fn what_has_expired_is_not_found_and_goes() {
        let mut messages = RetainedMessages::default();
        messages.put(retained("a", b"1", Some(NOW)), LIMITS).expect("room");
        messages.put(retained("b", b"1", Some(Timestamp::from_secs(11))), LIMITS).expect("room");
        assert_eq!(matching(&messages, "#"), ["b"]);
        messages.expire(NOW);
        assert_eq!(messages.load(), (1, 2));
    }

    #[test]
    fn filters_find_what_they_match_and_no_more() {
        let mut messages = RetainedMessages::default();
        for topic in ["$SYS/x", "ab", "a/x/c"] {
            messages.put(retained(topic, b"1", None), LIMITS).expect("room");
        }
        assert_eq!(matching(&messages, "a/+/c"), ["a/x/c"]);
        assert_eq!(matching(&messages, "#"), ["a/x/c", "ab"]);
        assert_eq!(matching(&messages, "a/#"), ["a/x/c"]);
        assert_eq!(matching(&messages, "$SYS/#"), ["$SYS/x"]);
        let all = TopicFilter::new("#").expect("valid");
        let first = messages.matching(&all, None, 1, NOW);
        assert_eq!(first[0].message.topic(), "a/x/c");
        let second = messages.matching(&all, Some("a/x/c"), 9, NOW);
        assert_eq!((second.len(), second[0].message.topic()), (1, "ab"));
    }
}
