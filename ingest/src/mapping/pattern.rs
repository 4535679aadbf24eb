//! Topic patterns: MQTT's wildcards, and placeholders for the device and the metric.

use std::fmt;

use bellwire_model::TopicError;
use bellwire_model::topic::TOPIC_BYTES_MAX;

/// The most levels of a pattern.
const LEVELS_MAX: usize = 32;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No topic can look like this.
    #[error("{0}")]
    Topic(TopicError),
    /// A level has a placeholder or a wildcard, and more beside it, or an unknown one.
    #[error("`{0}` is not a level of a pattern")]
    Level(Box<str>),
    /// There can be one device only.
    #[error("`{{device}}` stands twice")]
    TwoDevices,
    /// It has too many levels.
    #[error("a pattern has at most {LEVELS_MAX} levels")]
    TooLong,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    Any,
    Device,
    Metric,
}

/// Which topics, and which of their levels name the device and the metric.
///
/// `{metric}` may stand more than once: then the levels are joined by dots. Like a wildcard, a
/// placeholder in the first level does not match what begins with `$`. [MQTT-4.7.2-1]
#[derive(Clone, PartialEq, Eq)]
pub struct TopicPattern {
    text: Box<str>,
    levels: Box<[Level]>,
    /// Whether `#` is behind them: more levels may follow.
    open: bool,
}

impl TopicPattern {
    /// Takes `text` as a pattern.
    ///
    /// # Errors
    /// [`PatternError`] if it is none.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let refused = match text.len() {
            0 => Some(TopicError::Empty),
            n if n > TOPIC_BYTES_MAX => Some(TopicError::TooLong),
            _ => text.contains('\0').then_some(TopicError::Nul),
        };
        if let Some(error) = refused {
            return Err(PatternError::Topic(error));
        }
        let (head, open) = match text.strip_suffix("/#") {
            Some(head) => (head, true),
            None if text == "#" => ("", true),
            None => (text, false),
        };
        let mut levels = Vec::new();
        if text != "#" {
            for level in head.split('/') {
                levels.push(Level::new(level)?);
            }
        }
        if levels.len() > LEVELS_MAX {
            return Err(PatternError::TooLong);
        }
        if levels.iter().filter(|level| **level == Level::Device).count() > 1 {
            return Err(PatternError::TwoDevices);
        }
        Ok(Self { text: text.into(), levels: levels.into(), open })
    }

    /// MQTT's filter for the topics that match: each placeholder is a `+`.
    #[must_use]
    pub fn filter(&self) -> String {
        let text = |level: &'_ Level| match level {
            Level::Literal(literal) => literal.to_string(),
            Level::Any | Level::Device | Level::Metric => "+".to_owned(),
        };
        let levels = self.levels.iter().map(text).chain(self.open.then(|| "#".to_owned()));
        levels.collect::<Vec<_>>().join("/")
    }

    /// Whether topics name the device.
    #[must_use]
    pub fn has_device(&self) -> bool {
        self.levels.contains(&Level::Device)
    }

    /// Whether topics name the metric, or the beginning of its name.
    #[must_use]
    pub fn has_metric(&self) -> bool {
        self.levels.contains(&Level::Metric)
    }

    /// The device in a topic that matches, if the pattern has one; `None` if it does not match.
    #[must_use]
    pub fn matches<'t>(&self, topic: &'t str) -> Option<Option<&'t str>> {
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Literal(_))) {
            return None;
        }
        let mut device = None;
        let mut actual = topic.split('/');
        for level in &self.levels {
            let found = actual.next()?;
            match level {
                Level::Literal(literal) if **literal != *found => return None,
                Level::Device => device = Some(found),
                Level::Literal(_) | Level::Any | Level::Metric => {}
            }
        }
        (self.open || actual.next().is_none()).then_some(device)
    }

    /// Whether more levels may follow: `#` is at the end.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// What follows in a matching topic: the levels that `#` stands for.
    #[must_use]
    pub fn rest<'t>(&self, topic: &'t str) -> &'t str {
        topic.splitn(self.levels.len() + 1, '/').nth(self.levels.len()).unwrap_or_default()
    }

    /// Appends the metric that a matching topic names: its levels, joined by dots.
    pub fn metric_into(&self, topic: &str, metric: &mut String) {
        let levels = self.levels.iter().zip(topic.split('/'));
        for (_, found) in levels.filter(|(level, _)| **level == Level::Metric) {
            if !metric.is_empty() {
                metric.push('.');
            }
            metric.push_str(found);
        }
    }
}

impl Level {
    fn new(text: &str) -> Result<Self, PatternError> {
        match text {
            "+" => Ok(Self::Any),
            "{device}" => Ok(Self::Device),
            "{metric}" => Ok(Self::Metric),
            _ if text.contains(['+', '#', '{', '}']) => Err(PatternError::Level(text.into())),
            _ => Ok(Self::Literal(text.into())),
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, topic: &str, expected: Option<(Option<&str>, &str)>) {
        let pattern = TopicPattern::new(pattern).expect("a pattern");
        let found = pattern.matches(topic).map(|device| {
            let mut metric = String::new();
            pattern.metric_into(topic, &mut metric);
            (device, metric)
        });
        let found = found.as_ref().map(|(device, metric)| (*device, metric.as_str()));
        assert_eq!(found, expected, "{pattern} on {topic}");
    }

    #[test]
    fn placeholders_take_one_level_each() {
        check("tele/{device}/SENSOR", "tele/plug/SENSOR", Some((Some("plug"), "")));
        check("tele/{device}/SENSOR", "tele/plug/STATE", None);
        check("tele/{device}/SENSOR", "tele/a/b/SENSOR", None);
        check(
            "s/{device}/{metric}/+/{metric}",
            "s/d/relay/x/power",
            Some((Some("d"), "relay.power")),
        );
        check("{device}/x", "$SYS/x", None);
        check("$SYS/{metric}", "$SYS/x", Some((None, "x")));
    }

    #[test]
    fn a_pattern_is_a_filter_too() {
        for (pattern, filter) in
            [("s/{device}/x/{metric}/#", "s/+/x/+/#"), ("#", "#"), ("a/+", "a/+"), ("/a", "/a")]
        {
            assert_eq!(TopicPattern::new(pattern).expect("a pattern").filter(), filter);
        }
    }

    #[test]
    fn wildcards_match_as_in_mqtt() {
        check("a/#", "a", Some((None, "")));
        check("a/{device}/#", "a/d/b/c", Some((Some("d"), "")));
        check("a/{device}/#", "a", None);
        check("#", "a/b", Some((None, "")));
        check("#", "$SYS/b", None);
        check("a/+", "a/b/c", None);
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, error) in [
            ("", PatternError::Topic(TopicError::Empty)),
            ("a\0", PatternError::Topic(TopicError::Nul)),
            ("a/#/b", PatternError::Level("#".into())),
            ("a/b+", PatternError::Level("b+".into())),
            ("a/{metrics}", PatternError::Level("{metrics}".into())),
            ("{device}/{device}", PatternError::TwoDevices),
        ] {
            assert_eq!(TopicPattern::new(text), Err(error), "{text:?}");
        }
        assert_eq!(TopicPattern::new(&"a/".repeat(40)), Err(PatternError::TooLong));
    }
}
