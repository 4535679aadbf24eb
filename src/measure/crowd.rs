//! Many MQTT 3.1.1 clients that do nothing but be there, each speaking in bytes: what a connection
//! costs a broker is measured with these.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// How long one client may take to be let in: far longer than a broker in good health takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keepalive in CONNECT: longer than a bench runs, and not 0, which rumqttd refuses.
const KEEPALIVE_S: u16 = 3600;
/// Addresses of this machine that clients come from: a port each, and one address has but 28,000.
const SOURCES: u8 = 16;

/// What a client asks for once it is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing.
    Stay,
    /// Its own command topic, with QoS 1.
    Commands,
}

/// Who shall come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guests<'a> {
    /// Where the broker listens.
    pub(crate) address: SocketAddr,
    /// What client identifiers begin with; a number follows.
    pub(crate) prefix: &'a str,
    /// How many come.
    pub(crate) n: usize,
    /// How many of them connect at a time.
    pub(crate) at_once: usize,
    /// What they ask for.
    pub(crate) wish: Wish,
    /// Each one's password, to go with its client identifier as user name; `None` where nobody is asked.
    pub(crate) passwords: Option<&'a [String]>,
}

impl Guests<'_> {
    /// A guest's client identifier.
    pub(crate) fn id(prefix: &str, number: usize) -> String {
        format!("{prefix}-{number:05}")
    }
}

/// The connections of those who came.
#[derive(Debug)]
pub(crate) struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Lets everyone connect; gives how long that took.
    ///
    /// # Errors
    /// If one of them is not let in.
    pub(crate) async fn join(guests: &Guests<'_>) -> anyhow::Result<(Self, Duration)> {
        let begun = Instant::now();
        let coming = stream::iter(0..guests.n).map(|number| async move {
            timeout(PATIENCE, join(guests, number)).await.context("a client waits in vain")?
        });
        let came: Vec<_> = coming.buffer_unordered(guests.at_once).collect().await;
        let elapsed = begun.elapsed();
        Ok((Self(came.into_iter().collect::<anyhow::Result<_>>()?), elapsed))
    }

    /// How many of them the broker has hung up on meanwhile. They are sent nothing, so whatever is
    /// there to be read is the end.
    pub(crate) fn gone(&self) -> usize {
        let ended = |stream: &&TcpStream| match stream.try_read(&mut [0; 1]) {
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            Ok(_) => true,
        };
        self.0.iter().filter(ended).count()
    }
}

async fn join(guests: &Guests<'_>, number: usize) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if guests.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let source = u8::try_from(number % usize::from(SOURCES)).expect("below 16") + 1;
        socket.bind(SocketAddr::from(([127, 0, 1, source], 0)))?;
    }
    let mut stream = socket.connect(guests.address).await?;
    stream.set_nodelay(true)?;
    let id = Guests::id(guests.prefix, number);
    let password = guests.passwords.and_then(|passwords| passwords.get(number));
    stream.write_all(&connect(&id, password.map(String::as_str))).await?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.context("the broker hung up on CONNECT")?;
    ensure!(connack == [0x20, 2, 0, 0], "CONNACK says {connack:x?}");
    if guests.wish == Wish::Commands {
        stream.write_all(&subscribe(&format!("devices/{id}/commands"))).await?;
        let mut suback = [0; 5];
        stream.read_exact(&mut suback).await.context("the broker hung up on SUBSCRIBE")?;
        ensure!(suback == [0x90, 3, 0, 1, 1], "SUBACK says {suback:x?}");
    }
    Ok(stream)
}

/// A CONNECT that asks for a clean session; with a password the user name is `id`.
fn connect(id: &str, password: Option<&str>) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.push(if password.is_some() { 0xC2 } else { 2 });
    body.extend(KEEPALIVE_S.to_be_bytes());
    text(id, &mut body);
    if let Some(password) = password {
        text(id, &mut body);
        text(password, &mut body);
    }
    packet(0x10, &body)
}

fn subscribe(filter: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    text(filter, &mut body);
    body.push(1);
    packet(0x82, &body)
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend(u16::try_from(text.len()).expect("names here are short").to_be_bytes());
    out.extend(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push(u8::try_from(length & 0x7F).expect("seven bits") | 0x80);
        length >>= 7;
    }
    packet.push(u8::try_from(length).expect("seven bits"));
    packet.extend(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_standard_has_them() {
        assert_eq!(connect("c", None), b"\x10\x0D\0\x04MQTT\x04\x02\x0E\x10\0\x01c");
        let named = b"\x10\x13\0\x04MQTT\x04\xC2\x0E\x10\0\x01c\0\x01c\0\x01p";
        assert_eq!(connect("c", Some("p")), named);
        assert_eq!(subscribe("a"), b"\x82\x06\0\x01\0\x01a\x01");
        assert_eq!(packet(0x30, &[0; 200])[..3], [0x30, 0xC8, 1]);
    }
}
