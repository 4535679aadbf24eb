//! `POST telemetry`: readings of devices that cannot speak MQTT.
//!
//! `{"device": "oven-1", "telemetry": {"temperature": 21.5}}`, or an array of such. What stands under
//! `telemetry` is what the device would publish on `devices/{device}/telemetry`, and goes the same way: an
//! answer of 202 says that it is on disk; it is counted, decoded, quarantined and judged behind it.
//! With `Idempotency-Key`, a request that is sent again counts as a repetition of the first.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::DeviceId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::{App, no_such_device};
use crate::auth::within::Within;
use crate::http::body;
use crate::params::Params;
use crate::ports::{Post, Posts, TelemetryError};
use crate::problem::Problem;

/// The most posts in a request: packet identifiers of the log stand for their order.
const POSTS_MAX: usize = 10_000;
/// The longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 200;

#[derive(Deserialize)]
struct Item<'a> {
    device: String,
    #[serde(borrow)]
    telemetry: &'a RawValue,
}

/// The answer.
#[derive(Serialize)]
struct Accepted {
    accepted: usize,
}

/// `POST telemetry`.
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let key = key(&headers)?;
    let bytes = body::read_json(&app, &headers, body).await?;
    let posts = posts(&bytes)?;
    if let Some(post) = posts.iter().find(|post| !within.has(&post.device)) {
        return Err(no_such_device(post.device.as_str()));
    }
    let accepted = posts.len();
    app.ports.telemetry.take(Posts { key, posts }).await.map_err(|error| match error {
        TelemetryError::Later => Problem::later(
            "log_full",
            "There was no room for it in time. Send it again: with the same `Idempotency-Key`, and it \
             will count once.",
            1,
        ),
        TelemetryError::Refused => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "telemetry_too_large",
            "It is more than a record of the log takes: send less at once.",
        ),
    })?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { accepted })).into_response())
}

/// The client's name for the request.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim);
    let is_key = |key: &&str| {
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    };
    let key = key.filter(is_key);
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        let detail =
            format!("`Idempotency-Key` has 1 to {KEY_BYTES_MAX} visible characters of ASCII.");
        Problem::bad_request("invalid_idempotency_key", detail)
    })
}

fn posts(bytes: &[u8]) -> Result<Vec<Post>, Problem> {
    let shape = "write {\"device\": …, \"telemetry\": {…}}, or an array of such";
    let are_many = bytes.trim_ascii_start().first() == Some(&b'[');
    let items: Result<Vec<Item<'_>>, _> = if are_many {
        serde_json::from_slice(bytes)
    } else {
        serde_json::from_slice(bytes).map(|one| vec![one])
    };
    let items = items.map_err(|error| {
        body::invalid(format!("The body is not as expected ({error}): {shape}."))
    })?;
    if !(1..=POSTS_MAX).contains(&items.len()) {
        let detail = format!("A request has 1 to {POSTS_MAX} posts, not {}.", items.len());
        return Err(body::invalid(detail));
    }
    let post = |(index, Item { device, telemetry }): (usize, Item<'_>)| {
        let device = DeviceId::new(&device).map_err(|error| {
            let shown: String = device.chars().take(256).collect();
            let detail = format!("Post {index}: {shown:?} is no device: {error}.");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_device", detail)
        })?;
        Ok(Post { device, payload: telemetry.get().as_bytes().to_vec() })
    };
    items.into_iter().enumerate().map(post).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<(String, String)>, &'static str> {
        let posts = posts(body.as_bytes()).map_err(|problem| problem.code())?;
        let text = |post: Post| {
            (post.device.to_string(), String::from_utf8(post.payload).expect("was text"))
        };
        Ok(posts.into_iter().map(text).collect())
    }

    #[test]
    fn payloads_stay_as_they_came() {
        let one = read(r#"{"device": "a", "telemetry": {"t" : 1.50}}"#);
        assert_eq!(one, Ok(vec![("a".into(), r#"{"t" : 1.50}"#.into())]));
        let many = read(r#"[{"telemetry":[{"t":1}],"device":"a"},{"device":"b","telemetry":"?"}]"#);
        let expected = [("a".into(), "[{\"t\":1}]".into()), ("b".into(), "\"?\"".into())];
        assert_eq!(many, Ok(expected.to_vec()));
    }

    #[test]
    fn what_is_no_telemetry_is_refused_whole() {
        for (body, code) in [
            ("", "invalid_body"),
            ("[]", "invalid_body"),
            ("{}", "invalid_body"),
            (r#"{"device": "a"}"#, "invalid_body"),
            (r#"{"device": "a", "telemetry": {"#, "invalid_body"),
            (r#"{"device": "a/b", "telemetry": {}}"#, "invalid_device"),
            (
                r#"[{"device": "a", "telemetry": {}}, {"device": "", "telemetry": {}}]"#,
                "invalid_device",
            ),
        ] {
            assert_eq!(read(body), Err(code), "{body}");
        }
    }
}
