//! TLS as a client: whom we believe when we connect to others.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Trusts the system's authorities, and those of `ca_file` (PEM) if there is one. A system without any is
/// one where only those of `ca_file` count.
///
/// # Errors
/// What is wrong with `ca_file`, which is named so, or with TLS itself.
pub fn client(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add(&mut roots, path)
            .map_err(|why| format!("ca_file: cannot use {}: {why}", path.display()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certs = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let mut n_certs = 0;
    for cert in certs {
        let cert = cert.map_err(|error| error.to_string())?;
        roots.add(cert).map_err(|error| error.to_string())?;
        n_certs += 1;
    }
    if n_certs == 0 {
        return Err("it has no certificate".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_of_our_own_are_read_or_it_is_said_why_not() {
        let dir = std::env::temp_dir();
        let missing = dir.join("bellwire-no-such-ca.pem");
        let error = client(Some(&missing)).unwrap_err();
        assert!(
            error.starts_with("ca_file: cannot use ") && error.contains("no-such-ca"),
            "{error}"
        );
        let empty = dir.join(format!("bellwire-empty-ca-{}.pem", std::process::id()));
        std::fs::write(&empty, "nothing\n").unwrap();
        let error = client(Some(&empty)).unwrap_err();
        std::fs::remove_file(&empty).unwrap();
        assert!(error.ends_with("it has no certificate"), "{error}");
        assert!(client(None).is_ok());
    }
}
