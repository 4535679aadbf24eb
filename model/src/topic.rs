//! Topic names and topic filters: what MQTT allows, and which filter matches which topic.
//!
//! [MQTT-4.7] of both versions.

use std::fmt;

/// The longest topic MQTT can carry, in bytes.
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Why a text is no topic name or filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// It is empty. [MQTT-4.7.3-1]
    Empty,
    /// It is longer than 65,535 bytes. [MQTT-4.7.3-3]
    TooLong,
    /// It has U+0000. [MQTT-4.7.3-2]
    Nul,
    /// A topic name has a wildcard. [MQTT-3.3.2-2], [MQTT-4.7.0-1]
    Wildcard,
    /// `#` is not alone in the last level. [MQTT-4.7.1-1]
    MisplacedHash,
    /// `+` is not alone in its level. [MQTT-4.7.1-2]
    MisplacedPlus,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "topic is empty",
            Self::TooLong => "topic is longer than 65535 bytes",
            Self::Nul => "topic has the character U+0000",
            Self::Wildcard => "topic name has a wildcard",
            Self::MisplacedHash => "`#` must be alone in the last level",
            Self::MisplacedPlus => "`+` must be alone in its level",
        })
    }
}

impl std::error::Error for TopicError {}

fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    if text.bytes().any(|byte| byte == 0) {
        return Err(TopicError::Nul);
    }
    Ok(())
}

/// Checks that `topic` may be published to.
///
/// # Errors
/// [`TopicError`] if it may not.
pub fn check_topic(topic: &str) -> Result<(), TopicError> {
    check_text(topic)?;
    if topic.bytes().any(|byte| matches!(byte, b'+' | b'#')) {
        return Err(TopicError::Wildcard);
    }
    Ok(())
}

/// What a subscription asks for; may have wildcards. [MQTT3-3.8.3-2]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicFilter(Box<str>);

impl TopicFilter {
    /// Takes `text` as a filter.
    ///
    /// # Errors
    /// [`TopicError`] if MQTT does not allow it.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        check_text(text)?;
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level != "#" || levels.peek().is_some()) {
                return Err(TopicError::MisplacedHash);
            }
            if level.contains('+') && level != "+" {
                return Err(TopicError::MisplacedPlus);
            }
        }
        Ok(Self(text.into()))
    }

    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches `topic`, a valid topic name. A leading wildcard matches no topic that
    /// begins with `$`. [MQTT-4.7.2-1]
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut topic_levels = topic.split('/');
        for level in self.0.split('/') {
            match (level, topic_levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (literal, Some(actual)) if literal == actual => {}
                _ => return false,
            }
        }
        topic_levels.next().is_none()
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, topic: &str) -> bool {
        TopicFilter::new(filter).expect("a valid filter").matches(topic)
    }

    #[test]
    fn filters_match_as_the_standard_shows() {
        assert!(matches("sport/tennis/player1/#", "sport/tennis/player1"));
        assert!(matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
        assert!(matches("#", "a/b"));
        assert!(!matches("+", "/finance"));
        assert!(matches("/+", "/finance"));
        assert!(matches("+/+", "/finance"));
        assert!(!matches("sport/+", "sport"));
        assert!(matches("sport/+", "sport/"));
        assert!(!matches("#", "$SYS/x"));
        assert!(!matches("+/x", "$SYS/x"));
        assert!(matches("$SYS/#", "$SYS/x"));
        assert!(!matches("a", "A"));
    }

    #[test]
    fn wrong_filters_are_refused() {
        for (text, error) in [
            ("", TopicError::Empty),
            ("a/#/b", TopicError::MisplacedHash),
            ("a#", TopicError::MisplacedHash),
            ("a+/b", TopicError::MisplacedPlus),
            ("a\0", TopicError::Nul),
        ] {
            assert_eq!(TopicFilter::new(text), Err(error), "{text:?}");
        }
        assert_eq!(check_topic("a/+"), Err(TopicError::Wildcard));
    }
}
