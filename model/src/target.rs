//! What an alert is about: a device, or a group of devices.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::{DeviceId, IdError};

/// A device, or a group of devices that have labels in common.
///
/// As text it is the device's name, or the labels in braces, as `{site="berlin", kind="oven"}`; no
/// device's name begins with a brace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Arc<str>);

impl Target {
    /// The most bytes that the text may have.
    pub const BYTES_MAX: usize = 4_096;

    /// The group of all devices that have these values of these labels. What does not fit into
    /// [`Target::BYTES_MAX`] is left out.
    #[must_use]
    pub fn group<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::from("{");
        for (name, value) in labels {
            if text.len() > 1 {
                text.push_str(", ");
            }
            text.push_str(name);
            text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '"' | '\\' => text.extend(['\\', c]),
                    c if c.is_control() => text.extend(c.escape_unicode()),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        text.truncate(text.floor_char_boundary(Self::BYTES_MAX - 1));
        text.push('}');
        Self(text.into())
    }

    /// Takes the text of a target.
    ///
    /// # Errors
    /// [`IdError`] if it is neither a device's name nor a group's.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if !text.starts_with('{') {
            return DeviceId::new(text).map(Self::from);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(IdError::TooLong { limit_bytes: Self::BYTES_MAX });
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(IdError::Forbidden(c)),
            None => Ok(Self(Arc::from(text))),
        }
    }

    /// Whether it is a group.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.0.starts_with('{')
    }

    /// The labels that the devices of a group have in common, in its order; `None` if it is a device, or
    /// was cut.
    #[must_use]
    pub fn labels(&self) -> Option<Vec<(String, String)>> {
        let mut rest = self.0.strip_prefix('{')?.strip_suffix('}')?;
        let mut labels = Vec::new();
        while !rest.is_empty() {
            let (name, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            labels.push((name.to_owned(), value));
            rest = match behind.strip_prefix(", ") {
                Some(next) if !next.is_empty() => next,
                _ if behind.is_empty() => behind,
                _ => return None,
            };
        }
        Some(labels)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a value up to the quote that ends it, and gives what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match chars.next()?.1 {
                'u' => {
                    let code = text[index..].strip_prefix("\\u{")?.split_once('}')?.0;
                    value.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                    chars.nth(code.len() + 1)?;
                }
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    None
}

impl From<DeviceId> for Target {
    fn from(device: DeviceId) -> Self {
        Self(device.into_text())
    }
}

impl From<&DeviceId> for Target {
    fn from(device: &DeviceId) -> Self {
        device.clone().into()
    }
}

impl Borrow<str> for Target {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<DeviceId> for Target {
    fn eq(&self, device: &DeviceId) -> bool {
        *self.0 == *device.as_str()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_no_device() {
        let group = Target::group([("site", "berlin"), ("kind", "o\"ve\\n\n")]);
        assert_eq!(group.as_str(), r#"{site="berlin", kind="o\"ve\\n\u{a}"}"#);
        assert!(group.is_group());
        assert_eq!(Target::new(group.as_str()), Ok(group.clone()));
        assert!(DeviceId::new(group.as_str()).is_err());
        assert_eq!(Target::group([]).as_str(), "{}");
        let device = DeviceId::new("oven-1").expect("valid");
        let target = Target::from(&device);
        assert!(!target.is_group() && target == device);
        assert_eq!(Target::new("a/b"), Err(IdError::Forbidden('/')));
        assert_eq!(Target::new("{\n"), Err(IdError::Forbidden('\n')));
    }

    #[test]
    fn a_groups_labels_are_read_from_its_text() {
        for labels in [
            vec![],
            vec![("site", "berlin")],
            vec![("site", "b\"er, \\lin"), ("kind", "o\u{1}ve\n\\u{7}"), ("x", "")],
        ] {
            let expected: Vec<_> = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
            assert_eq!(Target::group(labels).labels(), Some(expected));
        }
        for wrong in ["oven-1", "{site}", "{site=\"a}", "{site=\"a\"x}", "{site=\"a\", }"] {
            assert_eq!(Target::new(wrong).expect("a target").labels(), None, "{wrong}");
        }
    }

    #[test]
    fn a_long_group_is_cut() {
        let long = "ä".repeat(5_000);
        let group = Target::group([("site", long.as_str())]);
        assert!(group.as_str().len() <= Target::BYTES_MAX && group.as_str().ends_with('}'));
        assert_eq!(Target::new(group.as_str()), Ok(group));
    }
}
