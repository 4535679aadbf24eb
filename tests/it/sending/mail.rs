//! Mail through a server that asks for TLS and a login.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{FAILING, RULES, heat, sending};
use crate::support::mail::MailServer;
use crate::support::service::{Settings, wait_until};

/// A server's side of TLS for `localhost`, and its authority.
fn tls() -> (Arc<rustls::ServerConfig>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(signed.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (Arc::new(config), authority.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_out_over_tls_and_with_a_login() {
    let (tls, authority) = tls();
    let server = MailServer::start(tls).await;
    let mut service = sending(Settings::with_rules(RULES), "");
    let dir = service.dir().to_owned();
    std::fs::write(dir.join("ca.crt"), authority).unwrap();
    std::fs::write(dir.join("password"), "hush hush\n").unwrap();
    let at = dir.display();
    let config = |more: &str| {
        format!(
            "[[channel]]\nname = 'mail'\ntype = 'email'\nserver = 'localhost:{}'\n\
             from = 'Bellwire <alerts@plant.example>'\nto = ['ada@plant.example', 'bo@plant.example']\n\
             user = 'bell'\npassword_file = '{at}/password'\ntimeout_ms = 5000\n{more}\n\
             [[route]]\nchannels = ['mail']\ngroup_wait_s = 0\ngroup_interval_s = 0\n",
            server.port
        )
    };
    // A server whose certificate nobody vouches for gets nothing, the password least of all.
    super::configure(&service, &config(""));
    service.launch().await;
    heat(&service, "oven-1", 95).await;
    wait_until("it says so", || service.log().contains("The channel `mail` fails")).await;
    assert!(server.mails().is_empty());
    assert!(service.stop().await.success());

    super::configure(&service, &config(&format!("ca_file = '{at}/ca.crt'")));
    service.launch().await;
    wait_until("it is told", || !server.mails().is_empty()).await;
    heat(&service, "oven-1", 80).await;
    wait_until("so is the end", || server.mails().len() == 2).await;
    let [fires, over] = server.mails().try_into().unwrap();
    assert!(fires.is_encrypted && fires.from.contains("<alerts@plant.example>"), "{fires:?}");
    assert_eq!(fires.to.len(), 2, "{fires:?}");
    // `\0bell\0hush hush` in base64.
    assert_eq!(fires.login, "AGJlbGwAaHVzaCBodXNo");
    assert!(fires.text.contains("Subject: [FIRING:1] too-hot (site=berlin)"), "{}", fires.text);
    assert!(over.text.contains("Subject: [RESOLVED] too-hot (site=berlin)"), "{}", over.text);
    assert!(service.stop().await.success());
    service.assert_quiet(&FAILING);
    assert!(!service.log().contains("hush"));
}
