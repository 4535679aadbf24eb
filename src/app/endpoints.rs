//! Where everything can be reached, as others are told.

use std::net::SocketAddr;

use bellwire_broker::Transport;

/// Where the service can be reached; also in `endpoints.json` in the data directory while it runs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Endpoints {
    /// MQTT listeners.
    pub mqtt: Vec<SocketAddr>,
    /// MQTT over TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mqtts: Vec<SocketAddr>,
    /// MQTT over WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mqtt_ws: Vec<SocketAddr>,
    /// MQTT over WebSocket over TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mqtt_wss: Vec<SocketAddr>,
    /// rumqttd, if it is a door.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rumqttd: Option<SocketAddr>,
    /// HTTP.
    pub http: SocketAddr,
    /// HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
    /// The managed database, for `psql`; absent if it is one's own.
    pub database: Option<String>,
}

impl Endpoints {
    /// No MQTT listener yet.
    pub(super) fn nowhere() -> Self {
        Self {
            mqtt: Vec::new(),
            mqtts: Vec::new(),
            mqtt_ws: Vec::new(),
            mqtt_wss: Vec::new(),
            rumqttd: None,
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            https: None,
            database: None,
        }
    }

    /// Every MQTT listener, as devices are told of it.
    #[must_use]
    pub fn mqtt_urls(&self) -> Vec<String> {
        let all = [
            (Transport::Tcp, &self.mqtt),
            (Transport::Tls, &self.mqtts),
            (Transport::WebSocket, &self.mqtt_ws),
            (Transport::WebSocketTls, &self.mqtt_wss),
        ];
        let url = |transport: Transport, address| format!("{}://{address}", transport.scheme());
        all.into_iter()
            .flat_map(|(transport, those)| those.iter().map(move |it| url(transport, it)))
            .collect()
    }
}
