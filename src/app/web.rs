//! The doors of the API: HTTP, and HTTPS with certificates that are replaced while it runs.

use std::net::SocketAddr;
use std::sync::Arc;

use bellwire_api::tls::{PROTOCOLS, ServerConfig, TlsSettings};
use bellwire_api::{Api, Intake, PeopleReader};
use bellwire_broker::{ClientCertificates, TlsConfig, TlsHandle, TlsMetrics};
use tokio_util::sync::CancellationToken;

use super::certificates::Certificates;
use super::reload::{Reloads, What};
use super::{Common, Running};

/// The API while it runs.
#[derive(Debug)]
pub(super) struct Web {
    pub(super) running: Running,
    pub(super) http: SocketAddr,
    pub(super) https: Option<SocketAddr>,
    pub(super) intake: Intake,
    pub(super) certificates: Option<Certificates>,
    pub(super) people: Option<PeopleReader>,
}

/// Our certificate, as the listener for HTTPS asks for it.
#[derive(Debug)]
struct Https(TlsHandle);

impl TlsSettings for Https {
    fn current(&self) -> Arc<ServerConfig> {
        self.0.current()
    }
}

/// Opens HTTPS too, if it is to be, and lets the API run.
///
/// # Errors
/// If the certificates cannot be used, or the address is taken.
pub(super) async fn open(common: &Common, mut api: Api, reloads: &Reloads) -> anyhow::Result<Web> {
    let config = &common.config.http.tls;
    let (mut https, mut certificates) = (None, None);
    if config.listen.is_some() {
        let metrics = TlsMetrics::register(&common.registry, "http")?;
        let handle = TlsHandle::open(&files(config), PROTOCOLS, metrics)?;
        https = api.bind_tls(Arc::new(Https(handle.clone()))).await?;
        certificates = Some(Certificates::new(What::HttpsCertificates, handle, reloads.clone()));
    }
    let (http, intake, people) = (api.local_addr(), api.intake(), api.people());
    let token = CancellationToken::new();
    let task = common.tracker.spawn(api.run(token.clone()));
    Ok(Web { running: (token, task), http, https, intake, certificates, people })
}

/// The files of HTTPS, read as those of MQTT are.
pub(super) fn files(config: &bellwire_api::TlsConfig) -> TlsConfig {
    let client_certificates = match config.client_ca_file {
        Some(_) => ClientCertificates::Required,
        None => ClientCertificates::None,
    };
    TlsConfig {
        cert_file: config.cert_file.clone(),
        key_file: config.key_file.clone(),
        client_certificates,
        client_ca_file: config.client_ca_file.clone(),
        client_crl_file: None,
    }
}
