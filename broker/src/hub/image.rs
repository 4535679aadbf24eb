//! The sessions that outlive connections and the retained messages, written down whole and read back,
//! and the changes since then made again from the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwire_model::{ClientId, QoS, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Hub;
use crate::flow::{Durability, Flow, Seq, Stage};
use crate::ops::{self, Effects, Op, Target, WireMessage, WireOptions};
use crate::outbox::{Lifetime, Outbox};
use crate::retained::Retained;
use crate::share::Filter;

/// What an image begins with: another one is from another version.
const VERSION: u8 = 1;
/// Topics about the service itself, which are never written down.
const OWN_TOPICS: &str = "$SYS/";

/// Bytes that are no image, or no changes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// Another version wrote it.
    #[error("version {0} of the sessions' image is unknown")]
    Version(u8),
    /// It is damaged.
    #[error("the sessions' image or changes cannot be read")]
    Damaged(#[from] postcard::Error),
    /// A text in it is not what it should be.
    #[error("the sessions' image has an invalid name")]
    Name,
}

#[derive(Debug, Serialize, Deserialize)]
struct Image<'a> {
    next_id: u64,
    #[serde(borrow)]
    sessions: Vec<SessionImage<'a>>,
    retained: Vec<(WireMessage<'a>, u8)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SessionImage<'a> {
    number: u64,
    client: String,
    expiry_s: u32,
    left_at: Option<i64>,
    filters: Vec<(String, WireOptions)>,
    last_seq: u64,
    reserved: Vec<u64>,
    /// A message, or none once it is released.
    #[serde(borrow)]
    sent: Vec<(u64, Option<WireOutgoing<'a>>)>,
    waiting: Vec<(u64, WireOutgoing<'a>)>,
    unreleased: Vec<u16>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireOutgoing<'a> {
    #[serde(borrow)]
    message: WireMessage<'a>,
    target: Target,
}

impl WireOutgoing<'_> {
    fn read(&self) -> Result<crate::message::Outgoing, ImageError> {
        let outgoing = self.target.clone().outgoing(self.message.message());
        outgoing.map(|(_, _, outgoing)| outgoing).ok_or(ImageError::Name)
    }
}

fn write_outgoing(seq: u64, outgoing: &crate::message::Outgoing) -> WireOutgoing<'static> {
    WireOutgoing {
        message: WireMessage::of(&outgoing.message).into_owned(),
        target: Target::new(0, Seq(seq), outgoing),
    }
}

fn write_session(outbox: &Outbox) -> SessionImage<'static> {
    outbox.with(|state| {
        let flow = state.flow.image();
        let sent = flow.sent.iter().map(|(seq, stage)| match stage {
            Stage::Published(outgoing) => (*seq, Some(write_outgoing(*seq, outgoing))),
            Stage::Released(_) => (*seq, None),
        });
        let waiting = flow.waiting.iter().map(|(seq, it)| (*seq, write_outgoing(*seq, it)));
        let filters = state.filters.iter();
        SessionImage {
            number: outbox.number,
            client: outbox.client.as_str().to_owned(),
            expiry_s: state.lifetime.expiry_s(),
            left_at: state.left_at.map(Timestamp::as_micros),
            filters: filters
                .map(|(it, options)| (it.as_str().to_owned(), (*options).into()))
                .collect(),
            last_seq: flow.last_seq,
            reserved: flow.reserved.clone(),
            sent: sent.collect(),
            waiting: waiting.collect(),
            unreleased: flow.unreleased.clone(),
        }
    })
}

impl Hub {
    /// Everything that outlives connections, as bytes. Others go on meanwhile: the changes that are
    /// in the log from before this call on must be made again over it.
    pub(crate) fn image(&self) -> Vec<u8> {
        let kept: Vec<Arc<Outbox>> = self.registry().kept.values().map(Arc::clone).collect();
        let sessions = kept.iter().map(|outbox| write_session(outbox)).collect();
        let retained: Vec<Retained> = self.retained().iter().cloned().collect();
        let retained = retained.iter().filter(|it| !it.message.topic().starts_with(OWN_TOPICS));
        let retained = retained.map(|it| (WireMessage::of(&it.message), it.qos as u8)).collect();
        let image = Image { next_id: self.next_id.load(Ordering::Relaxed), sessions, retained };
        postcard::to_extend(&image, vec![VERSION]).expect("a buffer in memory takes everything")
    }

    /// Puts an image in place; there is nothing else yet.
    ///
    /// # Errors
    /// [`ImageError`] if it is none.
    pub(crate) fn restore(&self, bytes: &[u8]) -> Result<(), ImageError> {
        let Some((&version, bytes)) = bytes.split_first() else { return Ok(()) };
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        let image: Image<'_> = postcard::from_bytes(bytes)?;
        self.next_id.fetch_max(image.next_id, Ordering::Relaxed);
        for session in image.sessions {
            self.restore_session(session)?;
        }
        for (message, qos) in image.retained {
            self.restore_retained(&message, qos);
        }
        Ok(())
    }

    fn restore_session(&self, image: SessionImage<'_>) -> Result<(), ImageError> {
        let client = ClientId::new(&image.client).map_err(|_| ImageError::Name)?;
        let mut sent = Vec::new();
        for (seq, outgoing) in &image.sent {
            let stage = outgoing.as_ref().map(|it| it.read().map(Stage::Published)).transpose()?;
            sent.push((*seq, stage.unwrap_or(Stage::Released(Durability::Durable))));
        }
        let waiting = image.waiting.iter().map(|(seq, it)| Ok((*seq, it.read()?)));
        let waiting = waiting.collect::<Result<_, ImageError>>()?;
        let flow = Flow::restore(image.last_seq, image.reserved, sent, waiting, image.unreleased);
        let outbox = self.put_back(image.number, client, image.expiry_s, flow);
        outbox.with(|state| state.left_at = image.left_at.map(Timestamp::from_micros));
        for (filter, options) in &image.filters {
            self.replay_subscribe(&outbox, filter, *options);
        }
        Ok(())
    }

    fn restore_retained(&self, message: &WireMessage<'_>, qos: u8) {
        let qos = QoS::from_bits(qos).unwrap_or(QoS::AtMostOnce);
        let retained = Retained { message: message.message(), qos };
        // The bound may have been lowered since.
        if self.retained().put(retained, self.retain_limits).is_err() {
            self.metrics.retained_refused.inc();
        }
    }

    fn put_back(&self, number: u64, client: ClientId, expiry_s: u32, flow: Flow) -> Arc<Outbox> {
        let lifetime = Lifetime::from_expiry(expiry_s);
        let outbox = Outbox::new(number, client.clone(), self.flow_limits, lifetime, flow);
        let outbox = Arc::new(outbox);
        self.next_id.fetch_max(number + 1, Ordering::Relaxed);
        let mut registry = self.registry();
        registry.kept.insert(number, Arc::clone(&outbox));
        registry.sessions.insert(client, Arc::clone(&outbox));
        outbox
    }

    /// Makes changes again that the log has.
    ///
    /// # Errors
    /// [`ImageError`] if the bytes are no changes.
    pub(crate) fn replay(&self, bytes: &[u8]) -> Result<(), ImageError> {
        Ok(ops::read(bytes, |op| self.replay_one(op))?)
    }

    fn kept(&self, number: u64) -> Option<Arc<Outbox>> {
        self.registry().kept.get(&number).map(Arc::clone)
    }

    fn replay_one(&self, op: Op<'_>) {
        match op {
            Op::Begin { number, client, expiry_s } => self.replay_begin(number, client, expiry_s),
            Op::End { number } => {
                if let Some(outbox) = self.kept(number) {
                    self.replay_end(&outbox);
                }
            }
            Op::Message { message, targets } => self.replay_message(&message, targets),
            Op::Retain { message, qos } => self.restore_retained(&message, qos),
            Op::Lifetime { number, .. }
            | Op::Left { number, .. }
            | Op::Subscribe { number, .. }
            | Op::Unsubscribe { number, .. }
            | Op::Over { number, .. }
            | Op::Released { number, .. }
            | Op::Take { number, .. }
            | Op::Give { number, .. } => {
                // Of a session that is over by now, if there is none.
                if let Some(outbox) = self.kept(number) {
                    self.replay_within(&outbox, op);
                }
            }
        }
    }

    fn replay_within(&self, outbox: &Arc<Outbox>, op: Op<'_>) {
        match op {
            Op::Lifetime { expiry_s, .. } => outbox.with(|state| {
                state.lifetime = Lifetime::from_expiry(expiry_s);
                state.left_at = None;
            }),
            Op::Left { at, .. } => {
                outbox.with(|state| state.left_at = Some(Timestamp::from_micros(at)));
            }
            Op::Subscribe { filter, options, .. } => self.replay_subscribe(outbox, filter, options),
            Op::Unsubscribe { filter, .. } => {
                self.unsubscribe(outbox, filter, &mut Effects::default());
            }
            Op::Over { seq, .. } => outbox.with(|state| state.flow.forget(Seq(seq))),
            Op::Released { seq, .. } => outbox.with(|state| state.flow.release(Seq(seq))),
            Op::Take { packet_id, .. } => outbox.with(|state| {
                state.flow.take(packet_id);
                state.flow.taken_durably(packet_id);
            }),
            Op::Give { packet_id, .. } => {
                outbox.with(|state| state.flow.give(packet_id));
            }
            Op::Begin { .. } | Op::End { .. } | Op::Message { .. } | Op::Retain { .. } => {}
        }
    }

    fn replay_begin(&self, number: u64, client: &str, expiry_s: u32) {
        let Ok(client) = ClientId::new(client) else {
            warn!("A session in the log belongs to no valid client; it is left out.");
            return;
        };
        let known = self.registry().sessions.get(&client).map(Arc::clone);
        match known {
            // The image has it, or one that came after it.
            Some(known) if known.number >= number => return,
            Some(known) => self.replay_end(&known),
            None => {}
        }
        self.put_back(number, client, expiry_s, Flow::default());
    }

    fn replay_end(&self, outbox: &Arc<Outbox>) {
        let mut registry = self.registry();
        registry.kept.remove(&outbox.number);
        if registry.sessions.get(&outbox.client).is_some_and(|it| it.number == outbox.number) {
            registry.sessions.remove(&outbox.client);
        }
        drop(registry);
        // What it had of shared subscriptions was passed on then, and is in the log.
        let (filters, _) = outbox.end();
        for (filter, _) in &filters {
            self.remove(outbox.number, filter);
        }
    }

    fn replay_subscribe(&self, outbox: &Arc<Outbox>, filter: &str, options: WireOptions) {
        let Ok(filter) = Filter::new(filter) else {
            warn!("A subscription in the log is no valid filter; it is left out.");
            return;
        };
        outbox.with(|state| match state.filters.iter_mut().find(|(it, _)| *it == filter) {
            Some(known) => known.1 = options.into(),
            None => state.filters.push((filter.clone(), options.into())),
        });
        self.insert(outbox, &filter, options.into());
    }

    fn replay_message(&self, message: &WireMessage<'_>, targets: Vec<Target>) {
        let message = message.message();
        for target in targets {
            if let Some((number, seq, outgoing)) = target.outgoing(Arc::clone(&message))
                && let Some(outbox) = self.kept(number)
            {
                outbox.with(|state| state.flow.replay(seq, outgoing));
            }
        }
    }

    /// All changes are made again: from here on connections may come. Sessions whose client was
    /// connected when the service ended are without it from `now` on.
    pub(crate) fn recovered(&self, now: Timestamp) {
        let mut registry = self.registry();
        let kept: Vec<Arc<Outbox>> = registry.kept.values().map(Arc::clone).collect();
        for outbox in &kept {
            let (left_at, lifetime) = outbox.with(|state| {
                state.flow.recovered();
                (*state.left_at.get_or_insert(now), state.lifetime)
            });
            registry.expire_after(outbox.number, lifetime.expiry_s(), left_at);
        }
        registry.count(&self.metrics);
        drop(registry);
        let (n_retained, _) = self.retained().load();
        self.metrics.retained.set(i64::try_from(n_retained).unwrap_or(i64::MAX));
        if !kept.is_empty() || n_retained > 0 {
            info!("Recovered {} sessions and {n_retained} retained messages.", kept.len());
        }
    }
}
