//! What an operator may set about a bridge, and the same checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_model::{ClientId, TopicFilter};
use serde::{Deserialize, Serialize};

use super::address::Address;

/// The longest name of a bridge.
const NAME_BYTES_MAX: usize = 32;
/// The longest pause between two attempts that can be asked for: a day.
const RECONNECT_MS_MAX: u64 = 86_400_000;

/// Which MQTT a bridge speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// MQTT 5, and 3.1.1 with a broker that knows no other.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// MQTT 5.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V3,
}

/// An existing MQTT broker that telemetry is taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeConfig {
    /// Its name in logs and metrics: 1 to 32 of `a-z`, `0-9`, `-`. It must be set. It is also part of
    /// what tells a publish that the broker sends again from a new one: keep it.
    pub name: String,
    /// Where the broker is: `mqtt://HOST[:1883]`, or `mqtts://HOST[:8883]` with TLS. It must be set.
    pub url: String,
    /// Which MQTT is spoken: `5`, `3.1.1`, or `auto`. Default `auto`: 5, and 3.1.1 with a broker that
    /// knows no other.
    pub protocol: Protocol,
    /// The client identifier, under which the broker keeps what comes while we are away. Default:
    /// `bellwire-NAME-` and eight digits that are the log's own, so that no two services share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The user. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file whose first line is the password; it is read at each connect. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The authorities (PEM) one of which the broker's certificate must be from. `mqtts` needs it; for
    /// public authorities it is the system's, as `/etc/ssl/certs/ca-certificates.crt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and those between it and its authority (PEM), if the broker asks for one.
    /// Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name that the broker's certificate must have. Default: the host of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What is subscribed to. Default `[]`: `devices/+/telemetry`, `devices/+/telemetry/+`,
    /// `devices/+/status`, and the topics of the mappings. What else arrives is no telemetry; it is
    /// counted and dropped.
    pub topics: Vec<String>,
    /// What the broker's topics have in front of ours, as `plant-7/`: put before what is subscribed to,
    /// and taken off what arrives. Default: nothing.
    pub topic_prefix: String,
    /// The group of a shared subscription (`$share/GROUP/…`): the broker divides what is published
    /// among all services of the group. Default: none, all is for us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// How long the broker keeps what comes while we are away, in seconds, at least 1; 4294967295 is
    /// for ever. Default 604800: a week. With MQTT 3.1.1 the broker decides.
    pub session_expiry_s: u32,
    /// How often we and the broker show each other that we live, in seconds, 5 to 65535. Default 30.
    pub keep_alive_s: u16,
    /// QoS 1 publishes that we take before they are in the log, at least 1. Default 1000: enough for
    /// 100,000 a second while a sync takes 10 ms. MQTT 5 tells the broker; from others we stop reading.
    pub receive_max: u16,
    /// The longest pause between two attempts to connect, in milliseconds, 1000 to 86400000. The first
    /// is a quarter of a second. Default 30000.
    pub reconnect_max_ms: u64,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            protocol: Protocol::Auto,
            client_id: None,
            user: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            server_name: None,
            topics: Vec::new(),
            topic_prefix: String::new(),
            share: None,
            session_expiry_s: 604_800,
            keep_alive_s: 30,
            receive_max: 1_000,
            reconnect_max_ms: 30_000,
        }
    }
}

impl BridgeConfig {
    /// Whether every value can work, as far as that can be said without looking at files.
    ///
    /// # Errors
    /// The key, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) || !self.name.chars().all(of_name) {
            return Err(format!(
                "name: `{}` must be 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -",
                self.name
            ));
        }
        let address = Address::parse(&self.url).map_err(|error| format!("url: {error}"))?;
        if self.session_expiry_s == 0 {
            return Err("session_expiry_s must be at least 1: else what comes while we are away \
                        is lost"
                .to_owned());
        }
        if self.keep_alive_s < 5 {
            return Err("keep_alive_s must be 5 to 65535".to_owned());
        }
        if self.receive_max == 0 {
            return Err("receive_max must be at least 1".to_owned());
        }
        if !(1_000..=RECONNECT_MS_MAX).contains(&self.reconnect_max_ms) {
            return Err(format!("reconnect_max_ms must be 1000 to {RECONNECT_MS_MAX}"));
        }
        self.check_names()?;
        self.check_topics()?;
        self.check_tls(&address)
    }

    fn check_names(&self) -> Result<(), String> {
        if let Some(id) = &self.client_id {
            ClientId::new(id).map_err(|error| format!("client_id: {error}"))?;
        }
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.len() > 65_535) {
            return Err("user must be 1 to 65535 bytes; without it, leave it away".to_owned());
        }
        if self.password_file.is_some() && self.user.is_none() {
            return Err("password_file needs user".to_owned());
        }
        let of_group = |c: char| !matches!(c, '/' | '+' | '#') && !c.is_control();
        if let Some(group) = &self.share
            && (group.is_empty() || group.len() > 256 || !group.chars().all(of_group))
        {
            return Err(format!("share: `{group}` is no group: it has no `/`, `+` or `#`"));
        }
        Ok(())
    }

    fn check_topics(&self) -> Result<(), String> {
        if self.topic_prefix.contains(['+', '#', '\0']) || self.topic_prefix.starts_with('$') {
            return Err(format!(
                "topic_prefix: `{}` is no beginning of a topic",
                self.topic_prefix
            ));
        }
        for (index, topic) in self.topics.iter().enumerate() {
            let wrong = |why: &dyn std::fmt::Display| format!("topics[{index}]: `{topic}`: {why}");
            if topic.starts_with("$share/") {
                return Err(wrong(&"a shared subscription is made with the key `share`"));
            }
            TopicFilter::new(&self.outside(topic)).map_err(|error| wrong(&error))?;
        }
        Ok(())
    }

    fn check_tls(&self, address: &Address) -> Result<(), String> {
        let of_tls = [
            ("ca_file", self.ca_file.is_some()),
            ("cert_file", self.cert_file.is_some()),
            ("key_file", self.key_file.is_some()),
            ("server_name", self.server_name.is_some()),
        ];
        if !address.has_tls {
            let set = of_tls.into_iter().find(|(_, is_set)| *is_set);
            return match set {
                Some((key, _)) => Err(format!("{key} needs a url that begins with mqtts://")),
                None => Ok(()),
            };
        }
        if self.ca_file.is_none() {
            return Err("ca_file must be set: mqtts:// needs to know the broker's authority; for \
                        public ones it is the system's, as /etc/ssl/certs/ca-certificates.crt"
                .to_owned());
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("cert_file and key_file belong together".to_owned());
        }
        if let Some(name) = &self.server_name {
            rustls::pki_types::ServerName::try_from(name.as_str())
                .map_err(|_| format!("server_name: `{name}` is no name of a host"))?;
        }
        Ok(())
    }

    /// Reads the files that it names, as a connect would.
    ///
    /// # Errors
    /// The key, and why its file cannot be used.
    pub fn look(&self) -> Result<(), String> {
        self.password().map_err(|error| error.to_string())?;
        let is_tls = Address::parse(&self.url).is_ok_and(|address| address.has_tls);
        if is_tls {
            super::tls::read(self).map(drop).map_err(|error| chain(&error))
        } else {
            Ok(())
        }
    }

    /// Whether user and password would be readable on their way to another machine.
    #[must_use]
    pub fn is_in_clear(&self) -> bool {
        Address::parse(&self.url).is_ok_and(|address| !address.has_tls && !address.is_loopback())
    }

    /// The filter or topic `topic` as the broker knows it.
    pub(crate) fn outside(&self, topic: &str) -> String {
        format!("{}{topic}", self.topic_prefix)
    }

    /// The password, if there is a file of it.
    pub(crate) fn password(&self) -> Result<Option<String>, PasswordError> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| PasswordError::Read { path: path.clone(), source })?;
        match text.lines().next().map(str::trim_end).filter(|line| !line.is_empty()) {
            Some(line) => Ok(Some(line.to_owned())),
            None => Err(PasswordError::Empty { path: path.clone() }),
        }
    }

    pub(crate) const fn reconnect_max(&self) -> Duration {
        Duration::from_millis(self.reconnect_max_ms)
    }

    pub(crate) const fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_s as u64)
    }
}

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("password_file: cannot read {path}: {source}", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("password_file: `{path}` has no password in its first line", path = .path.display())]
    Empty { path: PathBuf },
}

/// Checks all bridges of a configuration.
///
/// # Errors
/// The first key that cannot work, as `bridge[0].url`, and what would be right.
pub fn check(bridges: &[BridgeConfig]) -> Result<(), String> {
    for (index, bridge) in bridges.iter().enumerate() {
        bridge.check().map_err(|error| format!("bridge[{index}].{error}"))?;
        if bridges[..index].iter().any(|other| other.name == bridge.name) {
            return Err(format!("bridge[{index}].name: there are two bridges `{}`", bridge.name));
        }
    }
    Ok(())
}

/// Whether a key names this file; for error messages.
pub(crate) fn shown(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> BridgeConfig {
        BridgeConfig {
            name: "plant".to_owned(),
            url: "mqtt://broker".to_owned(),
            ..BridgeConfig::default()
        }
    }

    #[test]
    fn a_name_and_a_url_are_enough() {
        assert_eq!(check(&[bridge()]), Ok(()));
        assert!(check(&[bridge(), bridge()]).unwrap_err().contains("two bridges `plant`"));
    }

    #[test]
    fn what_cannot_work_is_named() {
        let with = |change: fn(&mut BridgeConfig)| {
            let mut config = bridge();
            change(&mut config);
            check(&[config]).unwrap_err()
        };
        for (error, expected) in [
            (with(|it| it.name = "Plant 7".to_owned()), "bridge[0].name: `Plant 7` must be"),
            (with(|it| it.url = "http://broker".to_owned()), "bridge[0].url: `http://broker`"),
            (with(|it| it.url = "mqtts://broker".to_owned()), "bridge[0].ca_file must be set"),
            (with(|it| it.ca_file = Some("x".into())), "bridge[0].ca_file needs a url that"),
            (with(|it| it.password_file = Some("x".into())), "bridge[0].password_file needs user"),
            (with(|it| it.share = Some("a/b".to_owned())), "bridge[0].share: `a/b` is no group"),
            (with(|it| it.topics = vec!["a/#/b".to_owned()]), "bridge[0].topics[0]: `a/#/b`"),
            (with(|it| it.topics = vec!["$share/g/a".to_owned()]), "bridge[0].topics[0]: `$share"),
            (with(|it| it.topic_prefix = "+/".to_owned()), "bridge[0].topic_prefix: `+/`"),
            (with(|it| it.receive_max = 0), "bridge[0].receive_max must be at least 1"),
            (with(|it| it.keep_alive_s = 1), "bridge[0].keep_alive_s must be 5 to"),
            (with(|it| it.session_expiry_s = 0), "bridge[0].session_expiry_s must be at least 1"),
            (with(|it| it.reconnect_max_ms = 1), "bridge[0].reconnect_max_ms must be 1000"),
        ] {
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_first_line_of_the_file_is_the_password() {
        let path = std::env::temp_dir().join(format!("bellwire-password-{}", std::process::id()));
        let config = BridgeConfig { password_file: Some(path.clone()), ..bridge() };
        assert!(config.password().unwrap_err().to_string().contains("cannot read"));
        std::fs::write(&path, "hush hush\nmore\n").unwrap();
        assert_eq!(config.password().unwrap().as_deref(), Some("hush hush"));
        std::fs::write(&path, "\n").unwrap();
        assert!(config.password().is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
