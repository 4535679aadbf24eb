//! A client that speaks MQTT byte by byte: for what no library would send, and to see what comes
//! back and when.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::service::PATIENCE;

/// A connection, and what has come over it and was not looked at yet.
#[derive(Debug)]
pub(crate) struct RawClient {
    stream: TcpStream,
}

impl RawClient {
    /// Connects, and sends nothing.
    pub(crate) async fn dial(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Connects as `name` with MQTT 3.1.1 and this keepalive, and reads CONNACK.
    pub(crate) async fn connect(address: &str, name: &str, keepalive_s: u16) -> Self {
        let mut client = Self::dial(address).await;
        let mut body = b"\0\x04MQTT\x04\x02".to_vec();
        body.extend(keepalive_s.to_be_bytes());
        push_text(&mut body, name.as_bytes());
        client.send(&packet(0x10, &body)).await;
        assert_eq!(client.read(4).await, [0x20, 2, 0, 0]);
        client
    }

    /// Connects with this CONNECT, and gives the code of CONNACK.
    pub(crate) async fn knock(address: &str, connect: &[u8]) -> (Self, u8) {
        let mut client = Self::dial(address).await;
        client.send(connect).await;
        let connack = client.packet().await;
        assert_eq!(connack[0], 0x20);
        (client, connack[3])
    }

    /// The next packet, which is short.
    pub(crate) async fn packet(&mut self) -> Vec<u8> {
        let mut packet = self.read(2).await;
        assert!(packet[1] < 0x80, "a long packet");
        packet.extend(self.read(usize::from(packet[1])).await);
        packet
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Publishes with QoS 1; does not wait.
    pub(crate) async fn publish(&mut self, packet_id: u16, topic: &[u8], payload: &[u8]) {
        self.send(&publish(packet_id, topic, payload)).await;
    }

    /// Publishes with QoS 1 and waits for the acknowledgement.
    pub(crate) async fn deliver(&mut self, topic: &str, payload: &[u8]) {
        self.publish(1, topic.as_bytes(), payload).await;
        self.acknowledged(1, Instant::now()).await;
    }

    /// Sends bytes as far as the other side still reads.
    pub(crate) async fn send_what_goes(&mut self, bytes: &[u8]) {
        let _broken_pipe = self.stream.write_all(bytes).await;
    }

    /// Says that nothing more is sent.
    pub(crate) async fn finish(&mut self) {
        let _gone_already = self.stream.shutdown().await;
    }

    /// The next `n` bytes.
    pub(crate) async fn read(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        let reading = self.stream.read_exact(&mut bytes);
        timeout(PATIENCE, reading).await.expect("bytes in time").unwrap();
        bytes
    }

    /// Everything that comes until nothing has come for so long.
    ///
    /// # Panics
    /// If the connection ends.
    pub(crate) async fn until_silent_for(&mut self, silence: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(read) = timeout(silence, self.stream.read_buf(&mut bytes)).await {
            assert!(read.unwrap() > 0, "the connection has ended");
        }
        bytes
    }

    /// Reads the acknowledgement of this packet; how long it took since `since`.
    pub(crate) async fn acknowledged(&mut self, packet_id: u16, since: Instant) -> Duration {
        let [high, low] = packet_id.to_be_bytes();
        assert_eq!(self.read(4).await, [0x40, 2, high, low]);
        since.elapsed()
    }

    /// Everything that still comes until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("it is closed");
        rest
    }
}

/// CONNECT of MQTT `level` (4 or 5) with a user and a password, where there is one.
pub(crate) fn connect(level: u8, client: &str, user: &str, password: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT".to_vec();
    let flags = if user.is_empty() { 0x02 } else { 0xC2 };
    body.extend([level, flags, 0, 60]);
    if level == 5 {
        body.push(0);
    }
    push_text(&mut body, client.as_bytes());
    if !user.is_empty() {
        push_text(&mut body, user.as_bytes());
        push_text(&mut body, password.as_bytes());
    }
    packet(0x10, &body)
}

/// SUBSCRIBE to one filter with QoS 1, of MQTT 3.1.1.
pub(crate) fn subscribe(packet_id: u16, filter: &str) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    push_text(&mut body, filter.as_bytes());
    body.push(1);
    packet(0x82, &body)
}

/// A packet of this type with this body.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let digit = u8::try_from(left % 128).unwrap();
        left /= 128;
        bytes.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// PUBLISH with QoS 1.
pub(crate) fn publish(packet_id: u16, topic: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, topic);
    body.extend(packet_id.to_be_bytes());
    body.extend_from_slice(payload);
    packet(0x32, &body)
}

/// Adds a text as MQTT writes it: its length, then itself.
pub(crate) fn push_text(body: &mut Vec<u8>, text: &[u8]) {
    body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    body.extend_from_slice(text);
}
