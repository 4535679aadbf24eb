//! TLS towards a broker that asks for a certificate.

use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::bridge::{bridged, configure, connected, publish, stored_once};
use crate::support::device::Device;
use crate::support::mosquitto::Mosquitto;
use crate::support::service::wait_until;

/// Writes `NAME.crt` and `NAME.key`, signed by `authority`.
fn certificate(dir: &Path, name: &str, authority: &CertifiedIssuer<'_, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let signed = params.signed_by(&key, authority).unwrap();
    std::fs::write(dir.join(format!("{name}.crt")), signed.pem()).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_asks_for_a_certificate_gets_it() {
    let mut service = bridged("mqtt://127.0.0.1:1", "");
    let dir = service.dir().to_owned();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // OpenSSL takes a certificate whose issuer has its own name for one that it signed itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("ca.crt"), authority.pem()).unwrap();
    certificate(&dir, "broker.test", &authority);
    certificate(&dir, "bellwire.test", &authority);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = dir.display();
    let more = format!(
        "allow_anonymous true\nlistener {port} 127.0.0.1\ncafile {at}/ca.crt\n\
         certfile {at}/broker.test.crt\nkeyfile {at}/broker.test.key\nrequire_certificate true\n"
    );
    let broker = Mosquitto::start_with(&dir, &more).await;
    let url = format!("mqtts://127.0.0.1:{port}");
    let known = format!("ca_file = '{at}/ca.crt'\nserver_name = 'broker.test'\n");

    // Without our certificate the broker does not talk to us, and a broker of another name is none.
    configure(&service, &url, &known);
    service.launch().await;
    wait_until("it says so", || service.log().contains("Bridge `plant` is not connected")).await;
    assert!(service.stop().await.success());
    let ours =
        format!("cert_file = '{at}/bellwire.test.crt'\nkey_file = '{at}/bellwire.test.key'\n");
    configure(&service, &url, &format!("ca_file = '{at}/ca.crt'\n{ours}"));
    service.launch().await;
    wait_until("it says so", || service.log().contains("TLS failed")).await;
    assert!(service.stop().await.success());

    configure(&service, &url, &format!("{known}{ours}"));
    service.launch().await;
    connected(&service).await;
    let mut publisher = Device::connect(&broker.address(), "publisher").await;
    publish(&mut publisher, "tls", 0, 20).await;
    stored_once(&service, "tls", 20).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&["Bridge `plant` is not connected"]);
}
