//! Letters: messages of the service to one device, which are followed until the device has them.
//!
//! A letter goes to the sessions that subscribe to its topic, are connected, and belong to the device or
//! to a gateway that speaks for it; to nobody else, whatever he subscribes to. It is not in the log: a
//! restart forgets it, and whoever posted it posts it again when the device comes. The one that is still
//! on its way in a session is not posted there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bellwire_model::{DeviceId, QoS, Timestamp};
use tokio::sync::Notify;

use crate::access::{Grant, Principal};

/// A message to one device.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Which; never the same for two.
    pub id: u128,
    /// To whom.
    pub device: &'a DeviceId,
    /// Where: a valid topic name.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// What that is, for MQTT 5; at most 65,535 bytes.
    pub content_type: Option<&'a str>,
    /// Where it is to be answered, for MQTT 5, with `id` as correlation data: 32 digits of hexadecimal.
    pub response_topic: Option<&'a str>,
    /// When it is not to be sent any more.
    pub expires_at: Timestamp,
}

/// What became of a letter that was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Nobody is there to take it.
    NobodyThere,
    /// It is on its way.
    OnItsWay,
    /// Somebody is there, and has no room.
    NoRoom,
}

/// What is known of a letter since that was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How often it was written to a connection.
    pub n_sent: u32,
    /// The highest quality of service that it was sent with.
    pub qos: QoS,
    /// Whether the client said that it has it.
    pub receipt: Signed,
}

/// Whether a client said that it has a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Not yet.
    NotYet,
    /// By PUBACK.
    Yes,
}

/// What has happened since that was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What is known of letters.
    pub letters: BTreeMap<u128, Progress>,
    /// Devices that subscribed, or came back to a session that does.
    pub came: BTreeSet<DeviceId>,
    /// Somebody did who may speak for several devices.
    pub several: Several,
}

/// Whether somebody came who may speak for several devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Several {
    /// No.
    #[default]
    None,
    /// Yes: it may be any device's turn.
    Came,
}

impl News {
    fn is_empty(&self) -> bool {
        self.letters.is_empty() && self.came.is_empty() && self.several == Several::None
    }
}

/// What is known of all letters. Each letter and each device is in it once, however much happens before
/// that is asked.
#[derive(Debug, Default)]
pub struct Letters {
    news: Mutex<News>,
    changed: Notify,
}

impl Letters {
    /// Waits until there is something to [`Letters::take`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// What has happened since the last call.
    #[must_use]
    pub fn take(&self) -> News {
        std::mem::take(&mut self.lock())
    }

    /// Whether there is something to tell of a letter.
    #[must_use]
    pub fn knows(&self, id: u128) -> bool {
        self.lock().letters.contains_key(&id)
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        // Nothing in it is left half done.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// A letter was written to a connection.
    pub(crate) fn sent(&self, id: u128, qos: QoS) {
        self.note(|news| {
            let progress = news.letters.entry(id).or_insert(Progress {
                n_sent: 0,
                qos,
                receipt: Signed::NotYet,
            });
            progress.n_sent = progress.n_sent.saturating_add(1);
            progress.qos = progress.qos.max(qos);
        });
    }

    /// A client has it.
    pub(crate) fn signed(&self, id: u128) {
        self.note(|news| {
            let qos = QoS::AtLeastOnce;
            let none = Progress { n_sent: 0, qos, receipt: Signed::Yes };
            news.letters.entry(id).or_insert(none).receipt = Signed::Yes;
        });
    }

    /// Whom `grant` is for has subscribed, or is back in a session that does.
    pub(crate) fn came(&self, grant: &Grant) {
        match grant.principal() {
            Principal::Service(_) => {}
            Principal::Device(device) if !grant.speaks_for_others() => {
                self.note(|news| {
                    news.came.insert(device.clone());
                });
            }
            Principal::Device(_) | Principal::Anyone => {
                self.note(|news| news.several = Several::Came);
            }
        }
    }
}

/// The properties of a letter for MQTT 5 subscribers.
pub(crate) fn properties(letter: &Letter<'_>) -> Vec<u8> {
    const CONTENT_TYPE: u8 = 0x03;
    const RESPONSE_TOPIC: u8 = 0x08;
    const CORRELATION_DATA: u8 = 0x09;
    let mut bytes = Vec::new();
    let mut push = |property: u8, value: &str| {
        // What is longer is cut where MQTT's length ends: no topic is, and no type of content.
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        bytes.push(property);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&value.as_bytes()[..length.into()]);
    };
    if let Some(content_type) = letter.content_type {
        push(CONTENT_TYPE, content_type);
    }
    if let Some(topic) = letter.response_topic {
        push(RESPONSE_TOPIC, topic);
        push(CORRELATION_DATA, &format!("{:032x}", letter.id));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_told_of_once_with_all_that_happened() {
        let letters = Letters::default();
        letters.sent(1, QoS::AtLeastOnce);
        letters.sent(1, QoS::AtLeastOnce);
        letters.signed(1);
        letters.sent(2, QoS::AtMostOnce);
        let news = letters.take();
        let first = Progress { n_sent: 2, qos: QoS::AtLeastOnce, receipt: Signed::Yes };
        let second = Progress { n_sent: 1, qos: QoS::AtMostOnce, receipt: Signed::NotYet };
        assert_eq!(news.letters, BTreeMap::from([(1, first), (2, second)]));
        assert_eq!(letters.take(), News::default());
    }

    #[tokio::test]
    async fn who_waits_hears_of_who_came() {
        let letters = Letters::default();
        let coming = async {
            tokio::task::yield_now().await;
            letters.came(&Grant::everything());
        };
        let ((), ()) = tokio::join!(letters.changed(), coming);
        assert_eq!(letters.take().several, Several::Came);
    }
}
