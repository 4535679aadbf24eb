//! Clients of HTTP who mean harm, against a whole service: each hurts itself only. While it does its
//! worst, another client goes on being answered.

mod bodies;
mod heads;
mod http2;
mod sources;

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::listeners::Files;
use crate::support::http;
use crate::support::service::{PATIENCE, Service, Settings, poll};

/// A service that is short of patience, and where it speaks HTTPS.
struct Target {
    service: Service,
    https: String,
    config: Arc<ClientConfig>,
}

impl Target {
    async fn start() -> Self {
        let settings = Settings::default()
            .set("BELLWIRE_HTTP_HEADER_TIMEOUT_MS", 1_000)
            .set("BELLWIRE_HTTP_BODY_TIMEOUT_MS", 1_000)
            .set("BELLWIRE_HTTP_TLS_HANDSHAKE_TIMEOUT_MS", 4_000)
            .set("BELLWIRE_HTTP_TLS_LISTEN", "127.0.0.1:0");
        let mut service = Service::prepare(settings);
        let files = Files::of(&service);
        let config = files.write(2_100, None);
        service.set("BELLWIRE_HTTP_TLS_CERT_FILE", files.cert.display());
        service.set("BELLWIRE_HTTP_TLS_KEY_FILE", files.key.display());
        service.launch().await;
        let text = std::fs::read(service.data_dir().join("endpoints.json")).unwrap();
        let endpoints: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let https = endpoints["https"].as_str().unwrap().to_owned();
        Self { service, https, config }
    }

    /// Another client is answered while `attack` goes on, at least so many times, and behind it.
    async fn while_answering<T>(&self, n_least: usize, attack: impl Future<Output = T>) -> T {
        tokio::pin!(attack);
        let (mut pulse, mut n_answered, mut done) = (poll(), 0, None);
        while done.is_none() || n_answered < n_least {
            self.answers().await;
            n_answered += 1;
            tokio::select! {
                it = &mut attack, if done.is_none() => done = Some(it),
                _ = pulse.tick() => {}
            }
        }
        self.answers().await;
        done.unwrap()
    }

    /// Another client is answered: what it asks, and a change that it makes.
    async fn answers(&self) {
        let address = self.service.http();
        let asking = async {
            let (status, _) = http::get(&address, "/api/v1/alerts").await.unwrap();
            assert_eq!(status, 200);
            let body = r#"[{"device": "quiet", "labels": {"site": "here"}}]"#;
            let (status, said) = http::post(&address, "/api/v1/devices", body).await.unwrap();
            assert!((200..300).contains(&status), "{status} {said}");
        };
        timeout(PATIENCE, asking).await.expect("another client is answered");
    }

    /// Bytes of memory that it holds.
    fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.service.pid());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }
}

/// Sends `first`, and then `more` again and again, not all at once, until the connection ends; what was
/// answered.
async fn drip(mut stream: impl AsyncRead + AsyncWrite + Unpin, first: &str, more: &str) -> String {
    let mut answer = Vec::new();
    let mut pulse = poll();
    let dripping = async {
        let mut going = stream.write_all(first.as_bytes()).await.is_ok();
        loop {
            tokio::select! {
                read = stream.read_buf(&mut answer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                _ = pulse.tick(), if going => {
                    let wrote = async {
                        stream.write_all(more.as_bytes()).await?;
                        stream.flush().await
                    };
                    going = wrote.await.is_ok();
                }
            }
        }
    };
    timeout(PATIENCE, dripping).await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}
