//! What an operator may set about channels and routes, and the same checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_model::Matchers;
use serde::{Deserialize, Serialize};

/// The longest name of a channel.
const NAME_BYTES_MAX: usize = 32;
/// The most channels, and the most routes.
const CHANNELS_MAX: usize = 100;
/// The longest interval that can be asked for, in seconds: 30 days.
const SECS_MAX: u64 = 30 * 86_400;
/// The longest that a receiver can be waited for, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 120_000;

/// What a channel speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelType {
    /// A POST of Alertmanager's webhook payload, or of what a template makes of it.
    Webhook,
    /// An Alertmanager, which groups, silences and routes by itself.
    Alertmanager,
    /// E-mail.
    Email,
    /// An incoming webhook of Slack, or of what understands the same.
    Slack,
    /// A webhook of a workflow in Microsoft Teams.
    Teams,
    /// PagerDuty's events.
    Pagerduty,
}

impl ChannelType {
    /// The stable, lower-case word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Email => "email",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Pagerduty => "pagerduty",
        }
    }
}

/// How a connection to a mail server is kept from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// It begins in the clear and goes over to TLS, or nothing is sent.
    #[default]
    Starttls,
    /// TLS from the beginning.
    Tls,
    /// Not at all.
    None,
}

/// Where alerts are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelConfig {
    /// Its name in routes, logs and metrics: 1 to 32 of `a-z`, `0-9`, `-`. It must be set. What was told
    /// is remembered by it: keep it.
    pub name: String,
    /// What it speaks: `webhook`, `alertmanager`, `email`, `slack`, `teams`, `pagerduty`. It must be set.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ChannelType>,
    /// Where it is: `https://…` or `http://…`. For `pagerduty` only if it is not PagerDuty's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The file whose first line is the URL, where the URL is a secret, as those of `slack` and `teams`
    /// are; it is read for each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// All members of a cluster of Alertmanagers, in place of `url`: each is told everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// `webhook`: the file whose first line is the secret that messages are signed with. `pagerduty`: the
    /// file whose first line is the integration's key. Read for each message. Default: none, not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The file whose first line is a token, sent as `Authorization: Bearer`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The user, over HTTP or at the mail server. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file whose first line is the password; it is read for each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The authorities (PEM) that are trusted beside the system's. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// `webhook`: the file with the template of the body (Jinja). Default: none, Alertmanager's payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_file: Option<PathBuf>,
    /// What a template's body is. Default `application/json`.
    pub content_type: String,
    /// `email`: the server, `HOST[:PORT]`; 587 with `starttls`, 465 with `tls`, 25 with `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// `email`: `starttls`, `tls` or `none`. Default `starttls`.
    pub tls: MailTls,
    /// `email`: who sends, as `Bellwire <alerts@plant.example>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `email`: to whom, all in one mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// How long an answer is waited for, in milliseconds, 100 to 120000. Default 10000.
    pub timeout_ms: u64,
    /// The most alerts in one message, 1 to 1000; more come in further ones. Default 100.
    pub alerts_max: u16,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: None,
            url: None,
            url_file: None,
            urls: Vec::new(),
            secret_file: None,
            token_file: None,
            user: None,
            password_file: None,
            ca_file: None,
            template_file: None,
            content_type: "application/json".to_owned(),
            server: None,
            tls: MailTls::Starttls,
            from: None,
            to: Vec::new(),
            timeout_ms: 10_000,
            alerts_max: 100,
        }
    }
}

/// Which alerts go to which channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// Matchers as in Alertmanager: `severity="critical", site=~"berlin-.*"`. Default: all alerts.
    pub alerts: String,
    /// Only alerts that nobody acknowledged so often in time, 0 to 255. Default 0: all.
    pub escalation: u8,
    /// The channels' names. Default `[]`: these alerts are told nobody.
    pub channels: Vec<String>,
    /// The labels that alerts of one message have in common; `[]`: all together, `["..."]`: each alone.
    /// Default `["rule", "site"]`.
    pub group_by: Vec<String>,
    /// How long the first alert of a group waits for others, in seconds. Default 10.
    pub group_wait_s: u64,
    /// The least time between two messages of a group, in seconds. Default 300.
    pub group_interval_s: u64,
    /// How often what still fires, and nobody has acknowledged, is told again, in seconds, at least 60.
    /// Default 14400: four hours.
    pub repeat_interval_s: u64,
    /// Whether the routes behind it are looked at too. Default false.
    pub r#continue: bool,
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self {
            alerts: String::new(),
            escalation: 0,
            channels: Vec::new(),
            group_by: vec!["rule".to_owned(), "site".to_owned()],
            group_wait_s: 10,
            group_interval_s: 300,
            repeat_interval_s: 14_400,
            r#continue: false,
        }
    }
}

/// Checks all channels and routes of a configuration, as far as that can be done without looking at
/// files.
///
/// # Errors
/// The first key that cannot work, as `channel[0].url`, and what would be right.
pub fn check(channels: &[ChannelConfig], routes: &[RouteConfig]) -> Result<(), String> {
    if channels.len() > CHANNELS_MAX || routes.len() > CHANNELS_MAX {
        return Err(format!("there are at most {CHANNELS_MAX} channels and as many routes"));
    }
    for (index, channel) in channels.iter().enumerate() {
        channel.check().map_err(|error| format!("channel[{index}].{error}"))?;
        if channels[..index].iter().any(|other| other.name == channel.name) {
            let name = &channel.name;
            return Err(format!("channel[{index}].name: there are two channels `{name}`"));
        }
    }
    for (index, route) in routes.iter().enumerate() {
        route.check(channels).map_err(|error| format!("route[{index}].{error}"))?;
    }
    Ok(())
}

/// Reads the files that the channels name, as a message would.
///
/// # Errors
/// The first that cannot be used, with its key.
pub fn look(channels: &[ChannelConfig]) -> Result<(), String> {
    faults(channels).next().map_or(Ok(()), Err)
}

/// What is wrong with the channels' files, one of each channel, with its key.
pub fn faults(channels: &[ChannelConfig]) -> impl Iterator<Item = String> + '_ {
    channels.iter().enumerate().filter_map(|(index, channel)| {
        let looked = crate::channels::Sender::new(channel, 0).and_then(|sender| sender.look());
        Some(format!("channel[{index}].{}", looked.err()?))
    })
}

impl ChannelConfig {
    fn check(&self) -> Result<(), String> {
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) || !self.name.chars().all(of_name) {
            let name = &self.name;
            return Err(format!("name: `{name}` must be 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -"));
        }
        let Some(kind) = self.kind else {
            return Err(
                "type must be set: webhook, alertmanager, email, slack, teams or pagerduty"
                    .to_owned(),
            );
        };
        if !(100..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            return Err(format!("timeout_ms must be 100 to {TIMEOUT_MS_MAX}"));
        }
        if !(1..=1_000).contains(&self.alerts_max) {
            return Err("alerts_max must be 1 to 1000".to_owned());
        }
        self.check_keys(kind)?;
        if self.user.is_some() != self.password_file.is_some() {
            return Err("user and password_file belong together".to_owned());
        }
        if self.user.is_some() && self.token_file.is_some() {
            return Err("token_file and user are two ways to say who we are: use one".to_owned());
        }
        match kind {
            ChannelType::Email => self.check_mail(),
            _ => self.check_urls(kind),
        }
    }

    /// Keys that mean nothing for this type.
    fn check_keys(&self, kind: ChannelType) -> Result<(), String> {
        use ChannelType::{Alertmanager, Email, Pagerduty, Slack, Teams, Webhook};
        let http = [Webhook, Alertmanager, Slack, Teams, Pagerduty];
        let set: [(&str, bool, &[ChannelType]); 11] = [
            ("url", self.url.is_some(), &http),
            ("url_file", self.url_file.is_some(), &http),
            ("urls", !self.urls.is_empty(), &[Alertmanager]),
            ("secret_file", self.secret_file.is_some(), &[Webhook, Pagerduty]),
            ("token_file", self.token_file.is_some(), &[Webhook, Alertmanager]),
            ("user", self.user.is_some(), &[Webhook, Alertmanager, Email]),
            ("template_file", self.template_file.is_some(), &[Webhook]),
            ("server", self.server.is_some(), &[Email]),
            ("tls", self.tls != MailTls::default(), &[Email]),
            ("from", self.from.is_some(), &[Email]),
            ("to", !self.to.is_empty(), &[Email]),
        ];
        match set.into_iter().find(|(_, is_set, kinds)| *is_set && !kinds.contains(&kind)) {
            Some((key, ..)) => Err(format!("{key} means nothing for type `{}`", kind.label())),
            None => Ok(()),
        }
    }

    fn check_urls(&self, kind: ChannelType) -> Result<(), String> {
        let n_given = usize::from(self.url.is_some())
            + usize::from(self.url_file.is_some())
            + usize::from(!self.urls.is_empty());
        if n_given > 1 {
            return Err("url, url_file and urls: give one of them".to_owned());
        }
        if n_given == 0 && kind != ChannelType::Pagerduty {
            return Err("url must be set, or url_file where it is a secret".to_owned());
        }
        if kind == ChannelType::Pagerduty && self.secret_file.is_none() {
            return Err("secret_file must be set: it has the integration's key".to_owned());
        }
        if let Some(url) = &self.url {
            parse_url(url).map_err(|error| format!("url: {error}"))?;
        }
        for (index, url) in self.urls.iter().enumerate() {
            parse_url(url).map_err(|error| format!("urls[{index}]: {error}"))?;
        }
        Ok(())
    }

    fn check_mail(&self) -> Result<(), String> {
        let server = self.server.as_deref().unwrap_or_default();
        crate::channels::server_of(server, self.tls).map_err(|error| format!("server: {error}"))?;
        let Some(from) = &self.from else { return Err("from must be set".to_owned()) };
        crate::channels::mailbox(from).map_err(|error| format!("from: {error}"))?;
        if self.to.is_empty() {
            return Err("to must be set".to_owned());
        }
        for (index, to) in self.to.iter().enumerate() {
            crate::channels::mailbox(to).map_err(|error| format!("to[{index}]: {error}"))?;
        }
        Ok(())
    }

    pub(crate) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl RouteConfig {
    fn check(&self, channels: &[ChannelConfig]) -> Result<(), String> {
        Matchers::parse(&self.alerts).map_err(|error| format!("alerts: {error}"))?;
        for name in &self.channels {
            if !channels.iter().any(|channel| channel.name == *name) {
                return Err(format!("channels: there is no channel `{name}`"));
            }
        }
        if self.group_by.len() > 1 && self.group_by.iter().any(|label| label == "...") {
            return Err("group_by: `...` stands alone: each alert is a group".to_owned());
        }
        for (key, secs) in [
            ("group_wait_s", self.group_wait_s),
            ("group_interval_s", self.group_interval_s),
            ("repeat_interval_s", self.repeat_interval_s),
        ] {
            if secs > SECS_MAX {
                return Err(format!("{key} must be at most {SECS_MAX}"));
            }
        }
        if self.repeat_interval_s < 60 {
            return Err("repeat_interval_s must be at least 60".to_owned());
        }
        Ok(())
    }
}

/// A URL of HTTP, without user and password in it.
///
/// # Errors
/// What is wrong; the URL, which may be a secret, is not shown.
pub fn parse_url(text: &str) -> Result<reqwest::Url, String> {
    // The text is not shown: it may be a secret.
    let url = reqwest::Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it must begin with https:// or http://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password do not belong there: use user and password_file".to_owned());
    }
    Ok(url)
}

/// The first line of a file, which is a secret.
pub(crate) fn first_line(key: &str, path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{key}: cannot read {}: {error}", path.display()))?;
    match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(format!("{key}: {} has nothing in its first line", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook() -> ChannelConfig {
        ChannelConfig {
            name: "ops".to_owned(),
            kind: Some(ChannelType::Webhook),
            url: Some("https://ops.example/hook".to_owned()),
            ..ChannelConfig::default()
        }
    }

    fn mail() -> ChannelConfig {
        ChannelConfig {
            name: "mail".to_owned(),
            kind: Some(ChannelType::Email),
            server: Some("mail.example".to_owned()),
            from: Some("Bellwire <alerts@plant.example>".to_owned()),
            to: vec!["ada@plant.example".to_owned()],
            ..ChannelConfig::default()
        }
    }

    #[test]
    fn what_is_needed_is_enough() {
        let route = RouteConfig { channels: vec!["ops".to_owned()], ..RouteConfig::default() };
        assert_eq!(check(&[hook(), mail()], &[route]), Ok(()));
    }

    #[test]
    fn what_cannot_work_in_a_channel_is_named() {
        let with = |mut config: ChannelConfig, change: fn(&mut ChannelConfig)| {
            change(&mut config);
            check(&[config], &[]).unwrap_err()
        };
        for (error, expected) in [
            (with(hook(), |it| it.name = "Ops".to_owned()), "name: `Ops` must be"),
            (with(hook(), |it| it.kind = None), "type must be set"),
            (with(hook(), |it| it.url = None), "url must be set"),
            (with(hook(), |it| it.url = Some("ops".to_owned())), "url: it is no URL"),
            (with(hook(), |it| it.url = Some("ftp://a".to_owned())), "url: it must begin"),
            (with(hook(), |it| it.url = Some("http://a:hush@b".to_owned())), "url: user and"),
            (with(hook(), |it| it.urls = vec!["http://a".to_owned()]), "urls means nothing"),
            (with(hook(), |it| it.url_file = Some("x".into())), "url, url_file and urls"),
            (with(hook(), |it| it.user = Some("a".to_owned())), "user and password_file"),
            (with(hook(), |it| it.timeout_ms = 1), "timeout_ms must be"),
            (with(hook(), |it| it.alerts_max = 0), "alerts_max must be"),
            (with(hook(), |it| it.to = vec!["a".to_owned()]), "to means nothing"),
            (with(hook(), |it| it.kind = Some(ChannelType::Pagerduty)), "secret_file must be"),
            (with(mail(), |it| it.server = None), "server: it must be set"),
            (with(mail(), |it| it.from = None), "from must be set"),
            (with(mail(), |it| it.to = Vec::new()), "to must be set"),
            (with(mail(), |it| it.to = vec!["nobody".to_owned()]), "to[0]: "),
        ] {
            assert!(error.starts_with(&format!("channel[0].{expected}")), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        assert!(check(&[hook(), hook()], &[]).unwrap_err().contains("two channels `ops`"));
    }

    #[test]
    fn what_cannot_work_in_a_route_is_named() {
        let with = |change: fn(&mut RouteConfig)| {
            let mut route = RouteConfig::default();
            change(&mut route);
            check(&[hook()], &[route]).unwrap_err()
        };
        for (error, expected) in [
            (with(|it| it.alerts = "site".to_owned()), "alerts: column 5"),
            (with(|it| it.channels = vec!["boss".to_owned()]), "channels: there is no"),
            (with(|it| it.group_by.push("...".to_owned())), "group_by: `...`"),
            (with(|it| it.group_wait_s = u64::MAX), "group_wait_s must be at most"),
            (with(|it| it.repeat_interval_s = 1), "repeat_interval_s must be at least"),
        ] {
            assert!(error.starts_with(&format!("route[0].{expected}")), "{error}");
        }
    }
}
