//! Where a request comes from: from which address, over which line, and from which page.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Request, header};
use bellwire_model::Network;

use crate::peer::Peer;

/// Whether what goes over a line can be read on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// It can.
    Plain,
    /// It cannot: TLS, here or at the proxy before us.
    Encrypted,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// The client's line, to the proxy if there is one that is trusted.
    pub(crate) wire: Wire,
    /// Whether somebody may stand between, of whom nothing is known.
    pub(crate) nearness: Nearness,
}

/// Whether a client is on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nearness {
    /// It is.
    Here,
    /// It is not, or it cannot be said.
    Elsewhere,
}

impl Source {
    /// Reads it from the connection, and from what a proxy says, if it is one of `trusted`.
    pub(crate) fn of(peer: Peer, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let Peer { address: peer, is_secure } = peer;
        let own = if is_secure { Wire::Encrypted } else { Wire::Plain };
        let is_trusted = |address: &IpAddr| trusted.iter().any(|it| it.contains(*address));
        let forwarded = texts(headers, "x-forwarded-for");
        if !is_trusted(&peer) {
            let by_proxy = !forwarded.is_empty() || headers.contains_key(header::FORWARDED);
            let is_here = peer.is_loopback() && !by_proxy;
            let nearness = if is_here { Nearness::Here } else { Nearness::Elsewhere };
            return Self { address: peer, wire: own, nearness };
        }
        // From the right: each proxy that is trusted has added whom it heard from. What stands further
        // left may be made up.
        let said = forwarded.iter().rev().flat_map(|text| text.rsplit(','));
        let said = said.map(|text| text.trim().parse::<IpAddr>().ok());
        let client = said.map_while(|address| address.map(|it| it.to_canonical()));
        let mut address = peer;
        for hop in client {
            address = hop;
            if !is_trusted(&hop) {
                break;
            }
        }
        let protocol = texts(headers, "x-forwarded-proto");
        let protocol = protocol.last().and_then(|text| text.rsplit(',').next()).map(str::trim);
        let wire = match (protocol, own) {
            (Some("https"), _) | (None, Wire::Encrypted) => Wire::Encrypted,
            _ => Wire::Plain,
        };
        let is_here = address.is_loopback() && address == peer && forwarded.is_empty();
        let nearness = if is_here { Nearness::Here } else { Nearness::Elsewhere };
        Self { address, wire, nearness }
    }
}

fn texts<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
}

/// Whether a browser says that a page of another origin sends this. Browsers let any page send requests
/// to any host, and say in `Origin` which page it was, newer ones in `Sec-Fetch-Site` too. Only our own
/// pages may: their origin's host is the one that was asked.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) => !origin.eq_ignore_ascii_case(host),
        _ => true,
    }
}

/// Whether a request came by a name that is none of this machine's own: whoever owns the name can have it
/// point here, and then a page of theirs asks as one of ours (DNS rebinding). A name without a full stop
/// is of this network.
pub(crate) fn is_by_foreign_name<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.or_else(|| request.uri().authority().map(Authority::as_str)) else {
        return false;
    };
    let Ok(authority) = host.parse::<Authority>() else { return true };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    !is_address && name.contains('.') && !name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    fn source(
        peer: &str,
        lines: &[(&'static str, &str)],
        trusted: &[&str],
    ) -> (String, Wire, Nearness) {
        let peer = Peer { address: peer.parse().unwrap(), is_secure: false };
        let trusted: Vec<Network> = trusted.iter().map(|it| it.parse().unwrap()).collect();
        let Source { address, wire, nearness } = Source::of(peer, &headers(lines), &trusted);
        (address.to_string(), wire, nearness)
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        use Nearness::{Elsewhere, Here};
        use Wire::{Encrypted, Plain};
        let said = [("x-forwarded-for", "9.9.9.9, 10.1.1.1"), ("x-forwarded-proto", "https")];
        let check = |peer, lines: &[_], trusted: &[_], address: &str, wire, near| {
            assert_eq!(source(peer, lines, trusted), (address.to_owned(), wire, near));
        };
        check("127.0.0.1", &[], &[], "127.0.0.1", Plain, Here);
        check("::1", &[], &[], "::1", Plain, Here);
        check("10.1.1.1", &[], &[], "10.1.1.1", Plain, Elsewhere);
        check("127.0.0.1", &said, &[], "127.0.0.1", Plain, Elsewhere);
        check("127.0.0.1", &said, &["127.0.0.1"], "10.1.1.1", Encrypted, Elsewhere);
        check("127.0.0.1", &said, &["127.0.0.1", "10.1.1.1"], "9.9.9.9", Encrypted, Elsewhere);
        check("10.2.2.2", &said, &["127.0.0.1"], "10.2.2.2", Plain, Elsewhere);
        let networks = ["127.0.0.0/8", "10.1.0.0/16"];
        check("127.0.0.1", &said, &networks, "9.9.9.9", Encrypted, Elsewhere);
        check("10.2.2.2", &said, &networks, "10.2.2.2", Plain, Elsewhere);
        let made_up = [("x-forwarded-for", "127.0.0.1")];
        check("127.0.0.1", &made_up, &["127.0.0.1"], "127.0.0.1", Plain, Elsewhere);
        let garbage = [("x-forwarded-for", "8.8.8.8, what")];
        check("127.0.0.1", &garbage, &["127.0.0.1"], "127.0.0.1", Plain, Elsewhere);
    }

    #[test]
    fn a_name_that_is_not_this_machines_own_is_foreign() {
        for (host, foreign) in [
            ("127.0.0.1:8080", false),
            ("[::1]:8080", false),
            ("localhost", false),
            ("localhost.:8080", false),
            ("bell.localhost:8080", false),
            ("bellwire:8080", false),
            ("evil.example:8080", true),
            ("127.0.0.1.evil.example", true),
            ("EVIL.EXAMPLE.", true),
            ("a b.example", true),
        ] {
            let request = Request::builder().uri("/").header("host", host).body(()).unwrap();
            assert_eq!(is_by_foreign_name(&request), foreign, "{host}");
        }
        let newer = Request::builder().uri("http://evil.example/").body(()).unwrap();
        assert!(is_by_foreign_name(&newer), "HTTP/2 has no Host");
        let none = Request::builder().uri("/").body(()).unwrap();
        assert!(!is_by_foreign_name(&none));
    }

    #[test]
    fn pages_of_other_origins_are_foreign() {
        let host = ("host", "bell.example:8080");
        for (lines, foreign) in [
            (vec![], false),
            (vec![("origin", "http://bell.example:8080")], false),
            (vec![("origin", "https://BELL.example:8080")], false),
            (vec![("origin", "http://bell.example")], true),
            (vec![("origin", "http://evil.example")], true),
            (vec![("origin", "null")], true),
            (vec![("sec-fetch-site", "same-origin")], false),
            (vec![("sec-fetch-site", "none")], false),
            (vec![("sec-fetch-site", "same-site")], true),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "http://bell.example:8080")], true),
        ] {
            let all: Vec<_> = std::iter::once(host).chain(lines.iter().copied()).collect();
            assert_eq!(is_foreign(&headers(&all)), foreign, "{lines:?}");
        }
        assert!(is_foreign(&headers(&[("origin", "http://bell.example")])), "no host");
    }
}
