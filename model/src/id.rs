//! Names that must not be confused with one another: devices, service accounts, clients, metrics,
//! rules.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// It is empty.
    Empty,
    /// It is longer than this many bytes.
    TooLong {
        /// The most bytes this kind of name may have.
        limit_bytes: usize,
    },
    /// It has a character that this kind of name may not have.
    Forbidden(char),
    /// It means something else where such a name stands.
    Reserved,
    /// It begins with a character that means something else there.
    Begins(char),
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("name is empty"),
            Self::TooLong { limit_bytes } => write!(f, "name is longer than {limit_bytes} bytes"),
            Self::Forbidden(c) => write!(f, "name has the forbidden character {c:?}"),
            Self::Reserved => f.write_str("name is reserved"),
            Self::Begins(c) => write!(f, "name begins with the reserved character {c:?}"),
        }
    }
}

impl std::error::Error for IdError {}

fn check(
    text: &str,
    limit_bytes: usize,
    forbidden: fn(char) -> bool,
    reserved: &[&str],
    reserved_start: Option<char>,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if reserved.contains(&text) {
        return Err(IdError::Reserved);
    }
    if let Some(start) = reserved_start.filter(|start| text.starts_with(*start)) {
        return Err(IdError::Begins(start));
    }
    if text.len() > limit_bytes {
        return Err(IdError::TooLong { limit_bytes });
    }
    match text.chars().find(|&c| c.is_control() || forbidden(c)) {
        Some(c) => Err(IdError::Forbidden(c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $forbidden:expr, $reserved:expr, $start:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes such a name may have.
            pub const BYTES_MAX: usize = $limit;

            /// Takes `text` as a name.
            ///
            /// # Errors
            /// [`IdError`] if it is empty, too long, reserved, or has a control or forbidden character.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text, Self::BYTES_MAX, $forbidden, $reserved, $start)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text that it is made of, which others may share.
            #[must_use]
            pub fn into_text(self) -> Arc<str> {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn none(_: char) -> bool {
    false
}

fn topic_syntax(c: char) -> bool {
    matches!(c, '/' | '+' | '#')
}

name!(
    /// A registered thing that publishes: one level of a topic, so without `/`, `+` and `#`. `.` and
    /// `..` cannot stand in a URL's path, and `*` means all devices in a subscription.
    /// What begins with `{` is a group of devices ([`crate::Target`]).
    DeviceId, 256, topic_syntax, &[".", "..", "*"], Some('{')
);
name!(
    /// A service account: a program that is no device, as a backend. It stands in rules and in URLs.
    ServiceName, 256, topic_syntax, &[".", "..", "*"], None
);
name!(
    /// The MQTT connection's name, which is *not* the device's.
    ClientId, 65_535, none, &[], None
);
name!(
    /// What a reading measures: `temperature`, or `motor.speed` for nested keys.
    MetricName, 256, topic_syntax, &[], None
);
name!(
    /// An alert rule's name.
    RuleName, 256, none, &[], None
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_one_topic_level() {
        assert!(DeviceId::new("freezer-3").is_ok());
        assert_eq!(DeviceId::new("a/b"), Err(IdError::Forbidden('/')));
        assert_eq!(DeviceId::new(""), Err(IdError::Empty));
        assert_eq!(DeviceId::new(".."), Err(IdError::Reserved));
        assert!(DeviceId::new("..a").is_ok());
        assert_eq!(DeviceId::new("{a}"), Err(IdError::Begins('{')));
        assert_eq!(DeviceId::new("a\0"), Err(IdError::Forbidden('\0')));
        let long = "x".repeat(257);
        assert_eq!(DeviceId::new(&long), Err(IdError::TooLong { limit_bytes: 256 }));
    }
}
