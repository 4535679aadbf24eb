//! Clients that other people wrote, against the real service: each in MQTT 3.1.1 and in MQTT 5, over
//! every transport that it has.
//!
//! The scenarios are the same for all of them and are told in their own languages: Python and
//! JavaScript in `tests/interop/`, the command line of mosquitto in `mosquitto.rs`, Rust in
//! `rumqttc.rs`.

mod mosquitto;
mod rumqttc;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::service::{Service, Settings};

/// How long one client may take for all of its scenarios.
const LIMIT: Duration = Duration::from_secs(240);

/// What clients do: publish and subscribe at each QoS, retained messages, a will, and a session that
/// outlives its connection.
const SCENARIOS: [&str; 6] = ["qos0", "qos1", "qos2", "retained", "will", "session"];

/// The versions by the names that the scripts know.
const VERSIONS: [&str; 2] = ["3.1.1", "5"];

/// A way to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Tcp,
    Tls,
    WebSocket,
    WebSocketTls,
}

impl Transport {
    const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::WebSocket, Self::WebSocketTls];

    /// Where that is in a service of [`start`].
    fn url(self, service: &Service) -> String {
        let (scheme, endpoint) = match self {
            Self::Tcp => ("mqtt", "mqtt"),
            Self::Tls => ("mqtts", "mqtts"),
            Self::WebSocket => ("ws", "mqtt_ws"),
            Self::WebSocketTls => ("wss", "mqtt_wss"),
        };
        let text = std::fs::read(service.data_dir().join("endpoints.json")).unwrap();
        let endpoints: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let address = endpoints[endpoint][0].as_str().unwrap();
        // The name that the certificate has.
        let (_, port) = address.rsplit_once(':').unwrap();
        let path = if scheme.starts_with("ws") { "/mqtt" } else { "" };
        format!("{scheme}://localhost:{port}{path}")
    }
}

/// The certificate of a service of [`start`], which is its own authority.
fn certificate(service: &Service) -> PathBuf {
    service.dir().join("cert.pem")
}

/// A service that listens on every transport.
async fn start() -> Service {
    let mut service = Service::prepare(Settings::default());
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (certificate(&service), service.dir().join("key.pem"));
    std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    for (name, value) in [
        ("BELLWIRE_MQTT_TLS_LISTEN", "127.0.0.1:0"),
        ("BELLWIRE_MQTT_WEBSOCKET_LISTEN", "127.0.0.1:0"),
        ("BELLWIRE_MQTT_WEBSOCKET_TLS_LISTEN", "127.0.0.1:0"),
        ("BELLWIRE_MQTT_TLS_CERT_FILE", cert.to_str().unwrap()),
        ("BELLWIRE_MQTT_TLS_KEY_FILE", key.to_str().unwrap()),
    ] {
        service.set(name, value);
    }
    service.launch().await;
    service
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// Runs a client's script in every version over every transport.
async fn interoperates(program: &str, script: &str, packages: &str) {
    let packages = folder().join(packages);
    assert!(packages.exists(), "{script} has no packages: scripts/interop fetch");
    let mut service = start().await;
    for (transport, version) in Transport::ALL.iter().flat_map(|it| VERSIONS.map(|v| (it, v))) {
        let mut command = Command::new(program);
        command
            .arg(folder().join(script))
            .args([transport.url(&service), version.to_owned()])
            .args(SCENARIOS)
            .env("PYTHONPATH", &packages)
            .env("BELLWIRE_INTEROP_CA", certificate(&service))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(LIMIT, command.output()).await.expect("it ends in time");
        let output = output.unwrap_or_else(|error| panic!("{program} is missing: {error}"));
        let said = String::from_utf8_lossy(&output.stdout);
        let warned = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {version} {transport:?}:\n{said}{warned}");
        for name in SCENARIOS {
            assert!(said.contains(&format!("{name} ok")), "{name} did not run:\n{said}");
        }
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_for_python_finds_what_the_standard_promises() {
    interoperates("python3", "paho_client.py", "python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_js_finds_what_the_standard_promises() {
    interoperates("node", "mqttjs_client.mjs", "node_modules").await;
}
