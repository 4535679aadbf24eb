//! `quarantine`: payloads that could not be read, as they came.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::{DeviceId, Quarantined, RejectReason};
use serde::Serialize;

use crate::app::App;
use crate::auth::within::Within;
use crate::base64;
use crate::links::paged;
use crate::params::Params;
use crate::ports::QuarantineQuery;
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

/// How much of a payload is shown, in bytes.
const SHOWN_MAX: usize = 16 * 1024;
/// How many are shown if the client does not say: payloads may be long.
const LIMIT_DEFAULT: usize = 100;

#[derive(Serialize)]
struct Row<'a> {
    id: String,
    received_at: Rfc3339,
    device: Option<&'a str>,
    topic: &'a str,
    reason: &'static str,
    detail: &'a str,
    payload_bytes: usize,
    /// The payload where it is text, up to 16 KiB; else absent.
    payload: Option<&'a str>,
    /// The payload in base64 where it is no text, up to 16 KiB.
    payload_base64: Option<String>,
}

/// `GET quarantine?device&reason&topic&from&to&limit&cursor`: latest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    within: Within,
    uri: Uri,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Quarantine<'a> {
        quarantine: Vec<Row<'a>>,
        next: Option<&'a str>,
    }
    let known = ["device", "reason", "topic", "from", "to", "limit", "cursor"];
    let params = Params::read(&uri, &known)?;
    let limit = params.limit()?;
    let query = QuarantineQuery {
        device: params.parsed("device", "a device's name", |text| DeviceId::new(text).ok())?,
        reason: params.parsed("reason", "a reason, as `bad_json`", RejectReason::from_label)?,
        topic: params.text("topic").map(ToOwned::to_owned),
        from: params.time("from")?,
        to: params.time("to")?,
        places: None,
        limit: params.text("limit").map_or(LIMIT_DEFAULT, |_| limit),
        after: params.page()?,
    };
    let page = app.history(|history| history.quarantine(query)).await?;
    let shown = page.rows.iter().filter(|it| is_shown(&within, it.device.as_ref()));
    let quarantine = shown.map(row).collect();
    let next = page.next.as_deref();
    Ok(paged(Json(Quarantine { quarantine, next }).into_response(), next))
}

/// Of which device a payload is, is not always known: then it is for those who see everything.
fn is_shown(within: &Within, device: Option<&DeviceId>) -> bool {
    within.is_everything() || device.is_some_and(|device| within.has(device))
}

fn row(it: &Quarantined) -> Row<'_> {
    let shown = &it.payload[..it.payload.len().min(SHOWN_MAX)];
    let payload = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        // A letter that the cut went through does not make it binary.
        Err(error) if error.error_len().is_none() && shown.len() < it.payload.len() => {
            std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    Row {
        id: format!("{}-{}", it.position, it.ordinal),
        received_at: Rfc3339(it.received_at),
        device: it.device.as_ref().map(DeviceId::as_str),
        topic: &it.topic,
        reason: it.reason.label(),
        detail: &it.detail,
        payload_bytes: it.payload.len(),
        payload_base64: payload.is_none().then(|| base64::encode(shown)),
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let it = Quarantined {
            position: bellwire_model::LogPosition(3),
            ordinal: 1,
            received_at: bellwire_model::Timestamp::EPOCH,
            device: None,
            topic: "t".into(),
            payload: format!("{}ü", "x".repeat(SHOWN_MAX - 1)).into_bytes().into(),
            reason: bellwire_model::RejectReason::BadJson,
            detail: "d".into(),
            kept: None,
        };
        let row = row(&it);
        assert_eq!(row.payload.map(str::len), Some(SHOWN_MAX - 1));
        assert_eq!(row.payload_base64, None);
        assert_eq!(row.id, "3-1");
    }
}
