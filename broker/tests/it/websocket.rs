//! MQTT over WebSocket, with and without TLS, spoken to by a WebSocket client other people wrote.

use bellwire_broker::{Config, Transport};
use bellwire_model::Outcome;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::certs::{Authority, Files, over_tls};
use crate::support::{
    RawClient, Service, Speaks, connect, exchange_large, publish, subscribe, wait_until, within,
};
use crate::tls::anywhere;

/// Asks for a WebSocket as a browser's script does.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    path: &str,
    subprotocol: Option<&'static str>,
) -> Result<(WebSocketStream<S>, Response), Error> {
    let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
    if let Some(subprotocol) = subprotocol {
        let value = HeaderValue::from_static(subprotocol);
        request.headers_mut().insert("Sec-WebSocket-Protocol", value);
    }
    within(tokio_tungstenite::client_async(request, stream)).await
}

/// A client that speaks MQTT in binary messages.
struct Client<S> {
    socket: WebSocketStream<S>,
    /// Received, not yet looked at.
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Client<S> {
    async fn open(stream: S) -> Self {
        let (socket, response) = upgrade(stream, "/mqtt", Some("mqtt")).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
        Self { socket, received: Vec::new() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        within(self.socket.send(Message::Binary(bytes.to_vec().into()))).await.unwrap();
    }

    async fn expect(&mut self, bytes: &[u8]) {
        while self.received.len() < bytes.len() {
            let message = within(self.socket.next()).await.unwrap().unwrap();
            assert!(message.is_binary(), "{message:?}");
            self.received.extend(message.into_data());
        }
        let rest = self.received.split_off(bytes.len());
        assert_eq!(std::mem::replace(&mut self.received, rest), bytes);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Speaks for Client<S> {
    async fn says(&mut self, bytes: &[u8]) {
        self.send(bytes).await;
    }

    async fn hears(&mut self, bytes: &[u8]) {
        self.expect(bytes).await;
    }
}

fn config() -> Config {
    Config { websocket_listen: anywhere(), ..Config::default() }
}

async fn tcp(service: &Service) -> TcpStream {
    TcpStream::connect(service.at(Transport::WebSocket)).await.unwrap()
}

#[tokio::test]
async fn packets_may_span_messages_and_messages_hold_several() {
    let mut service = Service::start_with(config(), 10).await;
    let mut client = Client::open(tcp(&service).await).await;
    let stream = [connect(4, "c"), subscribe("a", 0), publish("devices/d", b"x", 3)].concat();
    for piece in stream.chunks(5) {
        client.send(piece).await;
    }
    client.expect(&[0x20, 2, 0, 0, 0x90, 3, 0, 1, 0]).await;
    service.delivery().await.receipt.settle(Outcome::Durable);
    client.expect(&[0x40, 2, 0, 3]).await;
    client.send(&[publish("a", b"1", 0), publish("a", b"2", 0)].concat()).await;
    client.expect(&[publish("a", b"1", 0), publish("a", b"2", 0)].concat()).await;
    service.stop(client).await;
}

/// A large publish in, large messages out, an orderly end.
async fn large<S: AsyncRead + AsyncWrite + Unpin + Send>(service: &mut Service, stream: S) {
    let mut client = Client::open(stream).await;
    client.send(&connect(4, "c")).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    exchange_large(service, &mut client).await;
    client.send(&[0xE0, 0]).await;
    within(client.socket.close(None)).await.unwrap();
    wait_until(|| service.handle.connections() == 0).await;
}

#[tokio::test]
async fn publishes_and_messages_go_over_websocket_however_large() {
    let mut service = Service::start_with(config(), 10).await;
    let stream = tcp(&service).await;
    large(&mut service, stream).await;
    service.stop(()).await;
}

#[tokio::test]
async fn and_over_websocket_over_tls() {
    let authority = Authority::new("authority");
    let files = Files::new(&authority);
    let config =
        Config { websocket_tls_listen: anywhere(), tls: files.config(), ..Config::default() };
    let mut service = Service::start_with(config, 10).await;
    let address = service.at(Transport::WebSocketTls);
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = over_tls(stream, authority.client(None)).await.unwrap().0;
    large(&mut service, stream).await;
    service.stop(()).await;
}

#[tokio::test]
async fn without_the_subprotocol_or_elsewhere_there_is_no_mqtt() {
    let service = Service::start_with(config(), 1).await;
    for (path, subprotocol, status) in
        [("/mqtt", None, 400), ("/mqtt", Some("chat"), 400), ("/elsewhere", Some("mqtt"), 404)]
    {
        let refused = upgrade(tcp(&service).await, path, subprotocol).await;
        let Err(Error::Http(response)) = refused else { panic!("{refused:?}") };
        assert_eq!(response.status(), status);
    }
    let mut plain = RawClient(tcp(&service).await);
    plain.send(&connect(4, "c")).await;
    assert!(plain.read_or_nothing().await.starts_with(b"HTTP/1.1 400 "));
    let failed = service.metric("bellwire_mqtt_handshakes_failed_total", Some("websocket"));
    assert_eq!(failed, 4.0);
    service.stop(plain).await;
}

#[tokio::test]
async fn text_ends_the_connection() {
    let service = Service::start_with(config(), 1).await;
    let (mut socket, _) = upgrade(tcp(&service).await, "/", Some("mqtt")).await.unwrap();
    socket.send(Message::Binary(connect(4, "c").into())).await.unwrap();
    assert!(within(socket.next()).await.unwrap().unwrap().is_binary());
    socket.send(Message::Text("\u{c0}\0".into())).await.unwrap();
    let Some(Ok(Message::Close(Some(close)))) = within(socket.next()).await else {
        panic!("no Close")
    };
    assert_eq!(u16::from(close.code), 1003);
    wait_until(|| service.handle.connections() == 0).await;
    service.stop(socket).await;
}

#[tokio::test]
async fn a_reason_to_disconnect_arrives_before_the_close() {
    let service = Service::start_with(config(), 1).await;
    let mut client = Client::open(tcp(&service).await).await;
    client.send(&connect(5, "c")).await;
    let connack = within(client.socket.next()).await.unwrap().unwrap().into_data();
    assert_eq!(connack[0], 0x20);
    client.send(&connect(5, "again")).await;
    let disconnect = within(client.socket.next()).await.unwrap().unwrap().into_data();
    assert_eq!((disconnect[0], disconnect[2]), (0xE0, 0x82));
    assert!(within(client.socket.next()).await.unwrap().unwrap().is_close());
    let mut rest = Vec::new();
    within(client.socket.get_mut().read_to_end(&mut rest)).await.unwrap();
    service.stop(client.socket).await;
}
