//! What every request passes: limits on the way in, safety headers and counting on the way out.

pub(crate) mod cors;
pub(crate) mod once;
pub(crate) mod rate;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::app::App;
use crate::auth::origin::{Source, Wire};
use crate::links::linked;
use crate::metrics::UNMATCHED;
use crate::peer::Peer;
use crate::ports::AnsweredRequest;
use crate::problem::Problem;
use crate::request_id;

/// Refuses a request whose body is, or may be, longer than allowed.
pub(crate) async fn body_limit(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let limit_bytes = app.config.request_body_bytes_max;
    let upper = axum::body::HttpBody::size_hint(request.body()).lower();
    if upper > limit_bytes {
        let detail = format!("The body has {upper} bytes, at most {limit_bytes} are allowed.");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
            .into_response();
    }
    next.run(request).await
}

/// Counts the request, and sets the headers that every answer has.
pub(crate) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = app.request_ids.of(request.headers());
    let peer = Peer::of(request.extensions());
    let wire = Source::of(peer, request.headers(), &app.config.trusted_proxies).wire;
    // What may change something is waited for when the service stops.
    let _acting = (!method.is_safe()).then(|| app.acting.token());
    let uri = request.uri().clone();
    let traceparent = app.ports.witness.as_ref().and_then(|_| traceparent(request.headers()));
    let response = request_id::during(Arc::clone(&id), next.run(request)).await;
    let mut response = linked(response, &uri);
    let headers = response.headers_mut();
    headers.insert(request_id::X_REQUEST_ID, request_id::value(&id));
    let hsts_max_age_s = app.config.tls.hsts_max_age_s;
    if wire == Wire::Encrypted && hsts_max_age_s > 0 {
        let line = HeaderValue::from_str(&format!("max-age={hsts_max_age_s}"));
        headers.insert(header::STRICT_TRANSPORT_SECURITY, line.expect("digits"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let fresh = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fresh);
    // What is no page may load nothing, whatever a browser makes of it.
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
    let (route, took) = (route.as_ref().map(MatchedPath::as_str), start.elapsed());
    let status = response.status();
    app.metrics.http.answered(route.unwrap_or(UNMATCHED), &method, status, took);
    if let Some(witness) = &app.ports.witness {
        witness.answered(AnsweredRequest {
            method: method.as_str(),
            route,
            status: status.as_u16(),
            scheme: if wire == Wire::Encrypted { "https" } else { "http" },
            traceparent: traceparent.as_ref().map(HeaderValue::as_bytes),
            took,
        });
    }
    response
}

/// The trace that the client says it belongs to: with several lines it says nothing (W3C Trace Context).
fn traceparent(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all("traceparent").iter();
    lines.next().filter(|_| lines.next().is_none()).cloned()
}
