//! `bellwire healthcheck`: asks a running service how it is, for containers and scripts that have no other
//! client.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::service::{address, split};
use super::{Common, EXIT_OK, Failure};
use crate::config::Environment;

/// More than a healthy service needs, and less than those who ask wait.
const PATIENCE: Duration = Duration::from_secs(4);
/// The longest answer: more than all checks say.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Whether it lives.
const ALIVE: &str = "/healthz";
/// Whether devices can publish.
const READY: &str = "/readyz";

#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// Ask whether devices can publish (/readyz), not only whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
    /// Ask this address, as http://127.0.0.1:8080; absent: the service of this configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Exit code 0 if it is well, 1 if not.
pub(super) fn run(args: &HealthcheckArgs) -> Result<u8, Failure> {
    let path = if args.ready { READY } else { ALIVE };
    let host = match &args.url {
        Some(url) => host(url)?.to_owned(),
        None => {
            let config = args.common.load()?;
            let data_dir = config.data_dir(&Environment::of_process())?;
            address(&config, &data_dir).to_string()
        }
    };
    let answer = ask(&host, path)
        .with_context(|| format!("no service answers on http://{host}: does it run?"))?;
    judge(&answer).with_context(|| format!("http://{host}{path}"))?;
    Ok(EXIT_OK)
}

/// `HOST:PORT` of an address in clear.
fn host(url: &str) -> anyhow::Result<&str> {
    let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match host.filter(|host| host.contains(':') && !host.contains('/')) {
        Some(host) => Ok(host),
        None => bail!("`{url}` is no address as http://127.0.0.1:8080"),
    }
}

fn ask(host: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let address = host.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// An error, with what is not well, unless the answer is 200.
fn judge(answer: &[u8]) -> anyhow::Result<()> {
    let (head, body) = split(answer).context("the answer is no HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let checks = body["checks"].as_array().into_iter().flatten();
    let unwell = checks.filter(|check| check["status"] == "unavailable").filter_map(|check| {
        Some(format!("{}: {}", check["name"].as_str()?, check["detail"].as_str()?))
    });
    let unwell: Vec<_> = unwell.collect();
    if unwell.is_empty() {
        bail!("the answer is {status}");
    }
    bail!("the answer is {status}, {}", unwell.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_well_is_said() {
        assert!(judge(b"HTTP/1.1 200 OK\r\n\r\n{}").is_ok());
        let says = |answer: &str| judge(answer.as_bytes()).unwrap_err().to_string();
        let checks = r#"{"checks": [{"name": "log", "status": "unavailable", "detail": "full"},
            {"name": "database", "status": "degraded", "detail": "away"}]}"#;
        let ready = says(&format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{checks}"));
        assert_eq!(ready, "the answer is 503, log: full");
        assert_eq!(says("HTTP/1.1 404 Not Found\r\n\r\n"), "the answer is 404");
        assert_eq!(says("SSH-2.0\r\n\r\n"), "the answer is no HTTP");
    }

    #[test]
    fn an_address_has_a_scheme_and_a_port() {
        assert_eq!(host("http://bellwire:8080/").unwrap(), "bellwire:8080");
        for wrong in ["bellwire:8080", "https://a:1", "http://a", "http://a:1/readyz"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
