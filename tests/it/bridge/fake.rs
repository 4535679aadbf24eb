//! A broker that does what no broker should have to, at the very moment it hurts.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::bridge::{bridged, received};
use crate::support::service::PATIENCE;

const PUBLISH_7: &[u8] = b"\x32\x1F\0\x14devices/d7/telemetry\0\x07{\"n\":0}";

/// A broker, byte by byte.
struct Broker {
    listener: TcpListener,
}

impl Broker {
    async fn listen() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        (Self { listener }, url)
    }

    /// Takes the next connection, and reads its CONNECT; gives the level of its protocol.
    async fn accept(&self) -> (TcpStream, u8) {
        let (mut stream, _) =
            timeout(PATIENCE, self.listener.accept()).await.expect("it connects").unwrap();
        let connect = read(&mut stream).await;
        assert_eq!((connect[0], &connect[2..8]), (0x10, &b"\0\x04MQTT"[..]));
        (stream, connect[8])
    }

    /// Takes the next connection, of MQTT 3.1.1, and answers CONNECT and SUBSCRIBE.
    async fn serve(&self, has_session: u8) -> TcpStream {
        let (mut stream, level) = self.accept().await;
        assert_eq!(level, 4);
        stream.write_all(&[0x20, 2, has_session, 0]).await.unwrap();
        let subscribe = read(&mut stream).await;
        assert_eq!(subscribe[0], 0x82);
        let n_filters = subscribe.windows(8).filter(|it| *it == b"devices/").count();
        let n_bytes = u8::try_from(2 + n_filters).unwrap();
        let mut suback = vec![0x90, n_bytes, subscribe[2], subscribe[3]];
        suback.resize(4 + n_filters, 1);
        stream.write_all(&suback).await.unwrap();
        stream
    }
}

/// One short packet.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let reading = async {
        let mut packet = vec![0; 2];
        stream.read_exact(&mut packet).await.unwrap();
        assert!(packet[1] < 0x80, "it is short");
        packet.resize(2 + usize::from(packet[1]), 0);
        stream.read_exact(&mut packet[2..]).await.unwrap();
        packet
    };
    timeout(PATIENCE, reading).await.expect("a packet in time")
}

/// The next packet that is no PINGREQ.
async fn answer(stream: &mut TcpStream) -> Vec<u8> {
    loop {
        let packet = read(stream).await;
        if packet[0] != 0xC0 {
            return packet;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_after_a_crash_counts_as_a_repetition() {
    let (broker, url) = Broker::listen().await;
    let mut service = bridged(&url, "protocol = '3.1.1'");
    service.launch().await;
    let mut stream = broker.serve(0).await;
    stream.write_all(PUBLISH_7).await.unwrap();
    assert_eq!(answer(&mut stream).await, [0x40, 2, 0, 7]);
    // The broker has not heard that: its connection was gone. It sends it again, with DUP.
    service.kill().await;
    drop(stream);
    service.launch().await;
    let mut stream = broker.serve(1).await;
    let mut again = PUBLISH_7.to_vec();
    again[0] |= 8;
    stream.write_all(&again).await.unwrap();
    assert_eq!(answer(&mut stream).await, [0x40, 2, 0, 7]);
    // And this is another publish with the same bytes: it has no DUP.
    stream.write_all(PUBLISH_7).await.unwrap();
    assert_eq!(answer(&mut stream).await, [0x40, 2, 0, 7]);
    let audit = received(&service, "d7", 2).await;
    let counts = ["received", "stored", "duplicate", "quarantined"].map(|key| &audit[key]);
    assert_eq!(counts, [3, 2, 1, 0], "{audit}");
    assert!(service.stop().await.success());
    service.assert_quiet(&["Bridge `plant` is not connected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_knows_no_mqtt_5_is_spoken_to_in_3_1_1() {
    let (broker, url) = Broker::listen().await;
    let mut service = bridged(&url, "");
    service.launch().await;
    let (mut stream, level) = broker.accept().await;
    assert_eq!(level, 5);
    stream.write_all(&[0x20, 2, 0, 1]).await.unwrap();
    let mut stream = broker.serve(0).await;
    stream.write_all(PUBLISH_7).await.unwrap();
    assert_eq!(answer(&mut stream).await, [0x40, 2, 0, 7]);
    received(&service, "d7", 1).await;
    // Asked to stop, it says so.
    service.signal(libc::SIGTERM);
    assert_eq!(answer(&mut stream).await, [0xE0, 0]);
    assert!(service.ended().await.success());
    service.assert_quiet(&["it does not know this version of MQTT"]);
}
