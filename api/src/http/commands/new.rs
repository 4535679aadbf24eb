//! `POST devices/{id}/commands`: `{"payload": …}`, and how it is meant.
//!
//! | member | |
//! |---|---|
//! | `payload`, `payload_text` or `payload_base64` | what the device gets: JSON as it stands, text, or bytes; at most 64 KiB |
//! | `content_type` | for MQTT 5; absent: `application/json`, `text/plain`, or none |
//! | `id_as` | the member of a JSON object under which the command's id is added |
//! | `reply` | `expected`, or `none`: then the command is done when the device has it |
//! | `expires_in` | how long it is worth something: `30s`, `1h`, at most `30d`; absent: `1h` |
//! | `author` | who asks |
//!
//! With `Idempotency-Key`, a request that is sent again within a day is the same command.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::{Command, DeviceId, Reply};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::target;
use super::view::CommandView;
use crate::app::App;
use crate::base64;
use crate::changed::{self, Changed, Unchanged};
use crate::http::{Named, body, telemetry};
use crate::params::{Params, duration};
use crate::ports::{Given, NewCommand};
use crate::problem::Problem;

/// How long a command is worth something, if nobody says.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(3_600);
/// The longest that it may be.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 86_400);
/// The longest type of content, and the longest name of a member or of who asks, in bytes.
const TEXT_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    payload_text: Option<String>,
    payload_base64: Option<String>,
    content_type: Option<String>,
    id_as: Option<String>,
    reply: Option<String>,
    expires_in: Option<String>,
    author: Option<String>,
}

/// `POST devices/{id}/commands`: 202 when it is on disk, 200 if the key was used before for the same.
pub(crate) async fn give(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let key = telemetry::key(&headers)?;
    let bytes = body::read_json(&app, &headers, body).await?;
    let request = read(device, key, &bytes)?;
    let (status, command, is_new) = match app.ports.commands.give(request).await? {
        Given::New(command) => (StatusCode::ACCEPTED, command, true),
        Given::Known(command) => (StatusCode::OK, command, false),
    };
    let place = format!("{}/{}", uri.path().trim_end_matches('/'), command.id);
    let mut response = (status, Json(CommandView::of(&command))).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    if !is_new {
        return Ok(Unchanged.noted(response));
    }
    let changed = Changed {
        action: "command.give",
        target: target(&command),
        before: None,
        after: changed::shown(&CommandView::of(&command)),
    };
    Ok(changed.noted(response))
}

fn wrong(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_command", detail)
}

fn read(device: DeviceId, key: Option<String>, bytes: &[u8]) -> Result<NewCommand, Problem> {
    body::is_object(bytes)?;
    let request: Request<'_> = serde_json::from_slice(bytes)
        .map_err(|error| body::invalid(format!("The body is wrong: {error}.")))?;
    let Request { payload, payload_text, payload_base64, id_as, .. } = request;
    let (payload, usual_type) = match (payload, payload_text, payload_base64) {
        (Some(json), None, None) => (json.get().as_bytes().to_vec(), Some("application/json")),
        (None, Some(text), None) => (text.into_bytes(), Some("text/plain")),
        (None, None, Some(text)) => {
            let bytes = base64::decode(&text);
            (bytes.ok_or_else(|| wrong("`payload_base64` is no base64 with padding."))?, None)
        }
        _ => {
            return Err(wrong(
                "Give one of `payload`, `payload_text` and `payload_base64`: what the device gets.",
            ));
        }
    };
    if let Some(member) = &id_as {
        check_member(member, &payload)?;
    }
    // With the id, which is as long as the rest of a member.
    let n_bytes = payload.len() + id_as.as_ref().map_or(0, |member| 2 * member.len() + 64);
    if n_bytes > Command::PAYLOAD_BYTES_MAX {
        let limit = Command::PAYLOAD_BYTES_MAX;
        let detail = format!("The payload has {n_bytes} bytes, at most {limit} are allowed.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "command_too_large", detail));
    }
    let reply = match request.reply.as_deref().map(Reply::from_label) {
        None => Reply::Expected,
        Some(Some(reply)) => reply,
        Some(None) => return Err(wrong("`reply` is `expected` or `none`.")),
    };
    let lifetime = match request.expires_in.as_deref().map(duration) {
        None => LIFETIME_DEFAULT,
        Some(Some(lifetime)) if lifetime <= LIFETIME_MAX => lifetime,
        Some(_) => return Err(wrong("`expires_in` is a time such as `30s`, `1h`, at most `30d`.")),
    };
    let content_type = request.content_type.or(usual_type.map(ToOwned::to_owned));
    check_text("content_type", content_type.as_deref())?;
    check_text("author", request.author.as_deref())?;
    let author = request.author;
    Ok(NewCommand { device, payload, id_as, content_type, reply, author, key, lifetime })
}

/// A text that people and other clients are shown.
fn check_text(name: &str, text: Option<&str>) -> Result<(), Problem> {
    let is_fine = |text: &str| {
        (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
    };
    if text.is_none_or(is_fine) {
        return Ok(());
    }
    Err(wrong(format!("`{name}` has 1 to {TEXT_BYTES_MAX} bytes without control characters.")))
}

/// The id can be added to a JSON object that has no such member.
fn check_member(member: &str, payload: &[u8]) -> Result<(), Problem> {
    check_text("id_as", Some(member))?;
    let object: HashMap<String, IgnoredAny> = serde_json::from_slice(payload)
        .map_err(|_| wrong("`id_as` needs a `payload` that is a JSON object."))?;
    if object.contains_key(member) {
        return Err(wrong(format!(
            "The payload has a member {member:?}: `id_as` must be another."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> Result<NewCommand, &'static str> {
        let device = DeviceId::new("a").expect("valid");
        read(device, None, body.as_bytes()).map_err(|problem| problem.code())
    }

    #[test]
    fn a_payload_is_json_as_it_stands_text_or_bytes() {
        let json = request(r#"{"payload": {"setpoint" : -20.0}}"#).expect("right");
        assert_eq!(json.payload, br#"{"setpoint" : -20.0}"#);
        assert_eq!(json.content_type.as_deref(), Some("application/json"));
        assert_eq!((json.reply, json.lifetime), (Reply::Expected, LIFETIME_DEFAULT));
        let text = request(r#"{"payload_text": "on", "reply": "none"}"#).expect("right");
        assert_eq!((&*text.payload, text.reply), (&b"on"[..], Reply::None));
        let bytes = request(r#"{"payload_base64": "AP8=", "expires_in": "30d"}"#).expect("right");
        assert_eq!((&*bytes.payload, bytes.content_type), (&b"\0\xFF"[..], None));
        let with_id = request(r#"{"payload": {}, "id_as": "id", "author": "anne"}"#);
        assert_eq!(with_id.expect("right").id_as.as_deref(), Some("id"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = format!(r#"{{"payload_text": "{}"}}"#, "x".repeat(65_537));
        for (body, code) in [
            ("", "invalid_body"),
            ("[1]", "invalid_body"),
            (r#"{"payload": 1, "retain": true}"#, "invalid_body"),
            ("{}", "invalid_command"),
            (r#"{"payload": 1, "payload_text": "1"}"#, "invalid_command"),
            (r#"{"payload_base64": "?"}"#, "invalid_command"),
            (r#"{"payload": 1, "reply": "maybe"}"#, "invalid_command"),
            (r#"{"payload": 1, "expires_in": "31d"}"#, "invalid_command"),
            (r#"{"payload": 1, "expires_in": 60}"#, "invalid_body"),
            (r#"{"payload": 1, "author": "a\u0000"}"#, "invalid_command"),
            (r#"{"payload": [1], "id_as": "id"}"#, "invalid_command"),
            (r#"{"payload": {"id": 1}, "id_as": "id"}"#, "invalid_command"),
            (&*long, "command_too_large"),
        ] {
            let shown: String = body.chars().take(60).collect();
            assert_eq!(request(body).expect_err(&shown), code, "{shown}");
        }
    }
}
