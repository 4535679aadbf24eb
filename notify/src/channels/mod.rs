//! The channels: what a message looks like for each kind of receiver, and how it gets there.

mod alertmanager;
mod chat;
mod email;
mod http;
mod pagerduty;
mod payload;
mod sign;
mod slack;
mod teams;
mod template;

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::Timestamp;

use email::Mailer;
pub(crate) use email::{mailbox, server_of};
use http::Poster;

use crate::config::{ChannelConfig, ChannelType};
use crate::dispatch::Notice;

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It may work later, at the earliest after so long if the receiver said that.
    Away(Option<Duration>),
    /// The receiver does not want it, or it cannot be made.
    Rejected,
}

/// What came of a message, and what was said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// In the receiver's words, or why there are none; never a secret. At most 300 characters.
    pub said: String,
}

impl Answer {
    fn new(outcome: Outcome, said: impl Into<String>) -> Self {
        let said: String = said.into();
        let printable = said.chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { outcome, said: printable.take(300).collect() }
    }

    fn away(said: impl Into<String>) -> Self {
        Self::new(Outcome::Away(None), said)
    }

    fn rejected(said: impl Into<String>) -> Self {
        Self::new(Outcome::Rejected, said)
    }
}

/// What a message is made with.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The channel's name.
    pub channel: Arc<str>,
    /// Where operators reach the console, without a `/` at the end.
    pub public_url: Option<Arc<str>>,
    /// Now.
    pub now: Timestamp,
}

impl Setting {
    /// A page of the console; empty if nobody said where it is.
    fn link(&self, path: &str) -> String {
        self.public_url.as_ref().map_or_else(String::new, |url| format!("{url}{path}"))
    }
}

/// Brings messages to one address of a channel.
#[derive(Debug)]
pub struct Sender(Kind);

#[derive(Debug)]
enum Kind {
    Http(Box<Poster>),
    Mail(Box<Mailer>),
}

impl Sender {
    /// The one for a channel's address `index`.
    ///
    /// # Errors
    /// The key of the channel, and why its file cannot be used.
    pub fn new(config: &ChannelConfig, index: usize) -> Result<Self, String> {
        Ok(Self(match config.kind {
            Some(ChannelType::Email) => Kind::Mail(Box::new(Mailer::new(config)?)),
            _ => Kind::Http(Box::new(Poster::new(config, index)?)),
        }))
    }

    /// Reads the files that a message needs.
    ///
    /// # Errors
    /// The key, and why its file cannot be used.
    pub fn look(&self) -> Result<(), String> {
        match &self.0 {
            Kind::Http(poster) => poster.look(),
            Kind::Mail(mailer) => mailer.look(),
        }
    }

    /// Sends a message, and waits for what the receiver says: at most the channel's timeout.
    ///
    /// # Cancel safety
    /// Whoever gives it up does not know whether it arrived.
    pub async fn send(&self, notice: &Notice, setting: &Setting) -> Answer {
        match &self.0 {
            Kind::Http(poster) => poster.send(notice, setting).await,
            Kind::Mail(mailer) => mailer.send(notice, setting).await,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A message to look at.

    use std::sync::Arc;

    use bellwire_model::{
        Alert, AlertId, AlertState, Labels as DeviceLabels, RuleName, Severity, Target, Timestamp,
    };

    use super::Setting;
    use crate::dispatch::{Facts, Notice, Said};

    pub(crate) fn setting() -> Setting {
        Setting {
            channel: "ops".into(),
            public_url: Some("https://bell.example".into()),
            now: Timestamp::from_secs(1_800_000_300),
        }
    }

    fn facts(id: u64, device: &str, state: AlertState) -> Facts {
        let at = Timestamp::from_secs(1_800_000_000);
        let mut labels = DeviceLabels::default();
        labels.set(&"site".into(), &"berlin".into());
        let alert = Alert {
            id: AlertId(id),
            rule: RuleName::new("hot").unwrap(),
            device: Target::new(device).unwrap(),
            severity: Severity::Critical,
            state,
            since: at,
            fired_at: Some(at),
            resolved_at: (state == AlertState::Resolved)
                .then(|| Timestamp::from_secs(1_800_000_200)),
            value: Some(95.5),
            summary: format!("{device} is at 95.5 °C <&>\"*_"),
            labels: Some(Arc::new(labels)),
            handling: None,
        };
        Facts::new(&alert, at)
    }

    /// One alert fires, one is over.
    pub(crate) fn notice() -> Notice {
        let said = [("oven-1", AlertState::Firing), ("oven-2", AlertState::Resolved)];
        let alerts = said.into_iter().zip(1..).map(|((device, state), id)| {
            let facts = Arc::new(facts(id, device, state));
            Said { status: facts.status, facts }
        });
        Notice::test("d".repeat(32), alerts.collect())
    }

    /// Only the one that is over.
    pub(crate) fn all_over() -> Notice {
        let alerts = notice().alerts.split_off(1);
        Notice::test("e".repeat(32), alerts)
    }
}
