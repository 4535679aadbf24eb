//! An operator's screen: follows the live feed over a real WebSocket and notes when each
//! transition arrives.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bellwire_fleet::{Histogram, PublishedLog};
use bellwire_model::{DeviceId, Timestamp};
use chrono::DateTime;
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
}

/// What a screen has seen so far; shared with whoever watches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSeen(Arc<Mutex<Seen>>);

impl SharedSeen {
    /// A copy of it.
    #[must_use]
    pub(crate) fn get(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, arrived: Instant, frame: &Frame, published: &PublishedLog) {
        let at = frame.at.as_deref().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        let device = frame.alert.as_ref().and_then(|alert| DeviceId::new(&alert.device).ok());
        let sent = device.zip(at).and_then(|(device, at)| {
            published.by_time(&device, Timestamp::from_micros(at.timestamp_micros()))
        });
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.transitions += 1;
        if let Some(sent) = sent {
            seen.latency.record(arrived - sent.sent_at);
        }
    }
}

#[derive(Deserialize)]
struct Frame {
    r#type: String,
    at: Option<String>,
    alert: Option<FrameAlert>,
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
        let arrived = Instant::now();
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
