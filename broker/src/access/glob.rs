//! Patterns of device ids, as in `line-3-*`: for which devices a gateway speaks, and which a
//! provisioning token may register.

use std::fmt;

use bellwire_model::DeviceId;

/// Why a text is no pattern of device ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern of device ids: it is one, in which `*` stands for any characters")]
pub struct NoDevicePattern {
    /// The text.
    pub text: String,
}

/// A device id in which `*` stands for any characters, also none. It matches no empty id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DevicePattern(Box<str>);

impl DevicePattern {
    /// Takes `text` as a pattern.
    ///
    /// # Errors
    /// [`NoDevicePattern`] if it is empty or has what no device id may have.
    pub fn new(text: &str) -> Result<Self, NoDevicePattern> {
        // With a letter for each `*` it must be an id: also where it is nothing but `*`.
        match DeviceId::new(&text.replace('*', "x")) {
            Ok(_) => Ok(Self(text.into())),
            Err(_) => Err(NoDevicePattern { text: text.to_owned() }),
        }
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches `id`.
    #[must_use]
    pub fn matches(&self, id: &str) -> bool {
        if id.is_empty() {
            return false;
        }
        let Some((head, rest)) = self.0.split_once('*') else { return *self.0 == *id };
        let Some(mut id) = id.strip_prefix(head) else { return false };
        let mut parts = rest.split('*');
        let mut part = parts.next().unwrap_or_default();
        // The leftmost place of each part leaves the most to those behind it.
        for next in parts {
            let Some(place) = id.find(part) else { return false };
            id = &id[place + part.len()..];
            part = next;
        }
        id.ends_with(part)
    }

    /// An id that it matches, with `text` for each `*`.
    pub(super) fn example(&self, text: &str) -> String {
        self.0.replace('*', text)
    }
}

impl fmt::Display for DevicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, id: &str) -> bool {
        DevicePattern::new(pattern).expect("a pattern").matches(id)
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("line-3-*", "line-3-press"));
        assert!(matches("line-3-*", "line-3-"));
        assert!(!matches("line-3-*", "line-33-press"));
        assert!(matches("*", "a") && !matches("*", ""));
        assert!(matches("a*b*c", "a-b-b-c") && !matches("a*b*c", "a-b"));
        assert!(matches("*aa*a", "aaa") && !matches("*aa*a", "aa"));
        assert!(matches("plain", "plain") && !matches("plain", "plain2"));
    }

    #[test]
    fn what_is_no_part_of_an_id_is_refused() {
        for text in ["", "a/b", "a+", "#", "a\0*"] {
            assert!(DevicePattern::new(text).is_err(), "{text:?}");
        }
    }

    /// The same by definition: every way to split.
    fn naive(pattern: &[u8], id: &[u8]) -> bool {
        match pattern.split_first() {
            None => id.is_empty(),
            Some((b'*', rest)) => (0..=id.len()).any(|n| naive(rest, &id[n..])),
            Some((first, rest)) => id.first() == Some(first) && naive(rest, &id[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_matches_as_defined(pattern in "[ab*]{1,6}", id in "[ab]{1,8}") {
            prop_assert_eq!(matches(&pattern, &id), naive(pattern.as_bytes(), id.as_bytes()));
        }
    }
}
