//! The cookies that we set and read.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

use super::origin::Wire;
use super::secret::Secret;

/// A cookie that only we set and read, and no script sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Its name where it goes over an encrypted line only. With the prefix browsers take it only so,
    /// from this host, for all of its paths (RFC 6265bis, 4.1.3.2).
    secure: &'static str,
    /// Its name where the line is not encrypted.
    plain: &'static str,
    same_site: &'static str,
}

/// The session's.
pub(crate) const SESSION: Cookie =
    Cookie { secure: "__Host-bellwire", plain: "bellwire", same_site: "Strict" };
/// What is remembered while somebody signs in at a provider, from whose pages they come back.
pub(crate) const SIGN_IN: Cookie =
    Cookie { secure: "__Host-bellwire-sign-in", plain: "bellwire-sign-in", same_site: "Lax" };

impl Cookie {
    const fn name(self, wire: Wire) -> &'static str {
        match wire {
            Wire::Encrypted => self.secure,
            Wire::Plain => self.plain,
        }
    }

    /// The secret that a request brings. If it brings several, the first counts.
    pub(crate) fn read(self, headers: &HeaderMap, wire: Wire) -> Option<Secret> {
        let name = self.name(wire);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
        let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
        Secret::parse(value.trim())
    }

    /// Sets it for so long.
    pub(crate) fn set(self, secret: &Secret, wire: Wire, lasts: Duration) -> HeaderValue {
        self.line(&secret.text(), wire, lasts)
    }

    /// Takes it away.
    pub(crate) fn clear(self, wire: Wire) -> HeaderValue {
        self.line("", wire, Duration::ZERO)
    }

    fn line(self, value: &str, wire: Wire, lasts: Duration) -> HeaderValue {
        let secure = match wire {
            Wire::Encrypted => "; Secure",
            Wire::Plain => "",
        };
        let line = format!(
            "{}={value}; Path=/; HttpOnly; SameSite={}; Max-Age={}{secure}",
            self.name(wire),
            self.same_site,
            lasts.as_secs()
        );
        HeaderValue::try_from(line).expect("names and hexadecimal digits are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_set() {
        let secret = Secret::random().unwrap();
        for wire in [Wire::Plain, Wire::Encrypted] {
            let line = SESSION.set(&secret, wire, Duration::from_secs(9));
            let line = line.to_str().unwrap();
            let pair = line.split(';').next().unwrap();
            let sent = headers(&["theme=dark", &format!("a=b; {pair}; c=d")]);
            assert_eq!(SESSION.read(&sent, wire), Some(secret.clone()));
            assert!(line.contains("HttpOnly; SameSite=Strict; Max-Age=9"), "{line}");
            assert_eq!(
                line.contains("Secure") && line.starts_with("__Host-"),
                wire == Wire::Encrypted
            );
        }
    }

    #[test]
    fn one_that_went_over_a_plain_line_is_none_on_an_encrypted_one() {
        let secret = Secret::random().unwrap();
        let sent = headers(&[&format!("bellwire={}", secret.text())]);
        assert_eq!(SESSION.read(&sent, Wire::Encrypted), None);
        assert_eq!(SESSION.read(&sent, Wire::Plain), Some(secret));
    }

    #[test]
    fn garbage_is_no_cookie() {
        for line in ["bellwire", "bellwire=", "bellwire=zz", "=; ;;=", "xbellwire=00"] {
            assert_eq!(SESSION.read(&headers(&[line]), Wire::Plain), None, "{line}");
        }
        let cleared = SESSION.clear(Wire::Plain);
        assert!(cleared.to_str().unwrap().contains("Max-Age=0"));
    }
}
