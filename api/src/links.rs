//! `Link: <…>; rel="next"` (RFC 8288): where the next page of a list is. Handlers leave in their answer
//! where theirs ends, and on its way out it becomes a link.

use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;

/// Where a page ends: the `cursor` of the next.
#[derive(Clone, Debug)]
struct Next(Box<str>);

/// Leaves in `answer`, a page of a list, where it ends, if there is a next one.
pub(crate) fn paged(mut answer: Response, next: Option<&str>) -> Response {
    if let Some(next) = next {
        answer.extensions_mut().insert(Next(next.into()));
    }
    answer
}

/// `answer` with a link to the next page of the list at `uri`, if it has left where that begins.
pub(crate) fn linked(mut answer: Response, uri: &Uri) -> Response {
    let Some(Next(next)) = answer.extensions_mut().remove::<Next>() else { return answer };
    let others = uri.query().unwrap_or_default().split('&');
    let others = others.filter(|it| !it.is_empty() && !it.starts_with("cursor="));
    let mut query: Vec<String> = others.map(str::to_owned).collect();
    query.push(format!("cursor={}", encoded(&next)));
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"));
    // What came as a URI can go as one.
    if let Ok(link) = HeaderValue::try_from(link) {
        answer.headers_mut().insert(header::LINK, link);
    }
    answer
}

/// As a part of a path or of a query (RFC 3986).
pub(crate) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn the_next_page_is_the_same_list_from_another_place() {
        let link = |uri: &str, next| {
            let uri: Uri = uri.parse().expect("valid");
            let answer = linked(paged(().into_response(), next), &uri);
            answer.headers().get(header::LINK).map(|it| it.to_str().expect("ASCII").to_owned())
        };
        assert_eq!(link("/a?limit=1", None), None);
        let expected = Some("</a?cursor=x%26y>; rel=\"next\"".to_owned());
        assert_eq!(link("/a", Some("x&y")), expected);
        let expected = Some("</a/b%20c?limit=1&q=%C3%BC&cursor=z>; rel=\"next\"".to_owned());
        assert_eq!(link("/a/b%20c?limit=1&cursor=y&q=%C3%BC", Some("z")), expected);
    }

    #[test]
    fn names_are_encoded_for_paths() {
        assert_eq!(encoded("too-warm 1/ü"), "too-warm%201%2F%C3%BC");
    }
}
