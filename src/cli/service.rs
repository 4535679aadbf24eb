//! Asks the running service over HTTP, as any client of the API would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::Common;
use crate::app::people::LOCAL_TOKEN;
use crate::config::{Config, Environment, TOKEN_VARIABLE};

/// Longer than a change of rules may wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer: more than all rules and their texts.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A service that runs.
#[derive(Debug)]
pub(super) struct Service {
    address: SocketAddr,
    /// What it is asked with, if there is something.
    token: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    /// Below `/api/v1`.
    pub(super) path: &'a str,
    /// The revision that was seen.
    pub(super) seen: Option<u64>,
    pub(super) body: Option<&'a Value>,
}

impl Service {
    /// Where it says that it is, or where the configuration says that it would be; with the token in
    /// `BELLWIRE_TOKEN`, or else with that which it leaves in its data directory for whoever may read
    /// it.
    pub(super) fn find(common: &Common) -> anyhow::Result<Self> {
        let config = common.load()?;
        let environment = Environment::of_process();
        let data_dir = config.data_dir(&environment)?;
        let address = address(&config, &data_dir);
        let token = match environment.get(TOKEN_VARIABLE) {
            Some(token) => Some(token.trim().to_owned()),
            None => std::fs::read_to_string(data_dir.join(LOCAL_TOKEN)).ok(),
        };
        // A line's end in it would begin another header.
        let token = token.map(|token| token.trim().to_owned()).filter(|token| is_token(token));
        Ok(Self { address, token })
    }

    /// The answer's body; null if there is none.
    ///
    /// # Errors
    /// If there is no service, or in its own words what it does not like.
    pub(super) fn ask(&self, request: Request<'_>) -> anyhow::Result<Value> {
        match request.seen {
            Some(seen) => self.ask_if(request, &format!("If-Match: \"{seen}\"")),
            None => self.ask_if(request, ""),
        }
    }

    /// The same on a condition, which is a header; none if it is empty.
    pub(super) fn ask_if(&self, request: Request<'_>, condition: &str) -> anyhow::Result<Value> {
        let answer = self.send(&request, condition).with_context(|| {
            format!("no service answers on http://{}: does it run?", self.address)
        })?;
        let (head, body) = split(&answer).context("the answer is no HTTP")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        if status.starts_with('2') {
            return Ok(body);
        }
        match body["detail"].as_str() {
            Some(detail) => bail!("{}", detail.trim_end_matches('.')),
            None => bail!("the service answers {status}"),
        }
    }

    /// One that changes nothing.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Request { method: "GET", path, seen: None, body: None })
    }

    fn send(&self, request: &Request<'_>, condition: &str) -> std::io::Result<Vec<u8>> {
        let Request { method, path, body, .. } = request;
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{method} /api/v1{path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        if !condition.is_empty() {
            head += &format!("{condition}\r\n");
        }
        if !body.is_empty() {
            head += "Content-Type: application/json\r\n";
        }
        head += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Where the service of this data directory says that HTTP is, or where it would be.
pub(super) fn address(config: &Config, data_dir: &Path) -> SocketAddr {
    let said = std::fs::read(data_dir.join("endpoints.json")).ok();
    let said = said.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let http = said.and_then(|said| said["http"].as_str()?.parse().ok());
    http.unwrap_or(config.http.listen)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Head and body.
pub(super) fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    head.starts_with("HTTP/1.1 ").then_some((head, &answer[end + 4..]))
}

/// A text as it may stand in a path or in a query.
pub(super) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
