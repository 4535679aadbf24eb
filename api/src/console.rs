//! The operators' web console: files built from `api/console`, embedded in the binary.
//!
//! A page of its own says how to build it where that was not done.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::etag;
use crate::favicon;
use crate::gzip::takes_gzip;
use crate::problem::Problem;

/// Scripts, styles and data from ourselves only, nothing inline, no frames around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is shown where the console was not built.
const NOT_BUILT: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Bellwire</title>
<link rel="icon" href="/favicon.svg">
<h1>Bellwire is running</h1>
<p>This binary was built without the web console. Build it with <code>make console</code>, then
build the binary again.</p>
<p>The API's reference is at <a href="/api/v1/docs">/api/v1/docs</a>, devices at <a href="/api/v1/devices">/api/v1/devices</a>, alerts at
<a href="/api/v1/alerts">/api/v1/alerts</a>, health at <a href="/readyz">/readyz</a>.</p>
</html>
"#;

#[derive(RustEmbed)]
#[folder = "console/dist"]
#[allow_missing = true]
struct Dist;

/// A file of the console.
pub(crate) struct File {
    pub(crate) bytes: Cow<'static, [u8]>,
    /// Of its contents.
    pub(crate) hash: [u8; 32],
    pub(crate) kind: String,
}

/// Where the console's files are.
pub(crate) trait Files {
    /// The file at `path`, which has no leading `/`.
    fn get(&self, path: &str) -> Option<File>;
}

/// The files in the binary.
pub(crate) struct Embedded;

impl Files for Embedded {
    fn get(&self, path: &str) -> Option<File> {
        let file = Dist::get(path)?;
        let kind = file.metadata.mimetype().to_owned();
        Some(File { hash: file.metadata.sha256_hash(), bytes: file.data, kind })
    }
}

/// Answers a request for a page or a file. A path that looks like no file is one of the console's
/// own routes, and gets its one page.
///
/// # Errors
/// A problem if there is no such file.
pub(crate) fn serve(
    files: &dyn Files,
    path: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let path = path.trim_start_matches('/');
    if !path.is_empty()
        && let Some(file) = files.get(path)
    {
        return Ok(answer(files, path, file, headers));
    }
    if let Some(icon) = favicon::drawn(path) {
        let headers = [
            (header::CONTENT_TYPE, "image/svg+xml"),
            (header::CACHE_CONTROL, "public, max-age=86400"),
        ];
        return Ok((headers, icon).into_response());
    }
    if looks_like_a_file(path) {
        return Err(Problem::not_found("route_not_found", "There is no such file."));
    }
    match files.get("index.html") {
        Some(index) => Ok(answer(files, "index.html", index, headers)),
        None => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ];
            Ok((headers, NOT_BUILT).into_response())
        }
    }
}

/// Devices may have dots in their names, so `/devices/pump.3` is a page: a file is in `assets/`,
/// or at the top with a dot in its name.
fn looks_like_a_file(path: &str) -> bool {
    path.starts_with("assets/") || (!path.contains('/') && path.contains('.'))
}

/// A file as it is sent: compressed, as the build left it beside it, to who takes that.
fn answer(files: &dyn Files, path: &str, file: File, headers: &HeaderMap) -> Response {
    let packed = takes_gzip(headers).then(|| files.get(&format!("{path}.gz"))).flatten();
    let is_packed = packed.is_some();
    let file = packed.map(|packed| File { kind: file.kind.clone(), ..packed }).unwrap_or(file);
    let hex: String = file.hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hex}\"");
    // Names in assets/ have a hash of the contents in them (Vite), others stay the same.
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let common = [
        (header::ETAG, HeaderValue::try_from(&tag).expect("hexadecimal in quotes")),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| etag::same(known, &tag))) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = match file.kind.as_str() {
        "text/html" => "text/html; charset=utf-8".to_owned(),
        "text/javascript" => "text/javascript; charset=utf-8".to_owned(),
        _ => file.kind,
    };
    let kind = [(header::CONTENT_TYPE, kind)];
    let mut response = (common, kind, file.bytes.into_owned()).into_response();
    if is_packed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Built;

    impl Files for Built {
        fn get(&self, path: &str) -> Option<File> {
            let (bytes, kind): (&[u8], _) = match path {
                "index.html" => (b"<p>console", "text/html"),
                "assets/app-1a2b.js" => (b"run()", "text/javascript"),
                "assets/app-1a2b.js.gz" => (b"rn", "application/gzip"),
                _ => return None,
            };
            Some(File { bytes: bytes.into(), hash: [bytes.len() as u8; 32], kind: kind.to_owned() })
        }
    }

    struct NotBuilt;

    impl Files for NotBuilt {
        fn get(&self, _: &str) -> Option<File> {
            None
        }
    }

    fn get(files: &dyn Files, path: &str) -> Response {
        serve(files, path, &HeaderMap::new()).expect("an answer")
    }

    fn header_of(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
    }

    #[test]
    fn pages_of_the_console_are_one_file_and_files_are_themselves() {
        for path in ["/", "/devices", "/devices/pump.3", "/alerts/17"] {
            let page = get(&Built, path);
            assert_eq!(header_of(&page, header::CONTENT_TYPE), "text/html; charset=utf-8");
            assert_eq!(header_of(&page, header::CACHE_CONTROL), "no-cache");
            assert!(
                header_of(&page, header::CONTENT_SECURITY_POLICY).contains("script-src 'self'")
            );
        }
        let script = get(&Built, "/assets/app-1a2b.js");
        assert!(header_of(&script, header::CACHE_CONTROL).contains("immutable"));
        for path in ["/assets/gone.js", "/robots.txt"] {
            let problem = serve(&Built, path, &HeaderMap::new()).expect_err("no such file");
            assert_eq!(problem.code(), "route_not_found");
        }
    }

    #[test]
    fn who_takes_it_is_sent_what_is_compressed() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
        let get = |path, headers: &_| serve(&Built, path, headers).expect("an answer");
        let script = get("/assets/app-1a2b.js", &headers);
        let plain = get("/assets/app-1a2b.js", &HeaderMap::new());
        assert_eq!(header_of(&script, header::CONTENT_ENCODING), "gzip");
        assert_eq!(header_of(&plain, header::CONTENT_ENCODING), "");
        for name in [header::CONTENT_TYPE, header::CACHE_CONTROL, header::VARY] {
            assert_eq!(header_of(&script, name.clone()), header_of(&plain, name));
        }
        assert_ne!(header_of(&script, header::ETAG), header_of(&plain, header::ETAG));
        assert_eq!(header_of(&get("/", &headers), header::CONTENT_ENCODING), "", "there is none");
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let tag = header_of(&get(&Built, "/"), header::ETAG).to_owned();
        for (known, status) in [
            (tag.clone(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{tag}"), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, known.parse().expect("a header"));
            assert_eq!(serve(&Built, "/", &headers).expect("an answer").status(), status);
        }
    }

    #[test]
    fn without_a_build_the_page_says_how_to_make_one() {
        let page = get(&NotBuilt, "/");
        assert_eq!(page.status(), StatusCode::OK);
        assert!(NOT_BUILT.contains("make console"));
        let icon = get(&NotBuilt, "/favicon.ico");
        assert_eq!(header_of(&icon, header::CONTENT_TYPE), "image/svg+xml");
    }
}
