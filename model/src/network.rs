//! A range of addresses, as `10.0.0.0/8`; an address alone is a range of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IP addresses: a prefix and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// A text that is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no network, as in 10.0.0.0/8 or fd00::/8")
    }
}

impl std::error::Error for NetworkError {}

impl Network {
    /// Whether `address` is in it. An IPv4 address is the same when it is written as IPv6.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix_bits);
                (u32::from(own) ^ u32::from(other)).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix_bits);
                (u128::from(own) ^ u128::from(other)).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let address = if bits.is_none() { address.to_canonical() } else { address };
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            Some(bits) => bits.parse().map_err(|_| NetworkError)?,
            None => bits_max,
        };
        if prefix_bits > bits_max { Err(NetworkError) } else { Ok(Self { address, prefix_bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of `inside` is in the network, and none of `outside`.
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let network: Network = network.parse().expect("a network");
        let contains = |text: &&str| network.contains(text.parse().expect("an address"));
        assert!(inside.iter().all(contains), "{inside:?} in {network}");
        assert!(!outside.iter().any(contains), "{outside:?} not in {network}");
    }

    #[test]
    fn a_network_has_the_addresses_that_share_its_prefix() {
        check("10.0.0.0/8", &["10.255.0.1", "::ffff:10.1.2.3"], &["11.0.0.1", "::a00:1"]);
        check("192.168.1.7", &["192.168.1.7"], &["192.168.1.8"]);
        check("::ffff:192.168.1.7", &["192.168.1.7"], &["192.168.1.8"]);
        check("0.0.0.0/0", &["203.0.113.9"], &["2001:db8::1"]);
        check("fd00::/8", &["fd12::9"], &["fe80::1", "10.0.0.1"]);
        check("::/0", &["2001:db8::1"], &["10.0.0.1"]);
        check("::1", &["::1"], &["::2"]);
        check("2001:db8::/127", &["2001:db8::1"], &["2001:db8::2"]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "/8", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0/8", "host"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
        assert_eq!("10.0.0.0/8".parse::<Network>().expect("one").to_string(), "10.0.0.0/8");
    }
}
