//! Messages by HTTP: one POST, and what its answer means.

use std::path::PathBuf;
use std::time::Duration;

use bellwire_model::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};

use super::payload::Payload;
use super::sign;
use super::template::Template;
use super::{Answer, Outcome, Setting, alertmanager, pagerduty, slack, teams};
use crate::config::{ChannelConfig, ChannelType, first_line, parse_url};
use crate::dispatch::Notice;
use crate::tls;

/// How much of an answer is read: enough to say why.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// What a message is known by; the same again is the same message.
const DELIVERY: HeaderName = HeaderName::from_static("x-bellwire-delivery");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Posts messages to one address.
#[derive(Debug)]
pub(super) struct Poster {
    kind: ChannelType,
    client: Client,
    address: Address,
    secret_file: Option<PathBuf>,
    login: Login,
    template: Option<Template>,
    content_type: HeaderValue,
}

#[derive(Debug)]
enum Address {
    Fixed(Url),
    File(PathBuf),
}

/// How we say who we are.
#[derive(Debug)]
enum Login {
    Nothing,
    Token(PathBuf),
    Password(String, PathBuf),
}

/// A message that cannot be made, and why: a fault of the configuration.
struct Unmade(String);

impl From<String> for Unmade {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl Poster {
    pub(super) fn new(config: &ChannelConfig, index: usize) -> Result<Self, String> {
        let kind = config.kind.ok_or("type must be set")?;
        let mut url = config.url.as_deref().or_else(|| config.urls.get(index).map(String::as_str));
        if kind == ChannelType::Pagerduty {
            url = url.or(Some(pagerduty::URL));
        }
        let address = match (&config.url_file, url) {
            (Some(path), _) => Address::File(path.clone()),
            (None, Some(url)) => Address::Fixed(parse_url(url)?),
            (None, None) => return Err("url must be set".to_owned()),
        };
        let login = match (&config.token_file, &config.user, &config.password_file) {
            (Some(path), ..) => Login::Token(path.clone()),
            (None, Some(user), Some(path)) => Login::Password(user.clone(), path.clone()),
            _ => Login::Nothing,
        };
        let template = config.template_file.as_deref().map(Template::read).transpose()?;
        let content_type = match &template {
            Some(_) => HeaderValue::from_str(&config.content_type)
                .map_err(|_| "content_type: it is no header's value".to_owned())?,
            None => HeaderValue::from_static("application/json"),
        };
        Ok(Self {
            kind,
            client: client(config)?,
            address,
            secret_file: config.secret_file.clone(),
            login,
            template,
            content_type,
        })
    }

    pub(super) fn look(&self) -> Result<(), String> {
        self.secret()?;
        let url = self.url()?;
        self.logged_in(self.client.post(url)).map(drop)
    }

    fn url(&self) -> Result<Url, String> {
        let url = match &self.address {
            Address::Fixed(url) => url.clone(),
            Address::File(path) => parse_url(&first_line("url_file", path)?)
                .map_err(|error| format!("url_file: {error}"))?,
        };
        if self.kind != ChannelType::Alertmanager {
            return Ok(url);
        }
        let mut url = url;
        let path = format!("{}/{}", url.path().trim_end_matches('/'), alertmanager::PATH);
        url.set_path(&path);
        Ok(url)
    }

    fn secret(&self) -> Result<Option<String>, String> {
        self.secret_file.as_deref().map(|path| first_line("secret_file", path)).transpose()
    }

    /// The request with who we are.
    fn logged_in(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        Ok(match &self.login {
            Login::Nothing => request,
            Login::Token(path) => request.bearer_auth(first_line("token_file", path)?),
            Login::Password(user, path) => {
                request.basic_auth(user, Some(first_line("password_file", path)?))
            }
        })
    }

    fn body(&self, notice: &Notice, setting: &Setting) -> Result<Vec<u8>, Unmade> {
        if let Some(template) = &self.template {
            return template.body(notice, setting).map_err(Unmade);
        }
        Ok(match self.kind {
            ChannelType::Alertmanager => alertmanager::body(notice, setting),
            ChannelType::Slack => slack::body(notice, setting),
            ChannelType::Teams => teams::body(notice, setting),
            ChannelType::Pagerduty => {
                let key = self.secret()?.unwrap_or_default();
                pagerduty::body(notice, setting, &key)
            }
            _ => Payload::new(notice, setting).to_json(),
        })
    }

    fn headers(&self, notice: &Notice, now: Timestamp, body: &[u8]) -> Result<HeaderMap, Unmade> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        let id = HeaderValue::from_str(&notice.id).map_err(|error| Unmade(error.to_string()))?;
        headers.insert(DELIVERY, id.clone());
        headers.insert(IDEMPOTENCY_KEY, id);
        if self.kind == ChannelType::Webhook
            && let Some(secret) = self.secret()?
        {
            let signature = sign::signature(&secret, now, body);
            let value = HeaderValue::from_str(&signature).map_err(|it| Unmade(it.to_string()))?;
            headers.insert(sign::HEADER, value);
        }
        Ok(headers)
    }

    pub(super) async fn send(&self, notice: &Notice, setting: &Setting) -> Answer {
        let made = || {
            let body = self.body(notice, setting)?;
            let headers = self.headers(notice, setting.now, &body)?;
            let request = self.client.post(self.url()?).headers(headers).body(body);
            Ok::<_, Unmade>(self.logged_in(request)?)
        };
        let request = match made() {
            Ok(request) => request,
            Err(Unmade(why)) => return Answer::rejected(why),
        };
        match request.send().await {
            Ok(response) => answer(response).await,
            // Without the URL, which may be a secret.
            Err(error) => Answer::away(chain(&error.without_url())),
        }
    }
}

fn client(config: &ChannelConfig) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls::client(config.ca_file.as_deref())?)
        .user_agent(concat!("bellwire/", env!("CARGO_PKG_VERSION")))
        // A receiver that moved is the operator's to follow.
        .redirect(redirect::Policy::none())
        .timeout(config.timeout())
        .connect_timeout(config.timeout())
        .pool_idle_timeout(Duration::from_secs(60))
        .no_proxy()
        .build()
        .map_err(|error| format!("url: {}", chain(&error)))
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What a receiver's answer means.
async fn answer(response: Response) -> Answer {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let said = match said(response).await {
        said if said.is_empty() => status.to_string(),
        said => format!("{status}: {said}"),
    };
    Answer::new(meaning(status, retry_after), said)
}

/// Later helps with what is a matter of load or of the receiver's own trouble; with nothing else.
fn meaning(status: StatusCode, retry_after: Option<Duration>) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
            Outcome::Away(retry_after)
        }
        status if status.is_server_error() => Outcome::Away(retry_after),
        _ => Outcome::Rejected,
    }
}

/// Seconds only: dates need the receiver's clock to be right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The beginning of the answer's body. One that breaks off says nothing less of the status.
async fn said(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - bytes.len())]);
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_later_is_tried_later() {
        let secs = Some(Duration::from_secs(7));
        for (status, expected) in [
            (200, Outcome::Delivered),
            (202, Outcome::Delivered),
            (301, Outcome::Rejected),
            (400, Outcome::Rejected),
            (401, Outcome::Rejected),
            (404, Outcome::Rejected),
            (408, Outcome::Away(secs)),
            (429, Outcome::Away(secs)),
            (500, Outcome::Away(secs)),
            (503, Outcome::Away(secs)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(meaning(status, secs), expected, "{status}");
        }
    }
}
