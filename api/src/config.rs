//! This room's settings.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use axum::http::Uri;
use bellwire_model::Network;
use serde::{Deserialize, Serialize};

use crate::auth::Role;
use crate::networks;

/// Settings of HTTP and the live feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTP listens. Default `127.0.0.1:8080`: this machine only. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The most connections at once, live clients included. Default 2048. More wait in the
    /// system's queue until one ends; each costs about 10 KB.
    pub connections_max: NonZeroUsize,
    /// The most connections of one source at once: an IPv4 address, or the first 64 bits of an IPv6
    /// address. Default 256: a site behind one address, and eight sources before all are taken. Those
    /// beyond are closed. 0: no limit, as with `--insecure`. Of what comes through one of
    /// `trusted_proxies` the requests at once are counted instead, live clients included, by the
    /// address that the proxy says; those beyond get 429.
    pub connections_per_source_max: usize,
    /// Milliseconds a client has to send the head of a request, and that an idle connection is
    /// kept. Default 15000: a slow sender must not hold a connection for ever.
    pub header_timeout_ms: NonZeroU64,
    /// Milliseconds a client has to send the body of a request, behind its head, and to take the next
    /// 64 KiB of an export. Default 60000: the longest body at 18 KB/s.
    pub body_timeout_ms: NonZeroU64,
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
    /// HTTPS.
    pub tls: TlsConfig,
    /// Proxies that are believed what they say of a client's address and line (`X-Forwarded-For`,
    /// `X-Forwarded-Proto`): addresses, or networks as `10.42.0.0/16`. Default: none.
    #[serde(with = "networks")]
    pub trusted_proxies: Vec<Network>,
    /// Who may come in.
    pub auth: AuthConfig,
    /// Origins whose pages may use the API, cookies included: `https://ops.example.org`, with the
    /// port if it is not the scheme's own. Default none: our own pages only.
    pub cors_origins: Vec<Origin>,
    /// How many requests a client may make.
    pub rate: RateConfig,
    /// An OpenID provider that people may sign in by.
    pub oidc: OidcConfig,
    /// The live feed.
    pub live: LiveConfig,
}

/// HTTPS, beside plain HTTP: `[http.tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Where HTTPS listens: HTTP/2 and HTTP/1.1. Default: nowhere. Port 0 takes any free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Our certificate with its chain (PEM), ours first. Default: none; `listen` needs one. It and
    /// the other files are read again when they change, and on SIGHUP; connections stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its private key (PEM: PKCS #8, PKCS #1 or SEC 1). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Certificates of authorities (PEM): only clients with a certificate from one of them come in.
    /// Default: none, and none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// Milliseconds a client has for the handshake. Default 10000.
    pub handshake_timeout_ms: NonZeroU64,
    /// Seconds that browsers come by HTTPS only, once they have (`Strict-Transport-Security`).
    /// Default 31536000: a year. 0: they are not told to.
    pub hsts_max_age_s: u64,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            listen: None,
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            handshake_timeout_ms: number(10_000),
            hsts_max_age_s: 31_536_000,
        }
    }
}

impl Config {
    /// The same without limits that one client alone could meet.
    #[must_use]
    pub fn without_limits_per_client(self) -> Self {
        let rate = RateConfig { requests_per_second: 0, ..self.rate };
        Self { rate, connections_per_source_max: 0, ..self }
    }

    /// Whether what comes from this address is believed what it says of who its client is.
    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|it| it.contains(address))
    }
}

/// Where pages come from: a scheme, a host, and a port if it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl Origin {
    /// As browsers write it in `Origin`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte);
        let is_lower = text == text.to_ascii_lowercase();
        let is_own_port = host.is_some_and(|host| {
            let own = if text.starts_with("https") { ":443" } else { ":80" };
            host.ends_with(own)
        });
        match host {
            Some(host)
                if !host.is_empty() && host.bytes().all(plain) && is_lower && !is_own_port =>
            {
                Ok(Self(text))
            }
            _ => Err(format!(
                "{text:?} is no origin: write it as `https://ops.example.org` or `http://10.0.0.1:3000`, \
                 in lower case, without a path, and without the scheme's own port"
            )),
        }
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

/// How many requests a client may make: a user or token, wherever it asks from, and who shows
/// neither by address. Frames of the live feed are not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// Requests a second in the long run. Default 100; 0: no limit, as with `--insecure`.
    pub requests_per_second: u32,
    /// Requests at once after a pause. Default 500: a console that opens with all its pages.
    pub burst: NonZeroU32,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self { requests_per_second: 100, burst: NonZeroU32::new(500).expect("not zero") }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            connections_max: size(2048),
            connections_per_source_max: 256,
            header_timeout_ms: number(15_000),
            body_timeout_ms: number(60_000),
            request_body_bytes_max: 1_048_576,
            history_timeout_ms: number(15_000),
            history_queries_max: size(16),
            backtest_readings_max: 100_000_000,
            backtest_timeout_ms: number(300_000),
            shutdown_grace_ms: number(5_000),
            tls: TlsConfig::default(),
            trusted_proxies: Vec::new(),
            auth: AuthConfig::default(),
            cors_origins: Vec::new(),
            rate: RateConfig::default(),
            oidc: OidcConfig::default(),
            live: LiveConfig::default(),
        }
    }
}

/// Settings of who may come in. With `insecure` everybody may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Seconds after which a session that is not used ends. Default 43200: half a day.
    pub session_idle_secs: NonZeroU64,
    /// Seconds after which every session ends. Default 604800: a week.
    pub session_max_secs: NonZeroU64,
    /// Days that a token lasts at most. Default 365. It lasts 90 if its maker does not say.
    pub token_days_max: NonZeroU32,
    /// Who sees `/metrics`: `local`, this machine and whoever is signed in; `open`, everybody;
    /// `token`, only who is signed in or has a token. Default `local`.
    pub metrics: MetricsAccess,
}

/// Who sees `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// This machine, and whoever is signed in or has a token.
    #[default]
    Local,
    /// Everybody.
    Open,
    /// Whoever is signed in or has a token.
    Token,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            session_idle_secs: number(43_200),
            session_max_secs: number(604_800),
            token_days_max: NonZeroU32::new(365).expect("not zero"),
            metrics: MetricsAccess::Local,
        }
    }
}

/// An OpenID provider that people may sign in by. There is none if `issuer` is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// The provider, as it calls itself: an address beneath which it says where its parts are. Default:
    /// none. Plain `http` is allowed on loopback addresses only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What we are called there. Must be set with `issuer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The file that has our secret there. Default: none, for a public client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Where browsers come back, as it is registered there: our own address with
    /// `/api/v1/session/oidc/callback`. Must be set with `issuer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// What we ask to be told. Default `["openid", "profile"]`.
    pub scopes: Vec<String>,
    /// What has the user's name. Default `preferred_username`.
    pub name_claim: String,
    /// What has the user's roles; a path has dots, as `realm_access.roles`. Default `roles`.
    pub role_claim: String,
    /// Which role here is meant by a word there. Default: none; who has none may not come in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            client_secret_file: None,
            redirect_url: None,
            scopes: vec!["openid".to_owned(), "profile".to_owned()],
            name_claim: "preferred_username".to_owned(),
            role_claim: "roles".to_owned(),
            roles: BTreeMap::new(),
        }
    }
}

impl OidcConfig {
    /// Whether it can work, as far as that can be said before the provider is asked.
    ///
    /// # Errors
    /// What is wrong, with its key.
    pub fn check(&self) -> Result<(), String> {
        let Some(issuer) = &self.issuer else { return Ok(()) };
        if !is_safe_url(issuer) {
            return Err(format!("http.oidc.issuer: `{issuer}` is no https address"));
        }
        if self.client_id.is_none() {
            return Err("http.oidc.client_id must be set with issuer".to_owned());
        }
        let Some(redirect_url) = &self.redirect_url else {
            return Err("http.oidc.redirect_url must be set with issuer".to_owned());
        };
        let ours = "/api/v1/session/oidc/callback";
        if !is_safe_url(redirect_url) || !redirect_url.ends_with(ours) {
            return Err(format!(
                "http.oidc.redirect_url: `{redirect_url}` is no https address that ends with {ours}"
            ));
        }
        if self.roles.is_empty() {
            return Err("http.oidc.roles must say which role is meant by which word".to_owned());
        }
        Ok(())
    }
}

/// Whether nobody on the way to an address can read what goes there: it is `https`, or on this machine.
#[must_use]
pub fn is_safe_url(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let here = url.host().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
    });
    match url.scheme_str() {
        Some("https") => url.host().is_some(),
        Some("http") => here,
        _ => false,
    }
}

/// Settings of the live feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveConfig {
    /// The most live clients at once. Default 1024. Each costs about 5 KB, and holds at most its
    /// `client_readings_max` readings beside frames that it shares with others.
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
    /// Names in each list of what one client asks for. Default 500; `"*"` is always allowed.
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
            client_lag_max: number(8_000),
            client_readings_max: size(2_048),
            client_devices_max: size(500),
            resume_transitions_max: size(100_000),
            heartbeat_interval_ms: number(5_000),
            idle_timeout_ms: number(30_000),
            send_timeout_ms: number(10_000),
            readings_interval_ms: 20,
            client_messages_per_second: NonZeroU32::new(20).expect("not zero"),
        }
    }
}

const fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("defaults are not zero")
}

const fn number(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).expect("defaults are not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_on_the_way_stays_on_this_machine() {
        for url in
            ["https://id.example/x", "http://127.0.0.1:9/x", "http://[::1]/", "http://localhost/"]
        {
            assert!(is_safe_url(url), "{url}");
        }
        for url in
            ["http://id.example/x", "ftp://127.0.0.1/", "", "https:", "127.0.0.1", "https://"]
        {
            assert!(!is_safe_url(url), "{url}");
        }
    }

    #[test]
    fn a_provider_needs_all_of_it() {
        let mut config = OidcConfig::default();
        assert_eq!(config.check(), Ok(()));
        let wrong = |config: &OidcConfig, key: &str| {
            let error = config.check().expect_err(key);
            assert!(error.starts_with(&format!("http.oidc.{key}")), "{error}");
        };
        config.issuer = Some("http://id.example".to_owned());
        wrong(&config, "issuer");
        config.issuer = Some("https://id.example".to_owned());
        wrong(&config, "client_id");
        config.client_id = Some("bell".to_owned());
        wrong(&config, "redirect_url");
        config.redirect_url = Some("https://bell.example/elsewhere".to_owned());
        wrong(&config, "redirect_url");
        config.redirect_url = Some("https://bell.example/api/v1/session/oidc/callback".to_owned());
        wrong(&config, "roles");
        config.roles.insert("ops".to_owned(), Role::Operator);
        assert_eq!(config.check(), Ok(()));
    }

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
    fn an_origin_is_what_browsers_send() {
        for right in ["https://ops.example.org", "http://10.0.0.1:3000", "http://[::1]:8080"] {
            let origin = Origin::try_from(right.to_owned()).expect(right);
            assert_eq!(origin.as_str(), right);
        }
        for wrong in [
            "",
            "*",
            "null",
            "ops.example.org",
            "https://",
            "https://ops.example.org/",
            "https://Ops.example.org",
            "https://*.example.org",
            "https://a@ops.example.org",
            "https://ops.example.org:443",
            "http://ops.example.org:80",
            "ftp://ops.example.org",
        ] {
            assert!(Origin::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_limits_per_client_nothing_is_counted() {
        let config = Config::default().without_limits_per_client();
        assert_eq!((config.rate.requests_per_second, config.connections_per_source_max), (0, 0));
    }

    #[test]
    fn a_limit_of_zero_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"connections_max": 0}"#).is_err());
    }
}
