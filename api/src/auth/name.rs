//! Names of users.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most characters.
const CHARS_MAX: usize = 64;
/// Those who ask without being users.
const RESERVED: [&str; 3] = ["anybody", "local", "system"];

/// A text is no name of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user's name has 1 to 64 of a-z, 0-9, `.`, `_`, `-`, `+` and `@`, begins with a letter or digit, \
     and is none of anybody, local, system"
)]
pub struct NoUserName;

/// The name of a user: lower case, so that no two look alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// Reads a name; capital letters become small ones.
    ///
    /// # Errors
    /// [`NoUserName`] if it is none.
    pub fn new(text: &str) -> Result<Self, NoUserName> {
        let name = text.to_ascii_lowercase();
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-+@".contains(c);
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let is_name = begins_well && name.len() <= CHARS_MAX && name.chars().all(of_name);
        if is_name && !RESERVED.contains(&name.as_str()) { Ok(Self(name)) } else { Err(NoUserName) }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UserName {
    type Error = NoUserName;

    fn try_from(text: String) -> Result<Self, NoUserName> {
        Self::new(&text)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl std::borrow::Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_plain() {
        assert_eq!(UserName::new("Anna.K@example.com").unwrap().as_str(), "anna.k@example.com");
        let long = "a".repeat(65);
        for wrong in ["", ".a", "a/b", "a b", "änna", "local", "Anybody", &long, "a\n"] {
            assert_eq!(UserName::new(wrong), Err(NoUserName), "{wrong:?}");
        }
    }
}
