//! The certificate of MQTT over TLS runs out under a fleet: the team is told before, connections that stand
//! go on, new ones fail at the devices, and a new certificate brings all of them back. What was not
//! acknowledged meanwhile comes then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::{Drill, RULES, rate};
use crate::listeners::{endpoint, trusting};
use crate::support::load::Load;
use crate::support::service::{PATIENCE, Service, Settings, poll};
use crate::support::tunnel::{Tunnel, connect};

/// How long before its end the last certificate is taken up, in seconds.
const SHORT_S: u64 = 12;

/// Who signs the service's certificates, and the files that it reads.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    config: Arc<ClientConfig>,
    cert: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            config: trusting(&pem),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }

    /// A new certificate, which is good for so long.
    fn write(&self, lifetime: Duration) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let now = bellwire_model::Clock::now(&crate::journey::WallClock).as_micros();
        let now = Duration::from_micros(u64::try_from(now).unwrap());
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + lifetime;
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        // The key first: a certificate without its key is no news yet.
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
        std::fs::write(&self.cert, pem).unwrap();
    }
}

/// When the certificate ends that is in force, in seconds of the Unix epoch.
async fn expires(service: &Service) -> f64 {
    let metrics = service.metrics().await;
    let name = "bellwire_mqtt_certificate_expires_timestamp_seconds{";
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Writes a new certificate and waits until it is in force.
async fn renew(drill: &Drill, authority: &Authority, lifetime: Duration) {
    let before = expires(&drill.service).await;
    authority.write(lifetime);
    drill.service.signal(libc::SIGHUP);
    let until = Instant::now() + PATIENCE;
    let mut pulse = poll();
    while expires(&drill.service).await.to_bits() == before.to_bits() {
        assert!(Instant::now() < until, "{}", drill.service.log());
        pulse.tick().await;
    }
    drill.say(&format!("a certificate for {} s is in force", lifetime.as_secs()));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_expiry() {
    let mut service = Service::prepare(Settings::with_rules(RULES));
    let authority = Authority::new(service.dir());
    authority.write(Duration::from_secs(90 * 86_400));
    service.set("BELLWIRE_MQTT_TLS_LISTEN", "127.0.0.1:0");
    service.set("BELLWIRE_MQTT_TLS_CERT_FILE", authority.cert.display());
    service.set("BELLWIRE_MQTT_TLS_KEY_FILE", authority.key.display());
    service.launch().await;
    let mqtts = endpoint(&service, "mqtts");
    let tunnel = Tunnel::to(&mqtts, &authority.config).await;
    let mut fleet = Load::config(&service, "fleet", rate());
    fleet.address = tunnel.address();
    let drill = Drill::begin_as(service, fleet, None).await;
    assert_eq!(drill.doctor("mqtt-certificate").await.0, "ok");

    renew(&drill, &authority, Duration::from_secs(10 * 86_400)).await;
    drill.pages("BellwireCertificateExpires").await;
    let (status, detail) = drill.doctor("mqtt-certificate").await;
    assert_ne!(status, "ok", "{detail}");
    renew(&drill, &authority, Duration::from_secs(SHORT_S)).await;
    drill.pages("BellwireCertificateExpiresNow").await;

    let until = Instant::now() + PATIENCE;
    let mut pulse = poll();
    while connect(&mqtts, &authority.config, b"mqtt").await.is_ok() {
        assert!(Instant::now() < until, "it is still good");
        pulse.tick().await;
    }
    drill.say("the certificate has ended: who connects anew is not content with it");
    let (status, detail) = drill.doctor("mqtt-certificate").await;
    assert_eq!(status, "fail", "{detail}");
    // Operators are not concerned: the oven is not behind TLS.
    drill.alert_comes_and_goes(&mut bellwire_fleet::Histogram::default()).await;

    renew(&drill, &authority, Duration::from_secs(90 * 86_400)).await;
    drill.pages_no_more("BellwireCertificateExpires").await;
    drill.end(&["certificate"]).await;
}
