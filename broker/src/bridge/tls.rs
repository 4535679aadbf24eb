//! TLS towards a broker: whose certificate it must have, and ours. The files are read at each connect,
//! so replaced ones are used without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::config::{BridgeConfig, shown};

/// Why TLS towards a broker cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeTlsError {
    #[error("{key}: cannot read {path}", path = .path.display())]
    Read { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{key}: {path} has no {what} (PEM) that can be read")]
    Content { key: &'static str, path: String, what: &'static str },
    #[error("ca_file: a certificate cannot be used")]
    Authority(#[source] rustls::Error),
    #[error("cert_file, key_file: certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// Every item of a kind in a file; at least one.
fn items<T: PemObject>(
    key: &'static str,
    path: Option<&Path>,
    what: &'static str,
) -> Result<Vec<T>, BridgeTlsError> {
    let lacks = || BridgeTlsError::Content { key, path: shown(path), what };
    let path = path.ok_or_else(lacks)?;
    let pem = std::fs::read(path).map_err(|source| BridgeTlsError::Read {
        key,
        path: path.to_owned(),
        source,
    })?;
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&pem).collect();
    items.ok().filter(|items| !items.is_empty()).ok_or_else(lacks)
}

/// Reads the files that `config` names.
pub(crate) fn read(config: &BridgeConfig) -> Result<Arc<ClientConfig>, BridgeTlsError> {
    let mut roots = RootCertStore::empty();
    let authorities =
        items::<CertificateDer<'static>>("ca_file", config.ca_file.as_deref(), "certificate")?;
    // A system's file may have one that is too old to be read; the others count.
    let (n_added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if n_added == 0 {
        let first = authorities.into_iter().next().map_or(Ok(()), |first| roots.add(first));
        first.map_err(BridgeTlsError::Authority)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(BridgeTlsError::Unusable)?
        .with_root_certificates(roots);
    if config.cert_file.is_none() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let chain = items("cert_file", config.cert_file.as_deref(), "certificate")?;
    let mut keys: Vec<PrivateKeyDer<'static>> =
        items("key_file", config.key_file.as_deref(), "private key")?;
    let key = keys.swap_remove(0);
    builder.with_client_auth_cert(chain, key).map(Arc::new).map_err(BridgeTlsError::Unusable)
}
