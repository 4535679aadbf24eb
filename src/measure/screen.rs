//! An operator's screen: follows the live feed over a real WebSocket and notes when each
//! transition arrives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bellwire_fleet::{Histogram, PublishedLog};
use bellwire_model::{DeviceId, Timestamp};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// What a screen has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Transitions.
    pub(crate) transitions: u64,
    /// From publish to here, of those whose publish is known.
    pub(crate) latency: Histogram,
    /// The same in steps, each as long as [`STEPS`] says, by the clock that all have in common: only
    /// for clients on the same machine, whose payloads carry the time of their publish.
    pub(crate) steps: [Histogram; STEPS.len()],
}

/// The steps from a publish to a screen, by the times in the transition's frame.
pub(crate) const STEPS: [&str; 5] = ["received", "durable", "judged", "sent", "on the screen"];

/// What a screen has seen so far; shared with whoever watches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSeen(Arc<Mutex<Seen>>);

impl SharedSeen {
    /// A copy of it.
    #[must_use]
    pub(crate) fn get(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, arrived: Arrival, frame: &Frame, published: &PublishedLog) {
        let at = frame.at.map(|Moment(at)| at);
        let device = frame.alert.as_ref().and_then(|alert| DeviceId::new(&alert.device).ok());
        let sent = device.zip(at).and_then(|(device, at)| {
            published.by_time(&device, Timestamp::from_micros(at.timestamp_micros()))
        });
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.transitions += 1;
        if let Some(sent) = sent {
            seen.latency.record(arrived.instant - sent.sent_at);
            for (histogram, step) in seen.steps.iter_mut().zip(frame.steps(arrived.wall)) {
                histogram.record(step);
            }
        }
    }
}

/// When a frame arrived, by both clocks.
#[derive(Clone, Copy)]
struct Arrival {
    instant: Instant,
    wall: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Frame {
    r#type: String,
    at: Option<Moment>,
    times: Option<FrameTimes>,
    alert: Option<FrameAlert>,
}

impl Frame {
    /// How long each of [`STEPS`] took; none if the frame does not say.
    fn steps(&self, arrived: DateTime<Utc>) -> Vec<Duration> {
        let (Some(at), Some(times)) = (self.at, &self.times) else { return Vec::new() };
        let arrived = Some(Moment(arrived));
        let ends = [Some(at), times.received, times.durable, times.judged, times.sent, arrived];
        let Some(ends) = ends.into_iter().collect::<Option<Vec<_>>>() else { return Vec::new() };
        ends.windows(2).map(|pair| (pair[1].0 - pair[0].0).to_std().unwrap_or_default()).collect()
    }
}

/// A time in a frame.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "&str")]
struct Moment(DateTime<Utc>);

impl TryFrom<&str> for Moment {
    type Error = chrono::ParseError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Ok(Self(text.parse()?))
    }
}

#[derive(Deserialize)]
struct FrameTimes {
    received: Option<Moment>,
    durable: Option<Moment>,
    judged: Option<Moment>,
    sent: Option<Moment>,
}

#[derive(Deserialize)]
struct FrameAlert {
    device: String,
}

/// Watches the feed at `host:port` until `stop`; `ready` is called at the first frame.
///
/// # Errors
/// If the feed cannot be reached or ends.
pub(crate) async fn watch(
    address: &str,
    published: Arc<PublishedLog>,
    seen: SharedSeen,
    ready: impl FnOnce() + Send,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let url = format!("ws://{address}/api/v1/live");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.context("the live feed")?;
    let mut ready = Some(ready);
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            message = socket.next() => message,
        };
        let arrived = Arrival { instant: Instant::now(), wall: Utc::now() };
        let Message::Text(text) = message.context("the live feed ended")?? else { continue };
        if let Some(ready) = ready.take() {
            ready();
        }
        let frame: Frame = serde_json::from_str(&text)?;
        if frame.r#type == "transition" {
            seen.note(arrived, &frame, &published);
        }
    }
}
