//! Pages of other origins: none may ask, but for those that the settings name.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Origin;
use crate::request_id::X_REQUEST_ID;

/// How long a browser may remember what it was told.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Tells browsers that pages of `origins` may ask, with cookies; `None` if there are none.
pub(crate) fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.iter().filter_map(|it| HeaderValue::from_str(it.as_str()).ok());
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let name = HeaderName::from_static;
    let asked = [
        header::ACCEPT,
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        name("idempotency-key"),
        name("last-event-id"),
        name("x-csrf-token"),
        X_REQUEST_ID,
    ];
    let told = [
        header::CONTENT_DISPOSITION,
        header::ETAG,
        header::LINK,
        header::LOCATION,
        header::RETRY_AFTER,
        name("idempotency-replayed"),
        name("ratelimit"),
        name("ratelimit-policy"),
        X_REQUEST_ID,
    ];
    let layer = CorsLayer::new().allow_origin(AllowOrigin::list(origins)).allow_credentials(true);
    Some(layer.allow_methods(methods).allow_headers(asked).expose_headers(told).max_age(MAX_AGE))
}
