//! `GET /api/v1/live/events`: the live feed as server-sent events, for what has no WebSocket.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::app::App;
use crate::live::client::Subscriber;
use crate::live::frames::{self, Frame};
use crate::live::resume::{CatchUp, Claim, Step};
use crate::live::websocket::{join, subscribe};
use crate::metrics::{Counted, Ended, Transport};
use crate::params::Params;
use crate::problem::Problem;
use crate::server::Permit;

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    Extension(permit): Extension<Permit>,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["cursor", "devices"])?;
    // A browser that reconnects repeats the URL, and says here what it has seen since.
    let last = headers.get("last-event-id").map(|last| last.to_str().unwrap_or("unreadable"));
    let claim = Claim::read(last.filter(|last| !last.is_empty()).or(params.text("cursor")));
    let mut subscriber = join(&app)?;
    subscribe(&mut subscriber, &app, params.text("devices"))?;
    let period = Duration::from_millis(app.config.live.heartbeat_interval_ms.get());
    let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events {
        catch_up: Some(CatchUp::new(claim, &subscriber)),
        subscriber,
        heartbeat,
        over: false,
        _held: (permit, Counted::new(&app.metrics.live, Transport::Events)),
        app,
    };
    let body = stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok::<_, Infallible>(chunk), events))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would gather events otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

struct Events {
    app: Arc<App>,
    subscriber: Subscriber,
    catch_up: Option<CatchUp>,
    heartbeat: Interval,
    over: bool,
    _held: (Permit, Counted),
}

impl Events {
    /// The next piece of the stream; `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let mut text = String::new();
        if let Some(mut catch_up) = self.catch_up.take() {
            match catch_up.step(&mut self.subscriber, &self.app).await {
                Step::Missed(frames) => {
                    self.catch_up = Some(catch_up);
                    self.write(&mut text, &frames);
                }
                Step::Snapshot(snapshot) => {
                    // Its cursor too: a client that loses the stream now has seen all before it.
                    let cursor = snapshot.cursor();
                    writeln!(text, "id: {cursor}").expect("a string takes everything");
                    put(&mut text, "snapshot", &snapshot.text(self.subscriber.hub()));
                }
            }
            return Some(text.into());
        }
        loop {
            let Ok(waiting) = self.subscriber.take() else { return Some(self.end(Ended::Slow)) };
            if !waiting.frames.is_empty() {
                self.write(&mut text, &waiting.frames);
                return Some(text.into());
            }
            tokio::select! {
                biased;
                () = self.app.closing.cancelled() => return Some(self.end(Ended::Shutdown)),
                _ = self.heartbeat.tick() => {
                    self.app.metrics.live.heartbeats_sent.inc();
                    put(&mut text, "heartbeat", &frames::heartbeat(self.subscriber.hub().now()));
                    return Some(text.into());
                }
                () = self.subscriber.woken() => {}
            }
        }
    }

    fn write(&self, text: &mut String, frames: &[Frame]) {
        let live = &self.app.metrics.live;
        for frame in frames {
            match frame {
                Frame::Transition(entry) => {
                    live.transitions_sent.inc();
                    let cursor = entry.place.after().cursor(self.subscriber.hub().log());
                    writeln!(text, "id: {cursor}").expect("a string takes everything");
                    put(text, "transition", &entry.text);
                }
                Frame::Reading(reading) => {
                    live.readings_sent.inc();
                    put(text, "reading", reading.text());
                }
            }
        }
    }

    /// The last event: why the stream ends. The browser comes back by itself.
    fn end(&mut self, ended: Ended) -> Bytes {
        self.over = true;
        self.app.metrics.live.ended(ended).inc();
        let detail = "come back with your cursor";
        let mut text = String::new();
        put(&mut text, "error", &frames::error(ended.label(), detail));
        text.into()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.over {
            self.app.metrics.live.ended(Ended::Left).inc();
        }
    }
}

/// Writes one event. JSON has no line ends outside strings, nor unescaped ones inside.
fn put(text: &mut String, kind: &str, json: &str) {
    write!(text, "event: {kind}\ndata: {json}\n\n").expect("a string takes everything");
}
