//! Whether a configuration keeps out who has shown nothing.

use std::net::SocketAddr;

use tracing::warn;

use crate::config::{Config, ConfigError};

fn is_open(address: SocketAddr) -> bool {
    !address.ip().is_loopback()
}

/// Who has shown nothing must be on this machine: with `--insecure` everyone, without it whoever comes
/// by HTTP, which has no credentials yet. Says where passwords can be read on the way.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let mut mqtt = config.mqtt.listeners();
    if config.insecure {
        let mut all = mqtt.map(|(_, _, address)| address).chain([config.http.listen]);
        return match all.find(|&address| is_open(address)) {
            Some(address) => Err(ConfigError::Value(format!(
                "--insecure allows loopback addresses only, not {address}"
            ))),
            None => Ok(()),
        };
    }
    if is_open(config.http.listen) {
        return Err(ConfigError::Value(format!(
            "http.listen is {}: in this version HTTP has no credentials, so it listens on loopback \
             addresses only; put a proxy that asks for them before it",
            config.http.listen
        )));
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
