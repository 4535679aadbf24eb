//! Our certificate and key, what clients' certificates must be, and how all of that is replaced
//! while sessions go on: each handshake takes the settings that are current when it begins.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bellwire_model::Timestamp;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::config::{ClientCertificates, TlsConfig};
use super::identity;
use super::metrics::TlsMetrics;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key of the configuration is not set.
    #[error("{0} is not set")]
    NotSet(&'static str),
    /// A file cannot be read.
    #[error("{key}: cannot read {path}")]
    Read {
        /// The key of the configuration that names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{key}: {path} has no {what} (PEM) that can be read")]
    Content {
        /// The key of the configuration that names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// Certificate and key cannot be used, or do not belong together.
    #[error("tls.cert_file, tls.key_file: certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// An authority's certificate cannot be used.
    #[error("tls.client_ca_file: a certificate cannot be used")]
    Authority(#[source] rustls::Error),
    /// The authorities or their lists of revoked certificates cannot be used.
    #[error("tls.client_ca_file, tls.client_crl_file: they cannot be used")]
    Authorities(#[source] VerifierBuilderError),
}

/// What is worth knowing about the certificates that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// When our certificate expires.
    pub expires_at: Timestamp,
    /// When the first list of revoked certificates is due to be replaced, if there is one that says
    /// so. It is used beyond that.
    pub revocations_due_at: Option<Timestamp>,
}

/// Whether files have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// They have, and new handshakes use them.
    Changed,
    /// They have not.
    Same,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
    client_crl: Option<Vec<u8>>,
}

/// The TLS settings of the listeners, which can be replaced. Clones share them.
#[derive(Clone)]
pub struct TlsHandle(Arc<Inner>);

struct Inner {
    config: TlsConfig,
    current: ArcSwap<ServerConfig>,
    /// What `current` was made from.
    contents: Mutex<Contents>,
    metrics: TlsMetrics,
    /// What is spoken within, the best first; empty: nobody is asked.
    protocols: &'static [&'static [u8]],
}

impl fmt::Debug for TlsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsHandle").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// Reads the files that `config` names and tells about them, without listening.
///
/// # Errors
/// [`TlsError`], as a listener would have it.
pub fn look(config: &TlsConfig) -> Result<TlsFacts, TlsError> {
    let contents = read(config)?;
    build(config, &contents)?;
    if let Some(pem) = &contents.client_ca {
        // Also where clients are not asked for certificates yet.
        client_ca_file(config).items::<CertificateDer<'static>>(pem, "certificate")?;
    }
    facts(config, &contents)
}

impl TlsHandle {
    /// Reads the files that `config` names. `protocols` is what is spoken within, the best first (ALPN);
    /// where it is empty, clients are not asked.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn open(
        config: &TlsConfig,
        protocols: &'static [&'static [u8]],
        metrics: TlsMetrics,
    ) -> Result<Self, TlsError> {
        let contents = read(config)?;
        let current = ArcSwap::from_pointee(speaking(protocols, build(config, &contents)?));
        metrics.set_expiry(facts(config, &contents)?.expires_at.as_micros() / 1_000_000);
        let contents = Mutex::new(contents);
        Ok(Self(Arc::new(Inner { config: config.clone(), current, contents, metrics, protocols })))
    }

    /// The settings for the next handshake.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.current.load_full()
    }

    /// The files to watch.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let TlsConfig { cert_file, key_file, client_ca_file, client_crl_file, .. } = &self.0.config;
        [cert_file, key_file, client_ca_file, client_crl_file]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Reads the files again. If they have changed and are right, handshakes from now on use them;
    /// connections that are there go on. Tickets of earlier sessions are worth nothing then, so who
    /// was revoked cannot come back with one.
    ///
    /// # Errors
    /// [`TlsError`]: then everything stays as it was.
    pub fn reload(&self) -> Result<Reload, TlsError> {
        let inner = &self.0;
        let mut known = inner.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let read_anew = || {
            let contents = read(&inner.config)?;
            if contents == *known {
                return Ok(None);
            }
            let server = build(&inner.config, &contents)?;
            let facts = facts(&inner.config, &contents)?;
            Ok(Some((contents, server, facts)))
        };
        match read_anew() {
            Ok(None) => Ok(Reload::Same),
            Ok(Some((contents, server, facts))) => {
                *known = contents;
                inner.current.store(Arc::new(speaking(inner.protocols, server)));
                inner.metrics.set_expiry(facts.expires_at.as_micros() / 1_000_000);
                inner.metrics.reloaded.inc();
                Ok(Reload::Changed)
            }
            Err(error) => {
                inner.metrics.reload_failed.inc();
                Err(error)
            }
        }
    }
}

/// A key of the configuration, and the file that it names.
#[derive(Clone, Copy)]
struct Named<'a> {
    key: &'static str,
    path: Option<&'a Path>,
}

impl Named<'_> {
    /// Its bytes; `None` if none is named.
    fn read(self) -> Result<Option<Vec<u8>>, TlsError> {
        let Self { key, path: Some(path) } = self else { return Ok(None) };
        let read = std::fs::read(path);
        read.map(Some).map_err(|source| TlsError::Read { key, path: path.to_owned(), source })
    }

    /// The same of one that must be named.
    fn require(self) -> Result<Vec<u8>, TlsError> {
        self.read()?.ok_or(TlsError::NotSet(self.key))
    }

    /// It does not hold what it should.
    fn lacks(self, what: &'static str) -> TlsError {
        TlsError::Content { key: self.key, path: self.path.unwrap_or(Path::new("")).into(), what }
    }

    /// Every item of a kind in `pem`, which it holds; at least one.
    fn items<T: PemObject>(self, pem: &[u8], what: &'static str) -> Result<Vec<T>, TlsError> {
        let items: Result<Vec<T>, _> = T::pem_slice_iter(pem).collect();
        items.ok().filter(|items| !items.is_empty()).ok_or_else(|| self.lacks(what))
    }
}

fn cert_file(config: &TlsConfig) -> Named<'_> {
    Named { key: "tls.cert_file", path: config.cert_file.as_deref() }
}

fn key_file(config: &TlsConfig) -> Named<'_> {
    Named { key: "tls.key_file", path: config.key_file.as_deref() }
}

fn client_ca_file(config: &TlsConfig) -> Named<'_> {
    Named { key: "tls.client_ca_file", path: config.client_ca_file.as_deref() }
}

fn client_crl_file(config: &TlsConfig) -> Named<'_> {
    Named { key: "tls.client_crl_file", path: config.client_crl_file.as_deref() }
}

fn read(config: &TlsConfig) -> Result<Contents, TlsError> {
    Ok(Contents {
        cert: cert_file(config).require()?,
        key: key_file(config).require()?,
        client_ca: client_ca_file(config).read()?,
        client_crl: client_crl_file(config).read()?,
    })
}

fn certificates(
    config: &TlsConfig,
    contents: &Contents,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    cert_file(config).items(&contents.cert, "certificate")
}

fn revocations(
    config: &TlsConfig,
    contents: &Contents,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    match &contents.client_crl {
        Some(pem) => client_crl_file(config).items(pem, REVOCATIONS),
        None => Ok(Vec::new()),
    }
}

const REVOCATIONS: &str = "list of revoked certificates";

/// The one provider there is: named here, so that it does not matter what others install.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn build(config: &TlsConfig, contents: &Contents) -> Result<ServerConfig, TlsError> {
    let chain = certificates(config, contents)?;
    let mut keys: Vec<PrivateKeyDer<'static>> =
        key_file(config).items(&contents.key, "private key")?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let builder = match verifier(config, contents)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let key = keys.swap_remove(0);
    let mut server = builder.with_single_cert(chain, key).map_err(TlsError::Unusable)?;
    if config.client_certificates == ClientCertificates::None {
        // Devices reconnect often: with a ticket that costs no signature, and us no memory.
        server.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
        server.send_tls13_tickets = 1;
    } else {
        // A resumed session does not show its certificate again: it may have expired since.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    }
    Ok(server)
}

/// The same, with what is spoken within.
fn speaking(protocols: &[&[u8]], mut server: ServerConfig) -> ServerConfig {
    server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    server
}

fn verifier(
    config: &TlsConfig,
    contents: &Contents,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let (true, Some(pem)) =
        (config.client_certificates != ClientCertificates::None, &contents.client_ca)
    else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for authority in client_ca_file(config).items(pem, "certificate")? {
        roots.add(authority).map_err(TlsError::Authority)?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if contents.client_crl.is_some() {
        // Of the devices' own certificates: that an authority in between is revoked, its CA file says.
        builder =
            builder.with_crls(revocations(config, contents)?).only_check_end_entity_revocation();
    }
    if config.client_certificates == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(TlsError::Authorities)
}

fn facts(config: &TlsConfig, contents: &Contents) -> Result<TlsFacts, TlsError> {
    let chain = certificates(config, contents)?;
    let expires_at = chain.first().and_then(|first| identity::expiry(first).ok());
    let mut due = Vec::new();
    for list in revocations(config, contents)? {
        let (_, list) = CertificateRevocationList::from_der(&list)
            .map_err(|_| client_crl_file(config).lacks(REVOCATIONS))?;
        due.extend(list.next_update().map(|at| Timestamp::from_secs(at.timestamp())));
    }
    Ok(TlsFacts {
        expires_at: expires_at.ok_or_else(|| cert_file(config).lacks("certificate"))?,
        revocations_due_at: due.into_iter().min(),
    })
}
