//! rumqttd as a door: where it listens, and who comes in.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The stock broker rumqttd inside the process, beside the listeners of `mqtt`. It acknowledges from
/// memory: what it has acknowledged and nobody has read yet is lost with the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RumqttdSection {
    /// The address for MQTT 3.1.1; port 0 takes a free one. Default: none, and there is no rumqttd.
    /// Without `user` it must be a loopback address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The one user that all its clients share: it knows no rules about topics, so whoever has the
    /// password speaks for every device. Default: none, everyone comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file whose first line is that user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl RumqttdSection {
    /// Whether the values can work.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(&self) -> Result<(), String> {
        match (&self.user, &self.password_file) {
            (Some(user), Some(_)) if user.is_empty() => Err("rumqttd.user is empty".to_owned()),
            (Some(_), Some(_)) | (None, None) => Ok(()),
            _ => Err("rumqttd.user and rumqttd.password_file belong together".to_owned()),
        }
    }

    /// User and password, if it asks for them.
    ///
    /// # Errors
    /// If there is no password in the file.
    pub fn credentials(&self) -> Result<Option<(String, String)>, String> {
        let (Some(user), Some(path)) = (&self.user, &self.password_file) else { return Ok(None) };
        let wrong = |why: &str| format!("rumqttd.password_file: {} {why}", path.display());
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        match text.lines().next().map(str::trim_end).filter(|line| !line.is_empty()) {
            Some(password) => Ok(Some((user.clone(), password.to_owned()))),
            None => Err(wrong("has no password in its first line")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_password() {
        let section = |user: Option<&str>, file: Option<&str>| RumqttdSection {
            listen: None,
            user: user.map(str::to_owned),
            password_file: file.map(PathBuf::from),
        };
        assert_eq!(section(None, None).check(), Ok(()));
        assert_eq!(section(Some("a"), Some("b")).check(), Ok(()));
        assert!(section(Some("a"), None).check().is_err());
        assert!(section(None, Some("b")).check().is_err());
        assert_eq!(section(None, None).credentials(), Ok(None));
        assert!(section(Some("a"), Some("/nowhere")).credentials().is_err());
    }
}
