//! One source that takes all connections it can get.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::http;
use crate::support::people::add_user;
use crate::support::service::{PATIENCE, Service, Settings, poll};

/// The status that a connection is answered; none if it is closed.
async fn asked(mut stream: TcpStream, headers: &str) -> Option<u16> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let _closed = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).map(|status| status.parse().unwrap())
}

/// A connection from another address of this machine.
async fn from(source: &str, service: &Service) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    let to: SocketAddr = service.http().parse().unwrap();
    socket.connect(to).await.unwrap()
}

async fn n_refused(service: &Service) -> u64 {
    let name = "bellwire_http_connections_refused_total ";
    // From a source that has none yet.
    let mut stream = from("127.0.0.9", service).await;
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_has_so_many_connections_and_keeps_nobody_else_out() {
    let settings = Settings::guarded()
        .set("BELLWIRE_HTTP_CONNECTIONS_PER_SOURCE_MAX", 8)
        // Nobody is sent away meanwhile for saying nothing.
        .set("BELLWIRE_HTTP_HEADER_TIMEOUT_MS", 600_000);
    let service = Service::start(settings).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(from("127.0.0.2", &service).await);
    }
    for _ in 0..30 {
        assert_eq!(asked(from("127.0.0.2", &service).await, "").await, None);
        assert_eq!(asked(from("127.0.0.3", &service).await, "").await, Some(200));
    }
    assert_eq!(n_refused(&service).await, 30);
    let said = "Refusing HTTP connections of 127.0.0.2";
    let n_said = service.log().matches(said).count();
    assert!((1..5).contains(&n_said), "it is said once in a while, not {n_said} times");
    // What is given back is there for the next.
    idle.pop();
    let mut pulse = poll();
    let waiting = async {
        while asked(from("127.0.0.2", &service).await, "").await.is_none() {
            pulse.tick().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("there is room");
    service.assert_quiet(&[said]);
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_trusted_proxy_the_requests_of_each_client_are_counted() {
    let settings = Settings::guarded()
        .set("BELLWIRE_HTTP_CONNECTIONS_PER_SOURCE_MAX", 4)
        .set("BELLWIRE_HTTP_TRUSTED_PROXIES", "127.0.0.1");
    let mut service = Service::prepare(settings);
    add_user(&service, "root", "admin").await;
    service.launch().await;
    let head = format!("Host: x\r\nX-Forwarded-For: 203.0.113.7\r\n{}", service.authorization());
    let events = format!("GET /api/v1/live/events HTTP/1.1\r\n{head}\r\n");
    let socket = format!(
        "GET /api/v1/live HTTP/1.1\r\n{head}Connection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let live = async |request: &str, status: &str| {
        let mut stream = TcpStream::connect(service.http()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut line = vec![0; 12];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&line), format!("HTTP/1.1 {status}"));
        stream
    };
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(live(&events, "200").await);
        open.push(live(&socket, "101").await);
    }
    let ask = |address: &'static str| {
        let header = format!("X-Forwarded-For: {address}\r\n");
        let to = service.http();
        async move { http::get_whole_as(&to, "/api/v1/session/ways", &header).await.unwrap() }
    };
    let (status, head, body) = ask("203.0.113.7").await;
    assert_eq!(status, 429, "{body}");
    assert!(body.contains("too_many_connections"), "{body}");
    assert!(head.to_lowercase().contains("retry-after: "), "{head}");
    // Another client of the proxy, and more connections of its own than one client has.
    assert_eq!(ask("203.0.113.8").await.0, 200);
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(service.http()).await.unwrap());
    }
    assert_eq!(asked(TcpStream::connect(service.http()).await.unwrap(), "").await, Some(200));
    // A stream, then a WebSocket, that ends gives its place back.
    for _ in 0..2 {
        drop(open.remove(0));
        let mut pulse = poll();
        let waiting = async {
            while ask("203.0.113.7").await.0 != 200 {
                pulse.tick().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("there is room");
        open.push(live(&events, "200").await);
    }
    service.assert_quiet(&["Refusing HTTP connections of 203.0.113.7"]);
}
