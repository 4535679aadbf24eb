//! `GET /api/v1/live/poll`: the live feed by long polling, for what can do nothing better.
//!
//! Without a cursor it answers at once with the snapshot; with one it answers as soon as there is
//! a transition after it, or with none after `wait`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::Cursor;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::auth::Who;
use crate::auth::vigil::Vigil;
use crate::gzip::takes_gzip;
use crate::live::client::Subscriber;
use crate::live::deflate;
use crate::live::encoded::Encoded;
use crate::live::frames::Frame;
use crate::live::message::PARAMETERS;
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
/// The most transitions in one answer, and as many as there are if the client does not say; the next poll
/// gets the rest.
pub(crate) const LIMIT_MAX: usize = 1_000;
/// Shorter answers are not compressed.
const GZIP_BYTES_MIN: usize = 1_024;

#[derive(Serialize)]
struct Answer {
    cursor: Text<Cursor>,
    frames: Vec<Box<RawValue>>,
}

pub(crate) async fn poll(
    State(app): State<Arc<App>>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &[&PARAMETERS[..], &["wait", "limit"]].concat())?;
    let wait = params
        .parsed("wait", "from 1s to 60s", |text| duration(text).filter(|wait| *wait <= WAIT_MAX))?;
    let limit = params.parsed("limit", "a whole number from 1 to 1000", |text| {
        text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
    })?;
    let limit = limit.unwrap_or(LIMIT_MAX);
    let mut subscriber = join(&app, &who, &params)?;
    let _counted = Counted::new(&app.metrics.live, Transport::Poll);
    let claim = Claim::read(params.text("cursor"));
    let mut heard = missed(claim, &mut subscriber, &app, limit).await;
    if heard.is_empty() {
        let wait = wait.unwrap_or(WAIT_DEFAULT);
        let mut vigil = Vigil::over(&app, &who);
        let frames = tokio::select! {
            frames = tokio::time::timeout(wait, next(&mut subscriber, &app)) => frames,
            // Who asks again is asked again who they are.
            () = vigil.ended() => Ok(Vec::new()),
        };
        heard.extend(frames.unwrap_or_default().into_iter().map(Heard::Frame));
    }
    let last = cut(&mut heard, limit);
    let frames: Vec<Box<RawValue>> = heard.iter().map(Heard::json).collect();
    for frame in &heard {
        if let Heard::Frame(frame) = frame {
            app.metrics.live.sent(std::slice::from_ref(frame));
        }
    }
    let answer = Answer { cursor: Text(last.unwrap_or_else(|| subscriber.cursor())), frames };
    app.metrics.live.ended(Ended::Left).inc();
    Ok(respond(&answer, &headers))
}

/// The answer; compressed if the client asks for that and it is worth it.
fn respond(answer: &Answer, headers: &HeaderMap) -> Response {
    let text = serde_json::to_vec(answer).expect("frames and a cursor always serialize");
    let is_gzip = text.len() >= GZIP_BYTES_MIN && takes_gzip(headers);
    let text = if is_gzip { deflate::gzip(&text) } else { text };
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// What an answer tells.
enum Heard {
    Frame(Frame),
    Snapshot(Arc<Encoded>),
}

impl Heard {
    fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Frame(frame) => frame.cursor(),
            // It is the last one, if there is one.
            Self::Snapshot(_) => None,
        }
    }

    fn json(&self) -> Box<RawValue> {
        let frame = match self {
            Self::Frame(frame) => frame.encoded(),
            Self::Snapshot(frame) => frame,
        };
        RawValue::from_string(frame.text().to_owned()).expect("frames are JSON")
    }
}

/// Leaves the transitions beyond `limit` for the next poll. Then the cursor of the last that stays says how
/// far this one came. Readings, of which a poll tells as they come, stay.
fn cut(heard: &mut Vec<Heard>, limit: usize) -> Option<Cursor> {
    let (mut n_kept, mut last, mut is_cut) = (0, None, false);
    heard.retain(|it| {
        let Some(cursor) = it.cursor() else { return true };
        is_cut |= n_kept == limit;
        if is_cut {
            return false;
        }
        n_kept += 1;
        last = Some(cursor);
        true
    });
    last.filter(|_| is_cut)
}

/// What the client missed, or the snapshot if it cannot go on from its cursor.
async fn missed(claim: Claim, subscriber: &mut Subscriber, app: &App, limit: usize) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut catch_up = CatchUp::new(claim, subscriber);
    loop {
        match catch_up.step(subscriber, app).await {
            Step::Missed(frames) => {
                heard.extend(frames.into_iter().map(Heard::Frame));
                if heard.len() > limit {
                    return heard;
                }
            }
            Step::Snapshot(snapshot) => {
                if !snapshot.resumed() {
                    let frame = snapshot.frame(subscriber.hub(), subscriber.filter());
                    heard.push(Heard::Snapshot(frame));
                }
                return heard;
            }
        }
    }
}

/// The next frames; none if the service stops or the client was overrun meanwhile. Who is here is
/// no news for a poll: asking makes it so.
async fn next(subscriber: &mut Subscriber, app: &App) -> Vec<Frame> {
    loop {
        let Ok(waiting) = subscriber.take() else { return Vec::new() };
        let mut frames = waiting.frames;
        frames.retain(|frame| !matches!(frame, Frame::Operators(_)));
        if !frames.is_empty() {
            subscriber.delivered(&frames);
            return frames;
        }
        tokio::select! {
            () = app.closing.cancelled() => return Vec::new(),
            () = std::future::ready(()), if waiting.more => {}
            () = subscriber.woken(), if !waiting.more => {}
        }
    }
}
