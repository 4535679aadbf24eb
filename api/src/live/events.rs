//! `GET /api/v1/live/events`: the live feed as server-sent events, for what has no WebSocket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::app::App;
use crate::auth::Who;
use crate::auth::vigil::Vigil;
use crate::gzip::takes_gzip;
use crate::live::client::Subscriber;
use crate::live::deflate::GzipStream;
use crate::live::encoded::{Encoded, EventStream};
use crate::live::frames::{self, Frame};
use crate::live::message::PARAMETERS;
use crate::live::resume::{CatchUp, Claim, Step};
use crate::live::websocket::join;
use crate::metrics::{Counted, Ended, Transport};
use crate::params::Params;
use crate::problem::Problem;
use crate::server::Permit;

/// How long a browser is to wait before it comes back, in milliseconds. // HTML, 9.2.6
const RETRY: &str = "retry: 1000\n\n";

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    who: Who,
    uri: Uri,
    headers: HeaderMap,
    Extension(permit): Extension<Permit>,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &PARAMETERS)?;
    // A browser that reconnects repeats the URL, and says here what it has seen since.
    let last = headers.get("last-event-id").map(|last| last.to_str().unwrap_or("unreadable"));
    let claim = Claim::read(last.filter(|last| !last.is_empty()).or(params.text("cursor")));
    let subscriber = join(&app, &who, &params)?;
    let period = Duration::from_millis(app.config.live.heartbeat_interval_ms.get());
    let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let is_gzip = takes_gzip(&headers);
    let events = Events {
        stage: Stage::CatchingUp(CatchUp::new(claim, &subscriber)),
        subscriber,
        heartbeat,
        vigil: Vigil::over(&app, &who),
        stream: if is_gzip { EventStream::Gzip(GzipStream::new()) } else { EventStream::Plain },
        _held: (permit, Counted::new(&app.metrics.live, Transport::Events)),
        app,
    };
    let body = stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok::<_, Infallible>(chunk), events))
    });
    let mut answer = Body::from_stream(body).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // nginx would gather events otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if is_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(answer)
}

/// Where a stream stands.
#[derive(Debug)]
enum Stage {
    CatchingUp(CatchUp),
    UpToDate,
    /// The last event has been said.
    Ending,
    Over,
}

struct Events {
    app: Arc<App>,
    subscriber: Subscriber,
    stage: Stage,
    heartbeat: Interval,
    vigil: Vigil,
    stream: EventStream,
    _held: (Permit, Counted),
}

impl Events {
    /// The next piece of the stream; `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.stage, Stage::UpToDate) {
            Stage::Over => {
                self.stage = Stage::Over;
                None
            }
            Stage::Ending => {
                self.stage = Stage::Over;
                // An empty piece would be none.
                Some(self.stream.finish()).filter(|rest| !rest.is_empty())
            }
            Stage::CatchingUp(mut catch_up) => {
                match catch_up.step(&mut self.subscriber, &self.app).await {
                    Step::Missed(frames) => {
                        self.stage = Stage::CatchingUp(catch_up);
                        Some(self.chunk(&frames))
                    }
                    Step::Snapshot(snapshot) => {
                        let frame = snapshot.frame(self.subscriber.hub(), self.subscriber.filter());
                        Some(self.stream.chunk([&Encoded::raw_event(RETRY), &frame]))
                    }
                }
            }
            Stage::UpToDate => Some(self.follow().await),
        }
    }

    async fn follow(&mut self) -> Bytes {
        loop {
            let Ok(waiting) = self.subscriber.take() else { return self.end(Ended::Slow) };
            if !waiting.frames.is_empty() {
                let chunk = self.chunk(&waiting.frames);
                self.subscriber.delivered(&waiting.frames);
                return chunk;
            }
            tokio::select! {
                biased;
                () = self.app.closing.cancelled() => return self.end(Ended::Shutdown),
                // Who comes back is asked again who they are.
                () = self.vigil.ended() => return self.leave(),
                _ = self.heartbeat.tick() => {
                    self.app.metrics.live.heartbeats_sent.inc();
                    let now = self.subscriber.hub().now();
                    let heartbeat = frames::heartbeat(now, self.subscriber.cursor());
                    return self.stream.chunk([&heartbeat]);
                }
                () = std::future::ready(()), if waiting.more => {}
                () = self.subscriber.woken(), if !waiting.more => {}
            }
        }
    }

    fn chunk(&mut self, frames: &[Frame]) -> Bytes {
        self.app.metrics.live.sent(frames);
        self.stream.chunk(frames.iter().map(Frame::encoded))
    }

    /// The end without a word.
    fn leave(&mut self) -> Bytes {
        self.stage = Stage::Ending;
        self.app.metrics.live.ended(Ended::Left).inc();
        Bytes::new()
    }

    /// The last event: why the stream ends. The browser comes back by itself.
    fn end(&mut self, ended: Ended) -> Bytes {
        self.stage = Stage::Ending;
        self.app.metrics.live.ended(ended).inc();
        let detail = "come back with your cursor";
        self.stream.chunk([&frames::error(ended.label(), detail)])
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Ending | Stage::Over) {
            self.app.metrics.live.ended(Ended::Left).inc();
        }
    }
}
