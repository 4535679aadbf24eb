//! Whether a configuration keeps out who has shown nothing.

use std::net::SocketAddr;

use tracing::warn;

use crate::config::{Config, ConfigError};

fn is_open(address: SocketAddr) -> bool {
    !address.ip().is_loopback()
}

/// Where HTTP goes over a network as it is: not if it stays on this machine, as it does beside HTTPS, nor
/// if a proxy comes for those who are elsewhere.
fn http_in_clear(config: &Config) -> Option<SocketAddr> {
    Some(config.http.listen)
        .filter(|listen| is_open(*listen) && config.http.trusted_proxies.is_empty())
}

/// Who has shown nothing must be on this machine. Says where passwords can be read on the way.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let mut mqtt = config.mqtt.listeners();
    if config.insecure {
        let others = [config.http.listen]
            .into_iter()
            .chain(config.rumqttd.listen)
            .chain(config.http.tls.listen);
        let mut all = mqtt.map(|(_, _, address)| address).chain(others);
        return match all.find(|&address| is_open(address)) {
            Some(address) => Err(ConfigError::Value(format!(
                "--insecure allows loopback addresses only, not {address}"
            ))),
            None => Ok(()),
        };
    }
    if let Some(address) = http_in_clear(config) {
        warn!(
            %address,
            "HTTP on {address} (http.listen) is not encrypted: passwords, tokens and readings can be \
             read on the way."
        );
    }
    if let Some(listen) = config.rumqttd.listen.filter(|listen| is_open(*listen)) {
        if config.rumqttd.user.is_none() {
            return Err(ConfigError::Value(format!(
                "rumqttd.listen is {listen}: without rumqttd.user and rumqttd.password_file it \
                 listens on loopback addresses only"
            )));
        }
        warn!(
            address = %listen,
            "MQTT on {listen} (rumqttd.listen) is not encrypted: passwords and readings can be read \
             on the way."
        );
    }
    let in_clear = mqtt.find(|(_, transport, address)| !transport.has_tls() && is_open(*address));
    if let Some((key, _, address)) = in_clear {
        warn!(
            %address,
            "MQTT on {address} ({key}) is not encrypted: passwords and readings can be read on the \
             way."
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_in_clear_where_others_reach_it_themselves() {
        let mut config = Config::default();
        assert_eq!(http_in_clear(&config), None);
        // HTTPS is for others, beside plain HTTP for this machine.
        config.http.tls.listen = Some("0.0.0.0:8443".parse().unwrap());
        assert_eq!(http_in_clear(&config), None);
        // That there is HTTPS too encrypts nothing here.
        let open = "0.0.0.0:8080".parse().unwrap();
        config.http.listen = open;
        assert_eq!(http_in_clear(&config), Some(open));
        config.http.trusted_proxies.push("10.0.0.1".parse().unwrap());
        assert_eq!(http_in_clear(&config), None);
    }

    #[test]
    fn rumqttd_is_open_to_nobody_who_has_shown_nothing() {
        let open = |insecure, user: Option<&str>| {
            let mut config = Config { insecure, ..Config::default() };
            config.rumqttd.listen = Some("0.0.0.0:1884".parse().unwrap());
            config.rumqttd.user = user.map(str::to_owned);
            check(&config).map_err(|error| error.to_string())
        };
        assert!(open(false, None).unwrap_err().starts_with("rumqttd.listen is 0.0.0.0:1884"));
        assert_eq!(open(false, Some("gate")), Ok(()));
        assert!(open(true, Some("gate")).unwrap_err().starts_with("--insecure allows loopback"));
    }
}
