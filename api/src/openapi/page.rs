//! The API's reference as a page: `GET /api/v1/docs`, which shows the document and lets one try it. All
//! of it is in the binary: nothing stands inline, nothing comes from elsewhere, and no build is needed.

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::etag;
use crate::http::Part;
use crate::params::Params;
use crate::problem::Problem;

/// What the page may load: our own files, and answers of the API.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("page/page.html");
const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");

/// `GET docs`.
pub(crate) async fn page(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    Ok(file(&headers, "text/html; charset=utf-8", PAGE))
}

/// `GET docs/{file}`: what the page loads.
pub(crate) async fn part(
    Part(name): Part,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    match &*name {
        "page.js" => Ok(file(&headers, "text/javascript; charset=utf-8", SCRIPT)),
        "page.css" => Ok(file(&headers, "text/css; charset=utf-8", STYLE)),
        _ => Err(Problem::not_found("route_not_found", "The reference has no such file.")),
    }
}

fn file(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let tag = etag::of(text.as_bytes());
    let mut answer = etag::known(headers, &tag).unwrap_or_else(|| {
        let kind = [(header::CONTENT_TYPE, kind)];
        etag::tagged((kind, text).into_response(), &tag)
    });
    let policy = HeaderValue::from_static(POLICY);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    answer
}
