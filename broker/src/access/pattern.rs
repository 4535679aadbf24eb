//! Topic patterns of rules: filters as MQTT has them, in which a level may be `{device}`.

use std::fmt;

use bellwire_model::{TopicError, TopicFilter};

/// The level that stands for the devices that a client speaks for.
const DEVICE: &str = "{device}";

/// Why a text is no topic pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTopicPattern {
    /// MQTT does not allow it as a filter.
    #[error("{0}")]
    Filter(#[from] TopicError),
    /// `{device}` must be a level of its own.
    #[error("`{{device}}` must be alone in its level, and stand only once")]
    Device,
}

/// One level of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// This text.
    Text(Box<str>),
    /// A device that the client speaks for.
    Device,
    /// Any text: `+`.
    Any,
    /// Whatever follows, also nothing: `#`.
    Rest,
}

impl Level {
    fn takes(&self, text: &str, speaks_for: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Text(own) => **own == *text,
            Self::Device => speaks_for(text),
            Self::Any | Self::Rest => true,
        }
    }
}

/// A topic filter in which a level may be `{device}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    text: Box<str>,
    levels: Box<[Level]>,
}

/// How far a topic that is looked at level by level has come in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of its levels so far fit; this many.
    Levels(usize),
    /// Its end can be whatever it is: `#` was reached.
    Absorbed,
    /// It does not fit.
    Dead,
}

impl TopicPattern {
    /// Takes `text` as a pattern.
    ///
    /// # Errors
    /// [`NoTopicPattern`].
    pub fn new(text: &str) -> Result<Self, NoTopicPattern> {
        TopicFilter::new(text)?;
        let level = |text: &str| match text {
            DEVICE => Ok(Level::Device),
            "+" => Ok(Level::Any),
            "#" => Ok(Level::Rest),
            other if other.contains(DEVICE) => Err(NoTopicPattern::Device),
            other => Ok(Level::Text(other.into())),
        };
        let levels: Box<[Level]> = text.split('/').map(level).collect::<Result<_, _>>()?;
        if levels.iter().filter(|level| **level == Level::Device).count() > 1 {
            return Err(NoTopicPattern::Device);
        }
        Ok(Self { text: text.into(), levels })
    }

    /// Whether it matches `topic`, a valid topic name.
    pub(super) fn matches(&self, topic: &str, speaks_for: impl Fn(&str) -> bool) -> bool {
        let mut reach = Reach::Levels(0);
        for level in topic.split('/') {
            reach = self.step(reach, level, &speaks_for);
            if reach == Reach::Dead {
                return false;
            }
        }
        self.ends(reach)
    }

    /// Where the next level of a topic leads.
    pub(super) fn step(
        &self,
        reach: Reach,
        text: &str,
        speaks_for: impl Fn(&str) -> bool,
    ) -> Reach {
        let Reach::Levels(n) = reach else { return reach };
        match self.levels.get(n) {
            // A wildcard does not begin what begins with `$`. [MQTT-4.7.2-1]
            Some(Level::Any | Level::Rest) if n == 0 && text.starts_with('$') => Reach::Dead,
            Some(Level::Rest) => Reach::Absorbed,
            Some(level) if level.takes(text, speaks_for) => Reach::Levels(n + 1),
            _ => Reach::Dead,
        }
    }

    /// Whether a topic that has come so far may end there.
    pub(super) fn ends(&self, reach: Reach) -> bool {
        match reach {
            Reach::Absorbed => true,
            Reach::Dead => false,
            // `a/#` matches `a` as well. [MQTT-4.7.1-2]
            Reach::Levels(n) => matches!(self.levels.get(n..), Some([] | [Level::Rest])),
        }
    }

    /// What the next level could be compared with.
    pub(super) fn level(&self, reach: Reach) -> Option<&Level> {
        match reach {
            Reach::Levels(n) => self.levels.get(n),
            Reach::Absorbed | Reach::Dead => None,
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        TopicPattern::new(pattern).expect("a pattern").matches(topic, |it| it == "d")
    }

    #[test]
    fn the_device_is_a_level() {
        assert!(matches("devices/{device}/status", "devices/d/status"));
        assert!(!matches("devices/{device}/status", "devices/e/status"));
        assert!(matches("devices/{device}/#", "devices/d"));
        assert!(!matches("devices/{device}/#", "devices/dd/x"));
        for wrong in ["a-{device}", "{device}/{device}"] {
            assert_eq!(TopicPattern::new(wrong), Err(NoTopicPattern::Device), "{wrong}");
        }
        assert!(matches!(TopicPattern::new("a/#/b"), Err(NoTopicPattern::Filter(_))));
    }

    proptest! {
        /// Without `{device}` a pattern is a filter.
        #[test]
        fn it_matches_as_a_filter_does(
            pattern in "(a|b|\\+|\\$s|){1}(/(a|b|\\+|)){0,3}(/#)?",
            topic in "(a|b|\\$s|){1}(/(a|b|)){0,4}",
        ) {
            if let Ok(filter) = TopicFilter::new(&pattern) && !topic.is_empty() {
                prop_assert_eq!(matches(&pattern, &topic), filter.matches(&topic));
            }
        }
    }
}
