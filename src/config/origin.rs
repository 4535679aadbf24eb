//! Whence each key of the configuration comes, so that it can be shown, and what is wrong with it said
//! at its place.

use std::collections::BTreeMap;
use std::fmt;

use super::ConfigError;
use super::places::Gone;

/// Whence a value comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file.
    File {
        /// As it was named.
        file: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// This environment variable.
    Variable(String),
    /// This flag of the command line, without its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, .. } => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Whence all keys come. Lists are numbered as in the file.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    pub(super) by_key: BTreeMap<String, Origin>,
    pub(super) gone: Gone,
}

impl Origins {
    /// Whence `key`, as `mqtt.listen` or `acl[0].who`, comes.
    #[must_use]
    pub fn of(&self, key: &str) -> &Origin {
        self.by_key.get(key).unwrap_or(&Origin::Default)
    }

    /// What is wrong, at its place: `message` begins with the key, whose lists are numbered as they are
    /// now. Where the key is not set, the place is the table in which it would be.
    #[must_use]
    pub fn fault(&self, message: &str) -> ConfigError {
        let key = self.in_file(key_of(message));
        let message = format!("{key}{}", &message[key_of(message).len()..]);
        let origin = std::iter::successors(Some(key.as_str()), |&key| parent(key))
            .find_map(|key| self.by_key.get(key));
        match origin.cloned() {
            Some(Origin::File { file, line, column }) => {
                ConfigError::File { place: format!("{file}:{line}:{column}"), message }
            }
            Some(Origin::Variable(variable)) => ConfigError::Variable { variable, message },
            Some(Origin::Flag(flag)) => ConfigError::Flag { flag, message },
            Some(Origin::Default) | None => ConfigError::Value(message),
        }
    }

    /// The key with the number that its list's element has in the file.
    pub(super) fn in_file(&self, key: &str) -> String {
        let Some((list, index, rest)) = element(key) else { return key.to_owned() };
        format!("{list}[{}]{rest}", self.gone.number(list, index))
    }
}

/// The key with which a message begins.
pub(super) fn key_of(message: &str) -> &str {
    let of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']');
    let end = message.find(|c| !of_key(c)).unwrap_or(message.len());
    message[..end].trim_end_matches('.')
}

/// The table that a key is in; `None` where it is in none.
pub(super) fn parent(key: &str) -> Option<&str> {
    key.rsplit_once('.').map(|(parent, _)| parent)
}

/// `acl[1].who` taken apart: `acl`, 1, `.who`.
pub(super) fn element(key: &str) -> Option<(&str, usize, &str)> {
    let (list, rest) = key.split_once('[')?;
    let (index, rest) = rest.split_once(']')?;
    let is_list = !list.contains('.');
    is_list.then_some(())?;
    Some((list, index.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_said_at_its_place_or_that_of_its_table() {
        let file = |line| Origin::File { file: "b.toml".to_owned(), line, column: 1 };
        let mut origins = Origins::default();
        for (key, origin) in [
            ("mqtt.tls", file(3)),
            ("acl[1].who", file(9)),
            ("http.listen", Origin::Variable("BELLWIRE_HTTP_LISTEN".to_owned())),
            ("rules", Origin::Flag("rules".to_owned())),
        ] {
            origins.by_key.insert(key.to_owned(), origin);
        }
        origins.gone.take_out("acl", 0);
        for (message, expected) in [
            (
                "mqtt.tls.cert_file: it is not",
                "config file b.toml:3:1: mqtt.tls.cert_file: it is not",
            ),
            ("acl[0].who: `x`", "config file b.toml:9:1: acl[1].who: `x`"),
            ("http.listen is", "environment variable BELLWIRE_HTTP_LISTEN: http.listen is"),
            ("rules, they", "--rules: rules, they"),
            ("log.bytes_max is", "log.bytes_max is"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(origins.fault(message).to_string(), expected);
        }
    }
}
