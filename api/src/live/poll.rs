//! `GET /api/v1/live/poll`: the live feed by long polling, for what can do nothing better.
//!
//! Without a cursor it answers at once with the snapshot; with one it answers as soon as there is
//! a transition after it, or with none after `wait`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::Cursor;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::live::client::Subscriber;
use crate::live::frames::Frame;
use crate::live::resume::{CatchUp, Claim, Step};
use crate::live::websocket::join;
use crate::metrics::{Counted, Ended, Transport};
use crate::params::{Params, duration};
use crate::problem::Problem;
use crate::views::Text;

/// How long an answer may take.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long it takes if the client does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(25);
/// The most missed transitions in one answer; the next poll gets the rest.
const FRAMES_MAX: usize = 1_000;

#[derive(Serialize)]
struct Answer {
    cursor: Text<Cursor>,
    frames: Vec<Box<RawValue>>,
}

pub(crate) async fn poll(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["cursor", "wait"])?;
    let wait = params
        .parsed("wait", "from 1s to 60s", |text| duration(text).filter(|wait| *wait <= WAIT_MAX))?;
    let mut subscriber = join(&app)?;
    let _counted = Counted::new(&app.metrics.live, Transport::Poll);
    let claim = Claim::read(params.text("cursor"));
    let start = if let Claim::Seen(cursor) = claim { Some(cursor) } else { None };
    let mut texts = missed(claim, &mut subscriber, &app).await;
    if texts.is_empty() {
        let wait = wait.unwrap_or(WAIT_DEFAULT);
        let frames = tokio::time::timeout(wait, next(&mut subscriber, &app)).await;
        texts.extend(frames.unwrap_or_default().iter().map(Frame::text));
    }
    let frames: Vec<Box<RawValue>> = texts
        .iter()
        .map(|text| RawValue::from_string(text.to_string()).expect("frames are JSON"))
        .collect();
    // The cursor is in the last frame: read it there, since it is what the client has seen.
    let cursor = texts.last().and_then(|text| cursor_of(text)).or(start);
    let cursor = Text(cursor.unwrap_or_else(|| app.hub.with_feed(crate::live::feed::Feed::cursor)));
    app.metrics.live.ended(Ended::Left).inc();
    Ok(Json(Answer { cursor, frames }).into_response())
}

/// What the client missed, or the snapshot if it cannot go on from its cursor.
async fn missed(
    claim: Claim,
    subscriber: &mut Subscriber,
    app: &App,
) -> Vec<axum::extract::ws::Utf8Bytes> {
    let mut texts = Vec::new();
    let mut catch_up = CatchUp::new(claim, subscriber);
    loop {
        match catch_up.step(subscriber, app).await {
            Step::Missed(frames) => {
                texts.extend(frames.iter().map(Frame::text));
                if texts.len() >= FRAMES_MAX {
                    texts.truncate(FRAMES_MAX);
                    app.metrics.live.transitions_sent.inc_by(FRAMES_MAX as u64);
                    return texts;
                }
            }
            Step::Snapshot(snapshot) => {
                app.metrics.live.transitions_sent.inc_by(texts.len() as u64);
                if !snapshot.resumed() {
                    texts.push(snapshot.text(subscriber.hub()));
                }
                return texts;
            }
        }
    }
}

/// The next transitions; none if the service stops or the client was overrun meanwhile.
async fn next(subscriber: &mut Subscriber, app: &App) -> Vec<Frame> {
    loop {
        match subscriber.take() {
            Ok(waiting) if waiting.frames.is_empty() => {}
            Ok(waiting) => {
                app.metrics.live.transitions_sent.inc_by(waiting.frames.len() as u64);
                return waiting.frames;
            }
            Err(_) => return Vec::new(),
        }
        tokio::select! {
            () = app.closing.cancelled() => return Vec::new(),
            () = subscriber.woken() => {}
        }
    }
}

/// The cursor in a frame's text.
fn cursor_of(text: &str) -> Option<Cursor> {
    #[derive(serde::Deserialize)]
    struct Has {
        cursor: String,
    }
    serde_json::from_str::<Has>(text).ok()?.cursor.parse().ok()
}
