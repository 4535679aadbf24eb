//! MQTT over TLS: certificates of ours and of clients, replaced while sessions go on; peers that
//! say nothing.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bellwire_broker::access::{Admission, Gatekeeper, Grant, Hello};
use bellwire_broker::{ClientCertificates, Config, DoorConfig, Peer, Reload, TlsConfig, Transport};
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::certs::{Authority, Files, Identity, over_tls};
use crate::support::{RawClient, Service, connect, exchange_large, wait_until, within};

pub(crate) fn anywhere() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, 1], 0))]
}

fn with_tls(tls: TlsConfig) -> Config {
    Config { tls_listen: anywhere(), tls, ..Config::default() }
}

/// Lets everyone in, and remembers who it was.
#[derive(Debug, Default)]
pub(crate) struct Visitors(pub(crate) Mutex<Vec<Peer>>);

impl Gatekeeper for Visitors {
    fn admit<'a>(
        &'a self,
        hello: Hello<'a>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>> {
        self.0.lock().unwrap().push(hello.peer.clone());
        Box::pin(std::future::ready(Ok(Grant::everything())))
    }
}

impl Visitors {
    /// The device that the last one's certificate was for.
    fn last_device(&self) -> Option<String> {
        let visitors = self.0.lock().unwrap();
        visitors.last().unwrap().certificate.as_ref().map(|id| id.as_str().to_owned())
    }
}

/// Connects over TLS and MQTT; `None` if it is not let in.
async fn visit(address: SocketAddr, config: Arc<ClientConfig>) -> Option<()> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = within(over_tls(stream, config)).await.ok()?;
    // With TLS 1.3 a client hears only now that its certificate was refused.
    client.send_what_goes(&connect(4, "visitor")).await;
    (client.read_or_nothing().await == [0x20, 2, 0, 0]).then_some(())
}

#[tokio::test]
async fn publishes_and_messages_go_over_tls_however_large() {
    let authority = Authority::new("authority");
    let files = Files::new(&authority);
    let mut service = Service::start_with(with_tls(files.config()), 10).await;
    let address = service.at(Transport::Tls);
    let stream = TcpStream::connect(address).await.unwrap();
    let client = over_tls(stream, authority.client(None)).await.unwrap();
    let mut client = client.connected("c").await;
    exchange_large(&mut service, &mut client).await;
    client.settled_with(&[]).await;
    service.stop(client).await;
}

#[tokio::test]
async fn silent_peers_keep_nobody_waiting_and_lose_their_place() {
    let authority = Authority::new("authority");
    let files = Files::new(&authority);
    let door = DoorConfig { handshake_timeout_ms: 300, ..DoorConfig::default() };
    let config = Config { door, ..with_tls(files.config()) };
    let service = Service::start_with(config, 1).await;
    let address = service.at(Transport::Tls);
    let mut silent = Vec::new();
    for n in 0..20 {
        let mut client = RawClient::open(address).await;
        // Some begin a ClientHello and stop.
        client.send(&b"\x16\x03\x01\x02\x00\x01"[..n % 7]).await;
        silent.push(client);
    }
    assert_eq!(visit(address, authority.client(None)).await, Some(()));
    for client in &mut silent {
        assert_eq!(client.read_or_nothing().await, b"");
    }
    let failed = |reason| service.metric("bellwire_mqtt_handshakes_failed_total", Some(reason));
    assert_eq!(failed("timeout"), 20.0);
    let mut plain = RawClient::open(address).await;
    plain.send(&connect(4, "plain")).await;
    plain.read_or_nothing().await;
    wait_until(|| failed("tls") == 1.0).await;
    wait_until(|| service.metric("bellwire_mqtt_handshakes", None) == 0.0).await;
    service.stop((silent, plain)).await;
}

#[tokio::test]
async fn certificates_are_replaced_while_sessions_stay() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old);
    let service = Service::start_with(with_tls(files.config()), 1).await;
    let address = service.at(Transport::Tls);
    let stream = TcpStream::connect(address).await.unwrap();
    let client = over_tls(stream, old.client(None)).await.unwrap();
    let mut client = client.connected("stays").await;
    let tls = service.tls.clone().unwrap();
    assert_eq!(tls.reload().unwrap(), Reload::Same);

    // A certificate without its key is no use, and changes nothing.
    let identity = new.issue("broker");
    files.write("cert.pem", &identity.cert);
    let said = tls.reload().unwrap_err().to_string();
    assert_eq!(said, "tls.cert_file, tls.key_file: certificate and key cannot be used");
    files.write("key.pem", "");
    assert!(
        tls.reload().unwrap_err().to_string().ends_with("no private key (PEM) that can be read")
    );
    assert_eq!(visit(address, old.client(None)).await, Some(()));

    files.set(&identity);
    assert_eq!(tls.reload().unwrap(), Reload::Changed);
    assert_eq!(visit(address, old.client(None)).await, None);
    assert_eq!(visit(address, new.client(None)).await, Some(()));
    client.settled_with(&[]).await;
    let reloads = |result| service.metric("bellwire_mqtt_certificate_reloads_total", Some(result));
    assert_eq!((reloads("ok"), reloads("failed")), (1.0, 2.0));
    let expires = service.metric("bellwire_mqtt_certificate_expires_timestamp_seconds", None);
    assert!(expires > 1.7e9, "{expires}");
    service.stop(client).await;
}

/// Which device each of these clients is taken for; `None` if it is not let in.
async fn devices(
    asked: ClientCertificates,
    clients: &[Option<&Identity>],
    authority: &Authority,
    revoked: Option<&Identity>,
) -> Vec<Option<Option<String>>> {
    let files = Files::new(authority);
    let mut tls = files.mutual(authority, asked);
    if let Some(revoked) = revoked {
        tls.client_crl_file = Some(files.write("crl.pem", &authority.revoke(&[revoked])));
    }
    let visitors = Arc::new(Visitors::default());
    let gatekeeper = Arc::clone(&visitors);
    let service = Service::start_guarded(with_tls(tls), 1, gatekeeper).await;
    let mut found = Vec::new();
    for identity in clients {
        let visited = visit(service.at(Transport::Tls), authority.client(*identity)).await;
        found.push(visited.map(|()| visitors.last_device()));
    }
    service.stop(()).await;
    found
}

#[tokio::test]
async fn the_certificate_says_which_device_it_is() {
    let authority = Authority::new("authority");
    let (good, revoked) = (authority.issue("freezer-03"), authority.issue("freezer-04"));
    let (stranger, nobody) = (Authority::new("other").issue("freezer-03"), authority.issue("a/b"));
    let clients = [Some(&good), Some(&revoked), Some(&stranger), Some(&nobody), None];
    let device = |id: &str| Some(Some(id.to_owned()));
    let required = ClientCertificates::Required;
    assert_eq!(
        devices(required, &clients, &authority, Some(&revoked)).await,
        [device("freezer-03"), None, None, None, None]
    );
    assert_eq!(
        devices(ClientCertificates::Optional, &clients, &authority, None).await,
        [device("freezer-03"), device("freezer-04"), None, None, Some(None)]
    );
}

#[tokio::test]
async fn who_is_revoked_later_stays_out_from_then_on() {
    let authority = Authority::new("authority");
    let (a, b) = (authority.issue("a"), authority.issue("b"));
    let files = Files::new(&authority);
    let mut tls = files.mutual(&authority, ClientCertificates::Required);
    tls.client_crl_file = Some(files.write("crl.pem", &authority.revoke(&[])));
    let service = Service::start_with(with_tls(tls), 1).await;
    let address = service.at(Transport::Tls);
    // The same configuration each time: it could resume its session.
    let (client_a, client_b) = (authority.client(Some(&a)), authority.client(Some(&b)));
    assert_eq!(visit(address, Arc::clone(&client_a)).await, Some(()));
    assert_eq!(visit(address, Arc::clone(&client_b)).await, Some(()));
    files.write("crl.pem", &authority.revoke(&[&a]));
    assert_eq!(service.tls.as_ref().unwrap().reload().unwrap(), Reload::Changed);
    assert_eq!(visit(address, client_a).await, None);
    assert_eq!(visit(address, client_b).await, Some(()));
    let failed = service.metric("bellwire_mqtt_handshakes_failed_total", Some("certificate"));
    assert_eq!(failed, 1.0);
    service.stop(()).await;
}
