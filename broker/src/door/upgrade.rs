//! The HTTP request that turns a connection into a WebSocket, and our answer.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::{
    HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_PROTOCOL,
};

/// Most bytes of a request: browsers send cookies along.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The paths where MQTT is: the usual one, and that of clients that give none.
const PATHS: [&str; 2] = ["/mqtt", "/"];
/// The subprotocol, which the client must offer and we must name. // [MQTT-6.0.0-3], [MQTT-6.0.0-4]
const SUBPROTOCOL: &str = "mqtt";

/// Why a connection does not become a WebSocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// The connection broke.
    #[error("the connection ended in the request for a WebSocket")]
    Io(#[from] io::Error),
    /// The request does not end.
    #[error("the request for a WebSocket is longer than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    /// It is no HTTP request for a WebSocket.
    #[error("the request is not for a WebSocket: {0}")]
    NotWebSocket(Box<str>),
    /// MQTT is elsewhere.
    #[error("the request is for another path")]
    Path,
    /// It does not offer the subprotocol `mqtt`.
    #[error("the request does not offer the subprotocol `mqtt`")]
    Subprotocol,
    /// It comes from a web page that may not.
    #[error("the request comes from the web page {0:?}: see websocket_origins")]
    Origin(Box<str>),
}

impl UpgradeError {
    /// The status line of the answer, if one is due.
    const fn status(&self) -> Option<&'static str> {
        match self {
            Self::Io(_) => None,
            Self::TooLong => Some("431 Request Header Fields Too Large"),
            Self::NotWebSocket(_) | Self::Subprotocol => Some("400 Bad Request"),
            Self::Path => Some("404 Not Found"),
            Self::Origin(_) => Some("403 Forbidden"),
        }
    }
}

/// Reads the request and answers it; gives what came behind the request.
///
/// # Errors
/// [`UpgradeError`]; the client has been told.
pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    origins: &[String],
) -> Result<Vec<u8>, UpgradeError> {
    let result = negotiate(stream, origins).await;
    if let Err(error) = &result
        && let Some(status) = error.status()
    {
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{error}\n",
            error.to_string().len() + 1
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
    }
    result
}

async fn negotiate<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    origins: &[String],
) -> Result<Vec<u8>, UpgradeError> {
    let mut head = Vec::with_capacity(1024);
    let (head_bytes, request) = loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let parsed = Request::try_parse(&head)
            .map_err(|error| UpgradeError::NotWebSocket(error.to_string().into()))?;
        match parsed {
            Some((head_bytes, request)) => break (head_bytes, request),
            None if head.len() >= HEAD_BYTES_MAX => return Err(UpgradeError::TooLong),
            None => {}
        }
    };
    let answer = answer(&request, origins)?;
    stream.write_all(&answer).await?;
    stream.flush().await?;
    Ok(head.split_off(head_bytes))
}

/// The answer to a request that is right.
fn answer(request: &Request, origins: &[String]) -> Result<Vec<u8>, UpgradeError> {
    if !PATHS.contains(&request.uri().path()) {
        return Err(UpgradeError::Path);
    }
    check_origin(request, origins)?;
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = offered.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    if !offered.any(|it| it.trim() == SUBPROTOCOL) {
        return Err(UpgradeError::Subprotocol);
    }
    let not = |error: &dyn std::error::Error| UpgradeError::NotWebSocket(error.to_string().into());
    let mut response = create_response(request).map_err(|error| not(&error))?;
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let mut bytes = Vec::new();
    write_response(&mut bytes, &response).map_err(|error| not(&error))?;
    Ok(bytes)
}

/// A browser lets any page connect anywhere and says which page it is; everything else does not, or
/// names the host that it connects to. // RFC 6455, 10.2
fn check_origin(request: &Request, origins: &[String]) -> Result<(), UpgradeError> {
    let header = |name: HeaderName| request.headers().get(name).and_then(|it| it.to_str().ok());
    let Some(origin) = header(ORIGIN) else { return Ok(()) };
    let is_listed = origins.iter().any(|it| it == "*" || it.eq_ignore_ascii_case(origin));
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_own = host.is_some() && host == header(HOST);
    if is_listed || is_own { Ok(()) } else { Err(UpgradeError::Origin(origin.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /mqtt HTTP/1.1\r\nHost: broker:8083\r\nUpgrade: websocket\r\n\
                        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                        Sec-WebSocket-Protocol: chat, mqtt\r\n";

    /// What a client that sends `request` and `rest` gets, and what is left for MQTT.
    async fn ask(request: &str, rest: &[u8], origins: &[&str]) -> (String, Option<Vec<u8>>) {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        client.write_all(request.as_bytes()).await.expect("room");
        client.write_all(rest).await.expect("room");
        let origins: Vec<String> = origins.iter().map(|&it| it.to_owned()).collect();
        let left = accept(&mut server, &origins).await.ok();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("text");
        (answer, left)
    }

    async fn check(request: &str, status: u16) {
        let (answer, left) =
            ask(&format!("{request}\r\n"), b"", &["https://console.example"]).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{answer}");
        assert_eq!(left.is_some(), status == 101);
    }

    #[tokio::test]
    async fn a_good_request_is_answered_with_the_subprotocol() {
        let (answer, left) = ask(&format!("{GOOD}\r\n"), b"\x82", &[]).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // The example of RFC 6455, 1.3.
        assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("sec-websocket-protocol: mqtt\r\n"), "{answer}");
        assert_eq!(left.as_deref(), Some(&b"\x82"[..]), "what came too early is not lost");
        check(&GOOD.replace("/mqtt ", "/ "), 101).await;
        check(&GOOD.replace("/mqtt ", "/mqtt?token=x "), 101).await;
    }

    #[tokio::test]
    async fn what_is_wrong_is_answered() {
        check(&GOOD.replace("/mqtt ", "/api "), 404).await;
        check(&GOOD.replace("mqtt\r", "mqttv3.1\r"), 400).await;
        check(&GOOD.replace("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 400).await;
        check(&GOOD.replace("GET", "POST"), 400).await;
        check(&GOOD.replace("Upgrade: websocket\r\n", ""), 400).await;
        check("\x10\x0D\0\x04MQTT", 400).await;
        check(&format!("{GOOD}Cookie: {}\r\n", "x".repeat(HEAD_BYTES_MAX / 2)), 101).await;
        let endless = format!("{GOOD}Cookie: {}", "x".repeat(4 * HEAD_BYTES_MAX));
        let (answer, _) = ask(&endless, b"", &[]).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test]
    async fn only_pages_that_may_connect() {
        check(&format!("{GOOD}Origin: https://evil.example\r\n"), 403).await;
        check(&format!("{GOOD}Origin: null\r\n"), 403).await;
        check(&format!("{GOOD}Origin: https://console.example\r\n"), 101).await;
        check(&format!("{GOOD}Origin: http://broker:8083\r\n"), 101).await;
        let request = format!("{GOOD}Origin: https://evil.example\r\n\r\n");
        assert!(ask(&request, b"", &["*"]).await.1.is_some());
    }
}
