//! Tags of answers (RFC 9110, 8.8): whoever has the same already is not sent it again.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

/// The tag of these bytes: 128 bits, no secret.
pub(crate) fn of(bytes: &[u8]) -> String {
    format!("\"{:032x}\"", xxh3_128(bytes))
}

/// The answer to whoever has what `tag` stands for, as `If-None-Match` says; `None` for others.
pub(crate) fn known(headers: &HeaderMap, tag: &str) -> Option<Response> {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|known| known.to_str().ok()).flat_map(|it| it.split(','));
    let answer = || tagged(StatusCode::NOT_MODIFIED.into_response(), tag);
    known.any(|known| same(known, tag)).then(answer)
}

/// `answer` with this tag. It may be kept, and is asked for again each time.
pub(crate) fn tagged(mut answer: Response, tag: &str) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("hexadecimal in quotes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    answer
}

/// `value` as JSON with the tag of its text, or 304.
pub(crate) fn json(headers: &HeaderMap, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("texts and numbers always serialize");
    let tag = of(&text);
    known(headers, &tag).unwrap_or_else(|| {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        tagged((kind, Bytes::from(text)).into_response(), &tag)
    })
}

/// Weak and strong tags are the same here (RFC 9110, 13.1.2).
pub(crate) fn same(known: &str, tag: &str) -> bool {
    let known = known.trim();
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_sent_again() {
        let first = json(&HeaderMap::new(), &[1, 2]);
        let tag = first.headers()[header::ETAG].to_str().expect("ASCII").to_owned();
        assert_eq!(first.status(), StatusCode::OK);
        for (known, status) in [
            (tag.clone(), StatusCode::NOT_MODIFIED),
            (format!("\"x\", W/{tag}"), StatusCode::NOT_MODIFIED),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"x\"".to_owned(), StatusCode::OK),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, known.parse().expect("a header"));
            let again = json(&headers, &[1, 2]);
            assert_eq!(again.status(), status, "{known}");
            assert_eq!(again.headers()[header::ETAG], tag);
            let other = json(&headers, &[1, 3]);
            assert_eq!(other.status() == StatusCode::NOT_MODIFIED, known == "*", "{known}");
        }
    }
}
