//! This room's settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use serde::{Deserialize, Serialize};

/// Settings of HTTP and the live feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTP listens. Default `127.0.0.1:8080`: this machine only, since there are no
    /// credentials yet. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The most connections at once, live clients included. Default 2048. More wait in the
    /// system's queue until one ends; each costs about 10 KB.
    pub connections_max: NonZeroUsize,
    /// Milliseconds a client has to send the head of a request, and that an idle connection is
    /// kept. Default 15000: a slow sender must not hold a connection for ever.
    pub header_timeout_ms: NonZeroU64,
    /// Bytes a request's body may have. Default 1048576: rules to be tried are the longest.
    pub request_body_bytes_max: u64,
    /// Milliseconds until a query of history is given up. Default 15000: longer than the
    /// database's own statement timeout should be.
    pub history_timeout_ms: NonZeroU64,
    /// The most queries of history at once. Default 16: more would only wait for the database's
    /// connections. Further ones wait here, within `history_timeout_ms`.
    pub history_queries_max: NonZeroUsize,
    /// The most readings that one backtest over HTTP judges. Default 100000000: a thousand devices for
    /// two months, one reading a minute. On the command line there is no such limit.
    pub backtest_readings_max: u64,
    /// Milliseconds that one backtest over HTTP may take. Default 300000. There is one at a time.
    pub backtest_timeout_ms: NonZeroU64,
    /// Milliseconds that requests and live clients have to finish when the service stops. Default
    /// 5000: a page's worth of rows on a slow line.
    pub shutdown_grace_ms: NonZeroU64,
    /// The live feed.
    pub live: LiveConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            connections_max: size(2048),
            header_timeout_ms: millis(15_000),
            request_body_bytes_max: 1_048_576,
            history_timeout_ms: millis(15_000),
            history_queries_max: size(16),
            backtest_readings_max: 100_000_000,
            backtest_timeout_ms: millis(300_000),
            shutdown_grace_ms: millis(5_000),
            live: LiveConfig::default(),
        }
    }
}

/// Settings of the live feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveConfig {
    /// The most live clients at once. Default 1024. Each holds at most its `client_readings_max`
    /// readings, a 4 KB read buffer and a write buffer of 32 KB or one snapshot.
    pub clients_max: NonZeroUsize,
    /// Transitions kept in memory for clients that come back. Default 10000: about 8 MB, and
    /// hours of an ordinary fleet.
    pub ring_transitions: NonZeroUsize,
    /// How many transitions a client may be behind while it does not take what we send. Default
    /// 8000, a little less than the ring has. Beyond it is disconnected and may resume.
    pub client_lag_max: NonZeroU64,
    /// Readings that may wait for one client. Default 2048: about 0.5 MB. Beyond, only the latest
    /// of each series stays.
    pub client_readings_max: NonZeroUsize,
    /// Devices one client may subscribe to by name. Default 500; `"*"` is always allowed.
    pub client_devices_max: NonZeroUsize,
    /// Transitions that are fetched from history for a client that comes back, at most. Default
    /// 100000. A client that missed more gets a snapshot.
    pub resume_transitions_max: NonZeroUsize,
    /// Milliseconds between heartbeats. Default 5000: the console calls the feed stale after two.
    pub heartbeat_interval_ms: NonZeroU64,
    /// Milliseconds after which a WebSocket that gave no sign of life is closed. Default 30000:
    /// six unanswered pings.
    pub idle_timeout_ms: NonZeroU64,
    /// Milliseconds a client may take to accept what we send. Default 10000.
    pub send_timeout_ms: NonZeroU64,
    /// Milliseconds that readings are gathered before they are passed on. Default 20: fifty
    /// times a second is more than an eye sees, and costs one wake-up instead of thousands.
    pub readings_interval_ms: u64,
    /// Messages a client may send per second, with twice that at once. Default 20.
    pub client_messages_per_second: NonZeroU32,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            clients_max: size(1024),
            ring_transitions: size(10_000),
            client_lag_max: millis(8_000),
            client_readings_max: size(2_048),
            client_devices_max: size(500),
            resume_transitions_max: size(100_000),
            heartbeat_interval_ms: millis(5_000),
            idle_timeout_ms: millis(30_000),
            send_timeout_ms: millis(10_000),
            readings_interval_ms: 20,
            client_messages_per_second: NonZeroU32::new(20).expect("not zero"),
        }
    }
}

const fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("defaults are not zero")
}

const fn millis(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).expect("defaults are not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_named() {
        let error = serde_json::from_str::<Config>(r#"{"listn": "127.0.0.1:1"}"#);
        assert!(error.expect_err("unknown").to_string().contains("unknown field `listn`"));
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let config: Config =
            serde_json::from_str(r#"{"live": {"clients_max": 3}}"#).expect("valid");
        assert_eq!(config.live.clients_max.get(), 3);
        assert_eq!(config.listen, Config::default().listen);
    }

    #[test]
    fn a_limit_of_zero_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"connections_max": 0}"#).is_err());
    }
}
