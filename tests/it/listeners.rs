//! The MQTT listeners of a whole service: TLS with certificates that change under it, WebSocket, and
//! what operators are told of both.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::backup::run;
use crate::support::service::{PATIENCE, Service, Settings, poll};

/// Certificate and key of a service, in its folder.
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn of(service: &Service) -> Self {
        Self { cert: service.dir().join("cert.pem"), key: service.dir().join("key.pem") }
    }

    /// Writes a new certificate, and its key if `key` is there; gives clients that trust it alone.
    pub(crate) fn write(&self, expires: i32, key: Option<&str>) -> Arc<ClientConfig> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(expires, 1, 1);
        let pair = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&pair).unwrap().pem();
        std::fs::write(&self.cert, &pem).unwrap();
        std::fs::write(&self.key, key.unwrap_or(&pair.serialize_pem())).unwrap();
        trusting(&pem)
    }
}

/// Clients that trust this certificate (PEM) alone, or who has signed with it.
pub(crate) fn trusting(pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Where the service says that it listens.
pub(crate) fn endpoint(service: &Service, what: &str) -> String {
    let text = std::fs::read(service.data_dir().join("endpoints.json")).unwrap();
    let endpoints: serde_json::Value = serde_json::from_slice(&text).unwrap();
    endpoints[what][0].as_str().unwrap().to_owned()
}

/// Connects with TLS and MQTT as a client of this name.
async fn connect(
    address: &str,
    name: u8,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let host = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config).connect(host, stream).await?;
    let mut connect = b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01".to_vec();
    connect.push(name);
    stream.write_all(&connect).await?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await?;
    assert_eq!(connack, [0x20, 2, 0, 0]);
    Ok(stream)
}

/// Publishes a reading of `tls-1` and waits until it is durable.
async fn publish(stream: &mut TlsStream<TcpStream>) {
    let body = [&b"\0\x17devices/tls-1/telemetry\0\x01"[..], b"{\"t\": 1}"].concat();
    stream.write_all(&[&[0x32, body.len() as u8][..], &body].concat()).await.unwrap();
    let mut puback = [0; 4];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut puback)).await.unwrap().unwrap();
    assert_eq!(puback, [0x40, 2, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_a_device_that_publishes_over_tls() {
    let mut service = Service::prepare(Settings::default());
    let files = Files::of(&service);
    let old = files.write(2090, None);
    for (name, value) in [
        ("BELLWIRE_MQTT_TLS_LISTEN", "127.0.0.1:0"),
        ("BELLWIRE_MQTT_WEBSOCKET_LISTEN", "127.0.0.1:0"),
        ("BELLWIRE_MQTT_TLS_CERT_FILE", files.cert.to_str().unwrap()),
        ("BELLWIRE_MQTT_TLS_KEY_FILE", files.key.to_str().unwrap()),
    ] {
        service.set(name, value);
    }
    service.launch().await;
    let address = endpoint(&service, "mqtts");
    assert!(endpoint(&service, "mqtt_ws").starts_with("127.0.0.1:"));
    let mut device = connect(&address, b'a', old).await.unwrap();
    publish(&mut device).await;

    // A key of another certificate is no use.
    files.write(2091, Some(&rcgen::KeyPair::generate().unwrap().serialize_pem()));
    crate::support::service::wait_until("it warns", || service.log().contains("are wrong")).await;
    let new = files.write(2091, None);
    let mut poll = poll();
    let taken_up = async {
        while connect(&address, b'b', Arc::clone(&new)).await.is_err() {
            poll.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, taken_up).await.expect("the new certificate is taken up");

    publish(&mut device).await;
    let audit = |body: &serde_json::Value| body["stored"] == json!(2);
    service.wait_for("/api/v1/devices/tls-1/audit", audit).await;
    let report = run(&service, &["doctor", "--json"]).await.stdout;
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "mqtt-certificate").unwrap();
    let shown = (&check["status"], check["detail"].as_str().unwrap());
    assert_eq!(shown, (&json!("ok"), "it expires at 2091-01-01T00:00:00Z"));

    service.signal(libc::SIGHUP);
    publish(&mut device).await;
    drop(device);
    assert!(service.stop().await.success());
    service.assert_quiet(&["New certificates for MQTT are wrong; the old ones stay"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_certificates_are_a_wrong_configuration() {
    let mut service = Service::prepare(Settings::default());
    let files = Files::of(&service);
    files.write(2090, Some("no key"));
    service.set("BELLWIRE_MQTT_TLS_LISTEN", "127.0.0.1:0");
    crate::backup::fail(&service, &["serve", "--insecure"], 78, "mqtt.tls.cert_file must be set")
        .await;
    service.set("BELLWIRE_MQTT_TLS_CERT_FILE", files.cert.to_str().unwrap());
    service.set("BELLWIRE_MQTT_TLS_KEY_FILE", files.key.to_str().unwrap());
    for command in [&["serve", "--insecure"][..], &["check-config"]] {
        crate::backup::fail(&service, command, 78, "mqtt.tls.key_file: ").await;
        crate::backup::fail(&service, command, 78, "no private key (PEM)").await;
    }
    files.write(2090, None);
    crate::backup::succeed(&service, &["check-config"]).await;
    service.set("BELLWIRE_MQTT_TLS_CLIENT_CERTIFICATES", "optional");
    service.set("BELLWIRE_MQTT_TLS_CLIENT_CA_FILE", "/nowhere/ca.pem");
    let said = "mqtt.tls.client_ca_file: cannot read /nowhere/ca.pem: No such file";
    crate::backup::fail(&service, &["check-config"], 78, said).await;
    // Also before anything listens with it.
    service.set("BELLWIRE_MQTT_TLS_LISTEN", "");
    crate::backup::fail(&service, &["check-config"], 78, said).await;
    assert!(!service.data_dir().join("log").exists(), "nothing has started");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_no_watch_sees_change_are_read_on_sighup() {
    let mut service = Service::prepare(Settings::default());
    let (links, inside) = (service.dir().join("links"), service.dir().join("files"));
    std::fs::create_dir_all(&links).unwrap();
    std::fs::create_dir_all(&inside).unwrap();
    let files = Files { cert: inside.join("cert.pem"), key: inside.join("key.pem") };
    let old = files.write(2090, None);
    service.set("BELLWIRE_MQTT_TLS_LISTEN", "127.0.0.1:0");
    for (variable, file) in
        [("BELLWIRE_MQTT_TLS_CERT_FILE", &files.cert), ("BELLWIRE_MQTT_TLS_KEY_FILE", &files.key)]
    {
        let link = links.join(file.file_name().unwrap());
        std::os::unix::fs::symlink(file, &link).unwrap();
        service.set(variable, link.display());
    }
    service.launch().await;
    let address = endpoint(&service, "mqtts");

    files.write(2091, Some("no key"));
    service.signal(libc::SIGHUP);
    let wrong = "wrong, the old goes on: certificates for MQTT";
    crate::support::service::wait_until("it warns", || service.log().contains(wrong)).await;
    assert!(service.log().contains("key.pem has no private key"), "{}", service.log());
    drop(connect(&address, b'a', old).await.unwrap());

    let new = files.write(2091, None);
    service.signal(libc::SIGHUP);
    let changed = "changed: certificates for MQTT";
    crate::support::service::wait_until("it says so", || service.log().contains(changed)).await;
    drop(connect(&address, b'b', new).await.unwrap());
    let metrics = service.metrics().await;
    for result in ["ok", "failed"] {
        let line =
            format!("bellwire_reloads_total{{result=\"{result}\",what=\"mqtt_certificates\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&["New certificates for MQTT are wrong; the old ones stay"]);
}
