//! A few lines of HTTP/1.1: enough to ask the API.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks for `path`; the status and the body as text.
pub(crate) async fn get(address: &str, path: &str) -> io::Result<(u16, String)> {
    let (status, _, body) = get_whole(address, path).await?;
    Ok((status, body))
}

/// Posts `json` to `path`; the status and the body as text.
pub(crate) async fn post(address: &str, path: &str, json: &str) -> io::Result<(u16, String)> {
    let (status, _, body) = send(address, &format!("POST {path}"), "", json).await?;
    Ok((status, body))
}

/// Sends `json` to a method and path, with more lines of head; the status, the head in lower case,
/// and the body.
pub(crate) async fn send(
    address: &str,
    what: &str,
    headers: &str,
    json: &str,
) -> io::Result<(u16, String, String)> {
    let length = json.len();
    let request = format!(
        "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
    );
    let (status, head, body) = ask(address, &request).await?;
    Ok((status, head.to_ascii_lowercase(), body))
}

/// Asks for `path` with more lines of head; the status, the head as it is, and the body.
pub(crate) async fn get_whole_as(
    address: &str,
    path: &str,
    headers: &str,
) -> io::Result<(u16, String, String)> {
    let head = format!("Host: {address}\r\nConnection: close\r\n{headers}");
    ask(address, &format!("GET {path} HTTP/1.1\r\n{head}\r\n")).await
}

/// Asks for `path`; the status, the head in lower case, and the body.
pub(crate) async fn get_whole(address: &str, path: &str) -> io::Result<(u16, String, String)> {
    let (status, head, body) = get_whole_as(address, path, "").await?;
    Ok((status, head.to_ascii_lowercase(), body))
}

async fn ask(address: &str, request: &str) -> io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let bad = || io::Error::new(io::ErrorKind::InvalidData, answer.to_string());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok((status, head.to_owned(), if chunked { dechunk(body) } else { body.to_owned() }))
}

/// Asks for `path`; the status and the body as JSON, null if it is none.
pub(crate) async fn get_json(address: &str, path: &str) -> io::Result<(u16, Value)> {
    let (status, body) = get(address, path).await?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

/// The same, with more lines of head.
pub(crate) async fn get_json_as(
    address: &str,
    path: &str,
    headers: &str,
) -> io::Result<(u16, Value)> {
    let (status, _, body) = get_whole_as(address, path, headers).await?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}
