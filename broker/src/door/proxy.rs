//! The header by which a proxy says for whom it connects: PROXY protocol, version 2, in binary.
//!
//! Parsing is pure; [`read`] brings the bytes. Version 1, the line of text, is refused: it has no
//! length, so a reader must guess where it ends.
// The specification: haproxy doc/proxy-protocol.txt, section 2.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What every header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;
/// Most bytes behind the fixed part: addresses and some TLVs. The specification asks receivers for
/// 520; proxies that pass a client's certificate on may send more.
const REST_BYTES_MAX: usize = 2048;

/// For whom the proxy connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// For itself, to see whether we live; or for someone it does not or cannot name.
    Proxy,
    /// For the client at this address.
    Client(SocketAddr),
}

/// Why a header is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// Something else came.
    #[error("no PROXY header came first")]
    Missing,
    /// It is the line of text.
    #[error("the PROXY header is of version 1: let the proxy send version 2")]
    Version1,
    /// Its version is none we know.
    #[error("the PROXY header's version is {0}, not 2")]
    Version(u8),
    /// It says what it may not say.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
    /// It is longer than we read.
    #[error("the PROXY header has {0} bytes, at most {REST_BYTES_MAX} are read")]
    TooLong(usize),
    /// The connection broke.
    #[error("the connection ended in the PROXY header")]
    Read(#[from] io::Error),
}

/// Reads a header, and not a byte more.
///
/// # Errors
/// [`ProxyError`].
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Origin, ProxyError> {
    let mut fixed = [0; FIXED_BYTES];
    let mut read_bytes = 0;
    while read_bytes < FIXED_BYTES {
        let n = stream.read(&mut fixed[read_bytes..]).await?;
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        read_bytes += n;
        // What else it may be is said at once, not when 16 bytes of it have come.
        check_signature(&fixed[..read_bytes])?;
    }
    let mut rest = vec![0; rest_bytes(&fixed)?];
    stream.read_exact(&mut rest).await?;
    parse(&fixed, &rest)
}

fn check_signature(bytes: &[u8]) -> Result<(), ProxyError> {
    let expected = &SIGNATURE[..bytes.len().min(SIGNATURE.len())];
    if bytes.starts_with(expected) {
        return Ok(());
    }
    const VERSION_1: &[u8] = b"PROXY ";
    let shown = bytes.len().min(VERSION_1.len());
    if bytes[..shown] != VERSION_1[..shown] {
        return Err(ProxyError::Missing);
    }
    if shown == VERSION_1.len() { Err(ProxyError::Version1) } else { Ok(()) }
}

/// How many bytes follow the fixed part.
fn rest_bytes(fixed: &[u8; FIXED_BYTES]) -> Result<usize, ProxyError> {
    check_signature(fixed)?;
    let size = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if size > REST_BYTES_MAX { Err(ProxyError::TooLong(size)) } else { Ok(size) }
}

/// Reads a whole header: its fixed part and the rest.
fn parse(fixed: &[u8; FIXED_BYTES], rest: &[u8]) -> Result<Origin, ProxyError> {
    let (version, command) = (fixed[12] >> 4, fixed[12] & 0x0F);
    let (family, protocol) = (fixed[13] >> 4, fixed[13] & 0x0F);
    if version != 2 {
        return Err(ProxyError::Version(version));
    }
    match command {
        // LOCAL: whatever addresses there are do not count.
        0 => return Ok(Origin::Proxy),
        1 => {}
        _ => return Err(ProxyError::Malformed("unknown command")),
    }
    match (family, protocol) {
        // AF_UNSPEC: the proxy's own address counts, says the specification.
        (0, _) => Ok(Origin::Proxy),
        (1..=3, 2) => Err(ProxyError::Malformed("datagrams")),
        (1, 1) => Ok(Origin::Client(ipv4(rest)?)),
        (2, 1) => Ok(Origin::Client(ipv6(rest)?)),
        // AF_UNIX: the client is on the proxy's machine.
        (3, 1) if rest.len() >= 216 => Ok(Origin::Proxy),
        (3, 1) => Err(ProxyError::Malformed("addresses cut short")),
        _ => Err(ProxyError::Malformed("unknown family or protocol")),
    }
}

fn ipv4(rest: &[u8]) -> Result<SocketAddr, ProxyError> {
    // Source and destination address, source and destination port; then TLVs, which we skip.
    let &[a, b, c, d, _, _, _, _, high, low, _, _, ..] = rest else {
        return Err(ProxyError::Malformed("addresses cut short"));
    };
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low])))
}

fn ipv6(rest: &[u8]) -> Result<SocketAddr, ProxyError> {
    let (Some(source), Some(ports)) = (rest.first_chunk::<16>(), rest.get(32..36)) else {
        return Err(ProxyError::Malformed("addresses cut short"));
    };
    let port = u16::from_be_bytes([ports[0], ports[1]]);
    Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*source)), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let size = u16::try_from(rest.len()).expect("short");
        [&SIGNATURE[..], &[command, family], &size.to_be_bytes(), rest].concat()
    }

    async fn read_all(bytes: &[u8]) -> Result<(Origin, usize), ProxyError> {
        let mut stream = bytes;
        let origin = read(&mut stream).await?;
        Ok((origin, stream.len()))
    }

    async fn check(bytes: &[u8], expected: Origin) {
        let with_mqtt = [bytes, b"\x10\x0D"].concat();
        let (origin, left) = read_all(&with_mqtt).await.expect("a header");
        assert_eq!((origin, left), (expected, 2), "{bytes:x?}");
    }

    async fn refused(bytes: &[u8]) -> String {
        read_all(bytes).await.expect_err("no good header").to_string()
    }

    fn client(text: &str) -> Origin {
        Origin::Client(text.parse().expect("an address"))
    }

    const V4: &[u8] = &[203, 0, 113, 9, 10, 0, 0, 1, 0xC3, 0x50, 0x07, 0x5B];

    #[tokio::test]
    async fn the_client_is_who_the_header_says() {
        check(&header(0x21, 0x11, V4), client("203.0.113.9:50000")).await;
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0D, 0xB8]);
        (v6[15], v6[32], v6[33]) = (7, 0x30, 0x39);
        check(&header(0x21, 0x21, &v6), client("[2001:db8::7]:12345")).await;
    }

    #[tokio::test]
    async fn tlvs_are_skipped() {
        // PP2_TYPE_AUTHORITY and PP2_TYPE_NOOP.
        let tlvs = [V4, b"\x02\0\x04host\x04\0\x01\0"].concat();
        check(&header(0x21, 0x11, &tlvs), client("203.0.113.9:50000")).await;
    }

    #[tokio::test]
    async fn the_proxy_speaks_for_itself() {
        check(&header(0x20, 0, &[]), Origin::Proxy).await;
        check(&header(0x20, 0x11, V4), Origin::Proxy).await;
        check(&header(0x21, 0, &[]), Origin::Proxy).await;
        check(&header(0x21, 0x31, &[0; 216]), Origin::Proxy).await;
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        let malformed = |why| format!("the PROXY header is malformed: {why}");
        assert_eq!(refused(&header(0x21, 0x11, &V4[..11])).await, malformed("addresses cut short"));
        assert_eq!(refused(&header(0x21, 0x21, V4)).await, malformed("addresses cut short"));
        assert_eq!(refused(&header(0x21, 0x31, V4)).await, malformed("addresses cut short"));
        assert_eq!(refused(&header(0x21, 0x12, V4)).await, malformed("datagrams"));
        assert_eq!(refused(&header(0x22, 0x11, V4)).await, malformed("unknown command"));
        assert_eq!(refused(&header(0x21, 0x41, V4)).await, malformed("unknown family or protocol"));
        assert!(refused(&header(0x31, 0x11, V4)).await.ends_with("version is 3, not 2"));
        assert!(refused(&header(0x21, 0x11, &[0; 2049])).await.contains("2049 bytes"));
        assert!(refused(&header(0x21, 0x11, V4)[..20]).await.contains("ended"));
    }

    #[tokio::test]
    async fn version_1_is_told_from_no_header_at_once() {
        // Not 16 bytes yet: nobody waits for more.
        let line = tokio::io::join(&b"PROXY TCP4"[..], tokio::io::sink());
        let mut waits = tokio::io::AsyncReadExt::chain(line, tokio::io::empty());
        assert!(matches!(read(&mut waits).await, Err(ProxyError::Version1)));
        assert!(matches!(read_all(b"\x10\x0D\0\x04MQTT").await, Err(ProxyError::Missing)));
        assert!(matches!(read_all(b"PRINT").await, Err(ProxyError::Missing)));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(fixed in any::<[u8; 4]>(), rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let header: [u8; FIXED_BYTES] =
                [&SIGNATURE[..], &fixed].concat().try_into().expect("sixteen");
            let _any = parse(&header, &rest);
        }
    }
}
