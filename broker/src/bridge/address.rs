//! Where a broker is: the URL of a bridge, taken apart.

use std::net::IpAddr;

/// Why a text is no address of a broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("it must be set, as mqtt://broker.example:1883")]
    Missing,
    #[error("`{0}` begins neither with mqtt:// nor with mqtts://")]
    Scheme(String),
    #[error("it has a user or password in it: they belong into user and password_file")]
    User,
    #[error("`{0}` is no host with a port, as in mqtt://broker.example:1883")]
    Host(String),
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) has_tls: bool,
}

impl Address {
    /// Takes a URL apart.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        if url.is_empty() {
            return Err(AddressError::Missing);
        }
        let (rest, has_tls) = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            // What stands before an `@` may be a password.
            _ => {
                return Err(AddressError::Scheme(
                    url.rsplit('@').next().unwrap_or_default().into(),
                ));
            }
        };
        if rest.contains('@') {
            return Err(AddressError::User);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let wrong = || AddressError::Host(rest.to_owned());
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, after)) => (host, Some(after.strip_prefix(':').ok_or_else(wrong)?)),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let default = if has_tls { 8883 } else { 1883 };
        let port = port.map_or(Ok(default), |port| port.parse().map_err(|_| wrong()))?;
        let of_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || port == 0 || !host.chars().all(of_host) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, has_tls })
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let found = |url| Address::parse(url).map(|it| (it.host, it.port, it.has_tls));
        let at = |host: &str, port, has_tls| Ok((host.to_owned(), port, has_tls));
        assert_eq!(found("mqtt://broker"), at("broker", 1883, false));
        assert_eq!(found("mqtts://broker.example/"), at("broker.example", 8883, true));
        assert_eq!(found("mqtt://10.0.0.1:1884"), at("10.0.0.1", 1884, false));
        assert_eq!(found("mqtts://[::1]:9"), at("::1", 9, true));
        assert_eq!(found("mqtt://[::1]"), at("::1", 1883, false));
    }

    #[test]
    fn what_is_no_address_says_so_and_shows_no_password() {
        assert_eq!(Address::parse(""), Err(AddressError::Missing));
        assert_eq!(Address::parse("mqtt://u:hush@h"), Err(AddressError::User));
        let error = Address::parse("ssl://u:hush@h").unwrap_err().to_string();
        assert!(error.starts_with("`h` begins neither") && !error.contains("hush"), "{error}");
        for url in ["mqtt://", "mqtt://h:x", "mqtt://h:0", "mqtt://h/path", "mqtt://[::1]9"] {
            assert!(matches!(Address::parse(url), Err(AddressError::Host(_))), "{url}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        let is_near = |url| Address::parse(url).unwrap().is_loopback();
        assert!(
            is_near("mqtt://localhost") && is_near("mqtt://127.0.0.1") && is_near("mqtt://[::1]")
        );
        assert!(!is_near("mqtt://10.0.0.1") && !is_near("mqtt://broker"));
    }
}
