//! What is counted at the door: who was refused, whose handshake failed, certificates.

use prometheus::{
    IntCounter, IntGauge, IntGaugeVec, Opts, Registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable word for it: a metric label.
            pub(crate) const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }
        }
    };
}

labels! {
    /// Why a connection is closed before its handshake.
    Refusal {
        ConnectionsMax = "connections_max",
        ConnectRate = "connects_per_second_max",
        SourceConnections = "connections_per_source_max",
        SourceHandshakes = "handshakes_per_source_max",
        SourceRate = "connects_per_source_per_second_max",
        /// It comes to a listener for proxies, and is none that is trusted.
        UntrustedProxy = "untrusted_proxy",
        /// Not refused: it waits. Only said.
        HandshakesFull = "handshakes_max",
    }
}

labels! {
    /// In what a handshake failed.
    Failure {
        Timeout = "timeout",
        Proxy = "proxy",
        Tls = "tls",
        Certificate = "certificate",
        WebSocket = "websocket",
    }
}

/// Counters and gauges of the door.
#[derive(Clone, Debug)]
pub(crate) struct DoorMetrics {
    refused: Vec<IntCounter>,
    failed: Vec<IntCounter>,
    pub(crate) handshakes: IntGauge,
    pub(crate) handshakes_full: IntCounter,
    pub(crate) sources: IntGauge,
    pub(crate) throttled: IntGauge,
    pub(crate) throttles: IntCounter,
    pub(crate) tls: TlsMetrics,
}

/// What is counted of certificates.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    pub(crate) reloaded: IntCounter,
    pub(crate) reload_failed: IntCounter,
    /// Without a child as long as there is no certificate.
    expires: IntGaugeVec,
}

impl TlsMetrics {
    /// Makes them known to `registry`, for the door of this name: `mqtt`, `http`.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry, door: &str) -> Result<Self, prometheus::Error> {
        let reloads = register_int_counter_vec_with_registry!(
            Opts::new(
                format!("bellwire_{door}_certificate_reloads_total"),
                "Changed certificate files that were read again, by how that went.",
            ),
            &["result"],
            registry
        )?;
        Ok(Self {
            reloaded: reloads.with_label_values(&["ok"]),
            reload_failed: reloads.with_label_values(&["failed"]),
            expires: register_int_gauge_vec_with_registry!(
                Opts::new(
                    format!("bellwire_{door}_certificate_expires_timestamp_seconds"),
                    "When our certificate expires, in seconds since 1970.",
                ),
                &["certificate"],
                registry
            )?,
        })
    }

    /// Shows when our certificate expires, in seconds since 1970.
    pub(crate) fn set_expiry(&self, at_s: i64) {
        self.expires.with_label_values(&["server"]).set(at_s);
    }
}

impl DoorMetrics {
    pub(crate) fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str| register_int_counter_with_registry!(Opts::new(name, help), r);
        let gauge =
            |name: &str, help: &str| register_int_gauge_with_registry!(Opts::new(name, help), r);
        let counters = |name: &str, help: &str, label: &str| {
            register_int_counter_vec_with_registry!(Opts::new(name, help), &[label], r)
        };
        let refused = counters(
            "bellwire_mqtt_connections_refused_total",
            "Connections closed as they came, by the limit that was reached.",
            "reason",
        )?;
        let failed = counters(
            "bellwire_mqtt_handshakes_failed_total",
            "PROXY headers, TLS handshakes and WebSocket upgrades that failed, by why.",
            "reason",
        )?;
        let refusals = Refusal::ALL.iter().filter(|it| **it != Refusal::HandshakesFull);
        Ok(Self {
            refused: refusals.map(|it| refused.with_label_values(&[it.label()])).collect(),
            failed: Failure::ALL.iter().map(|it| failed.with_label_values(&[it.label()])).collect(),
            handshakes: gauge(
                "bellwire_mqtt_handshakes",
                "Connections that have not been let in yet.",
            )?,
            handshakes_full: counter(
                "bellwire_mqtt_handshakes_full_total",
                "Times that new connections had to wait because there were handshakes_max.",
            )?,
            sources: gauge(
                "bellwire_mqtt_sources",
                "Sources whose connections or rate are remembered.",
            )?,
            throttled: gauge(
                "bellwire_mqtt_connections_throttled",
                "Connections not read from because they published more than mqtt.rate allows.",
            )?,
            throttles: counter(
                "bellwire_mqtt_throttles_total",
                "Times that a connection was not read from for that reason.",
            )?,
            tls: TlsMetrics::register(r, "mqtt")?,
        })
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> &IntCounter {
        &self.refused[refusal as usize]
    }

    pub(crate) fn failed(&self, failure: Failure) -> &IntCounter {
        &self.failed[failure as usize]
    }
}
