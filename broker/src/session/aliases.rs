//! Topic aliases of MQTT 5: numbers that stand for topics on one connection, in either direction.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::close::CloseKind;

/// The client's aliases.
#[derive(Debug)]
pub(super) struct InboundAliases {
    topics: Vec<Option<Arc<str>>>,
    max: u16,
}

impl InboundAliases {
    /// None, up to number `max`.
    pub(super) const fn new(max: u16) -> Self {
        Self { topics: Vec::new(), max }
    }

    /// The topic of a PUBLISH with an alias: `topic`, which the alias stands for from now on, or, if
    /// that is empty, what the alias stands for.
    ///
    /// # Errors
    /// If the alias is too great, or stands for nothing. [MQTT-3.3.2-9], [MQTT-3.3.2-12],
    /// [MQTT-3.3.2-7]
    pub(super) fn resolve(&mut self, alias: u16, topic: &str) -> Result<Arc<str>, CloseKind> {
        if alias == 0 || alias > self.max {
            return Err(CloseKind::TopicAliasInvalid);
        }
        let index = usize::from(alias) - 1;
        if topic.is_empty() {
            let known = self.topics.get(index).and_then(Option::as_ref);
            return known.map(Arc::clone).ok_or(CloseKind::Protocol);
        }
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        let slot = &mut self.topics[index];
        match slot {
            Some(known) if **known == *topic => Ok(Arc::clone(known)),
            _ => Ok(Arc::clone(slot.insert(topic.into()))),
        }
    }
}

/// Our aliases: the first topics that are sent get them, for as long as the connection lasts. [MQTT-3.1.2-26],
/// [MQTT-3.1.2-27], [MQTT-3.3.2-11]
#[derive(Debug, Default)]
pub(super) struct OutboundAliases {
    numbers: HashMap<Box<str>, u16>,
    max: u16,
}

/// The alias of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alias {
    /// 0 is none.
    pub(super) number: u16,
    /// The client knows it: the topic itself can be left out.
    pub(super) is_known: bool,
}

impl OutboundAliases {
    /// None, up to number `max`.
    pub(super) fn new(max: u16) -> Self {
        Self { numbers: HashMap::new(), max }
    }

    /// What `topic` is sent with.
    pub(super) fn of(&self, topic: &str) -> Alias {
        if self.max == 0 {
            return Alias { number: 0, is_known: false };
        }
        match self.numbers.get(topic) {
            Some(&number) => Alias { number, is_known: true },
            None if self.numbers.len() < usize::from(self.max) => {
                Alias { number: self.numbers.len() as u16 + 1, is_known: false }
            }
            None => Alias { number: 0, is_known: false },
        }
    }

    /// It was sent with this alias.
    pub(super) fn sent(&mut self, topic: &str, alias: Alias) {
        if alias.number != 0 && !alias.is_known {
            self.numbers.insert(topic.into(), alias.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_stands_for_the_topic_it_came_with_last() {
        let mut aliases = InboundAliases::new(2);
        assert_eq!(aliases.resolve(1, ""), Err(CloseKind::Protocol));
        assert_eq!(aliases.resolve(2, "a").as_deref(), Ok("a"));
        assert_eq!(aliases.resolve(2, "").as_deref(), Ok("a"));
        assert_eq!(aliases.resolve(2, "b").as_deref(), Ok("b"));
        assert_eq!(aliases.resolve(2, "").as_deref(), Ok("b"));
        assert_eq!(aliases.resolve(3, "c"), Err(CloseKind::TopicAliasInvalid));
        assert_eq!(aliases.resolve(0, "c"), Err(CloseKind::TopicAliasInvalid));
    }

    #[test]
    fn the_first_topics_get_our_aliases() {
        let mut aliases = OutboundAliases::new(1);
        let first = aliases.of("a");
        assert_eq!(first, Alias { number: 1, is_known: false });
        aliases.sent("a", first);
        assert_eq!(aliases.of("a"), Alias { number: 1, is_known: true });
        assert_eq!(aliases.of("b").number, 0);
        assert_eq!(OutboundAliases::default().of("a").number, 0);
    }
}
