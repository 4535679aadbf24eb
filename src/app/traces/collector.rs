//! Sends spans to a collector: one POST, and what its answer means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire_model::LogId;
use bellwire_notify::tls;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::otlp::{
    ExportRequest, ExportResponse, KeyValue, PartialSuccess, Resource, ResourceSpans, Scope,
    ScopeSpans, Span,
};
use crate::app::chain;
use crate::config::TracesSection;

const PROTOBUF: &str = "application/x-protobuf";
/// How much of an answer is read: enough to say why.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Where spans go.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client,
    endpoint: Url,
    headers_file: Option<PathBuf>,
    resource: Resource,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, but for so many, and why.
    Taken(usize, String),
    /// Later may help, by its own word not before this.
    Away(String, Option<Duration>),
    /// Nothing helps.
    Refused(String),
}

impl Collector {
    /// # Errors
    /// What cannot be used, with its key.
    pub(super) fn new(section: &TracesSection, endpoint: &str, log: LogId) -> Result<Self, String> {
        let tls =
            tls::client(section.ca_file.as_deref()).map_err(|error| format!("traces.{error}"))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("bellwire/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(section.timeout())
            .no_proxy()
            .build()
            .map_err(|error| format!("traces.endpoint: {}", chain(&error)))?;
        let resource = Resource {
            attributes: vec![
                KeyValue::new("service.name", section.service_name.as_str()),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", log.to_string()),
            ],
        };
        let endpoint = bellwire_notify::config::parse_url(endpoint)
            .map_err(|error| format!("traces.endpoint: {error}"))?;
        Ok(Self { client, endpoint, headers_file: section.headers_file.clone(), resource })
    }

    /// Where it is, without path and query: there are keys in some.
    pub(super) fn address(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }

    /// The body of a request.
    pub(super) fn body(&self, spans: Vec<Span>) -> Vec<u8> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let scope = Some(Scope { name: "bellwire".to_owned(), version });
        let resource = Some(self.resource.clone());
        let scope_spans = vec![ScopeSpans { scope, spans }];
        let resource_spans = vec![ResourceSpans { resource, scope_spans }];
        ExportRequest { resource_spans }.encode_to_vec()
    }

    /// Sends it once.
    pub(super) async fn post(&self, body: Vec<u8>) -> Answer {
        let mut headers = match self.headers_file.as_deref().map(read_headers).transpose() {
            Ok(headers) => headers.unwrap_or_default(),
            Err(why) => return Answer::Away(why, None),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        match self.client.post(self.endpoint.clone()).headers(headers).body(body).send().await {
            Ok(response) => answer(response).await,
            Err(error) => Answer::Away(chain(&error.without_url()), None),
        }
    }
}

/// The lines of `headers_file`.
///
/// # Errors
/// What is wrong with it; values, which are secrets, are not shown.
pub(super) fn read_headers(path: &Path) -> Result<HeaderMap, String> {
    let wrong = |why: String| format!("traces.headers_file: {}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    parse_headers(&text).map_err(wrong)
}

fn parse_headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, mut value) =
            parsed.ok_or_else(|| format!("line {} is not `Name: value`", index + 1))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// What the collector's answer means, by the OTLP specification.
async fn answer(mut response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]);
    }
    meaning(status, &headers, &body)
}

fn meaning(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    let is_protobuf = headers.get(CONTENT_TYPE).is_some_and(|it| it == PROTOBUF);
    if status.is_success() {
        let said = if is_protobuf { ExportResponse::decode(body).ok() } else { None };
        let PartialSuccess { rejected_spans, error_message } =
            said.and_then(|said| said.partial_success).unwrap_or_default();
        return Answer::Taken(usize::try_from(rejected_spans).unwrap_or(0), error_message);
    }
    // A protobuf `Status` has its words between lengths and numbers.
    let said: String =
        String::from_utf8_lossy(body).chars().filter(|it| !it.is_control()).collect();
    let why = if said.trim().is_empty() {
        format!("it answers {status}")
    } else {
        format!("it answers {status}: {}", said.trim())
    };
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let after =
                headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.trim().parse().ok());
            Answer::Away(why, after.map(Duration::from_secs))
        }
        _ => Answer::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_never_shown() {
        let headers =
            parse_headers("# for Tempo\n\nX-Scope-OrgID: plant\nAuthorization:Basic a:b\n");
        let headers = headers.unwrap();
        assert_eq!(
            (&headers["x-scope-orgid"], &headers["authorization"]),
            (&HeaderValue::from_static("plant"), &HeaderValue::from_static("Basic a:b"))
        );
        assert!(!format!("{headers:?}").contains("plant"));
        for wrong in ["X-A: b\nhush", "h ush: a", ": hush", "A: hush\u{7f}"] {
            let why = parse_headers(wrong).unwrap_err();
            assert!(why.starts_with("line ") && !why.contains("hush"), "{why}");
        }
    }

    #[test]
    fn what_helps_later_is_tried_later() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        let of = |status: u16| meaning(StatusCode::from_u16(status).unwrap(), &headers, b"no\x02");
        assert_eq!(of(200), Answer::Taken(0, String::new()));
        let secs = Some(Duration::from_secs(7));
        assert_eq!(
            of(503),
            Answer::Away("it answers 503 Service Unavailable: no".to_owned(), secs)
        );
        assert!([429, 502, 504].into_iter().all(|it| matches!(of(it), Answer::Away(_, Some(_)))));
        let refused = [301, 400, 401, 404, 408, 413, 500];
        assert!(refused.into_iter().all(|it| matches!(of(it), Answer::Refused(_))));
    }

    #[test]
    fn what_is_not_taken_of_a_request_is_heard() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        // partial_success { rejected_spans: 3, error_message: "old" }
        let body = [0x0a, 7, 0x08, 3, 0x12, 3, b'o', b'l', b'd'];
        let answer = meaning(StatusCode::OK, &headers, &body);
        assert_eq!(answer, Answer::Taken(3, "old".to_owned()));
    }
}
