//! `audit-log`: what people and programs did to the service.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::{AuditDeed, AuditEntry};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::links::paged;
use crate::params::Params;
use crate::ports::{AuditQuery, Extent};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

/// How many are shown if the client does not say: what was changed may be long.
const LIMIT_DEFAULT: usize = 100;
/// The most of them: 128 KiB each at worst.
const LIMIT_MAX: usize = 1_000;

/// A line of the audit log; the field names are stable.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    at: Rfc3339,
    who: &'a str,
    via: &'a str,
    address: Option<std::net::IpAddr>,
    request: Option<&'a str>,
    action: &'a str,
    target: &'a str,
    outcome: &'static str,
    status: u16,
    before: Option<&'a RawValue>,
    after: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        let AuditEntry { position, received_at, deed } = entry;
        let AuditDeed { who, via, address, request, action, target, outcome, status, .. } = deed;
        Self {
            id: position.to_string(),
            at: Rfc3339(*received_at),
            who,
            via,
            address: *address,
            request: request.as_deref(),
            action,
            target,
            outcome: outcome.label(),
            status: *status,
            before: deed.before.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            after: deed.after.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

/// `GET audit-log?who&action&target&from&to&limit&cursor`: latest first.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Lines<'a> {
        audit_log: Vec<Line<'a>>,
        next: Option<&'a str>,
        /// There if the database is away: then only the last, which are in memory, are shown.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    }
    let known = ["who", "action", "target", "from", "to", "limit", "cursor"];
    let params = Params::read(&uri, &known)?;
    let text = |name| params.text(name).map(ToOwned::to_owned);
    let limit = params.limit()?.min(LIMIT_MAX);
    let query = AuditQuery {
        who: text("who"),
        action: text("action"),
        target: text("target"),
        from: params.time("from")?,
        to: params.time("to")?,
        limit: params.text("limit").map_or(LIMIT_DEFAULT, |_| limit),
        after: params.page()?,
    };
    let page = app.ports.audit.page(query).await?;
    let audit_log = page.entries.iter().map(Line::of).collect();
    let partial = page.extent == Extent::InMemory;
    let next = page.next.as_deref();
    Ok(paged(Json(Lines { audit_log, next, partial }).into_response(), next))
}
