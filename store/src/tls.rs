//! TLS to the database, as the URL says with libpq's `sslmode` and `sslrootcert`.
//!
//! The words are those of <https://www.postgresql.org/docs/current/libpq-ssl.html>, since `pg_dump` and
//! `psql` are given the same URL. One thing differs: to verify without `sslrootcert`, the system's
//! authorities are believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// Believe the system's authorities.
const SYSTEM: &str = "system";
/// Where Debian and its like have the system's authorities in one file, for PostgreSQL's own programs:
/// before release 16 they do not know `system`.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What of the server is checked, once there is TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Check {
    /// Nothing: who stands in between can read.
    #[default]
    Nothing,
    /// That an authority that is believed has signed its certificate.
    Authority,
    /// That, and that the certificate is for the host that was asked for.
    Name,
}

/// What a URL says of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    check: Check,
    /// PEM; `None` is the system's.
    roots: Option<PathBuf>,
    /// As it is written; `None` is libpq's default.
    mode: Option<String>,
}

impl Wish {
    /// Takes what says something of TLS, beyond what `tokio-postgres` knows, out of a URL or a
    /// `key=value` string.
    ///
    /// # Errors
    /// [`Error::Tls`]: an `sslmode` that does not exist.
    pub(crate) fn take_out(url: &str) -> Result<(String, Self), Error> {
        let mut found = Found::default();
        let rest = match url.split_once('?') {
            Some((head, query)) if is_url(url) => {
                let kept: Vec<_> = query.split('&').filter_map(|it| found.of_query(it)).collect();
                format!("{head}{}{}", if kept.is_empty() { "" } else { "?" }, kept.join("&"))
            }
            _ if is_url(url) => url.to_owned(),
            _ => pairs(url).into_iter().filter_map(|it| found.of_pair(it)).collect(),
        };
        let wish = found.wish()?;
        Ok((rest, wish))
    }

    /// What connects so.
    ///
    /// # Errors
    /// [`Error::Tls`]: no certificates are to be had.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(format!("there is no TLS: {error}")))?;
        let config = match self.check {
            Check::Name => builder.with_root_certificates(self.authorities()?),
            Check::Nothing => {
                let verifier = Lenient { chain: None, provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Check::Authority => {
                let roots = Arc::new(self.authorities()?);
                let chain =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                        .build()
                        .map_err(|error| wrong(format!("sslrootcert: {error}")))?;
                let verifier = Lenient { chain: Some(chain), provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
    }

    /// The same for PostgreSQL's own programs, as variables of their environment.
    pub(crate) fn variables(&self) -> [(&'static str, Option<String>); 2] {
        let roots = match (&self.roots, self.check) {
            (Some(path), _) => Some(path.display().to_string()),
            (None, Check::Nothing) => None,
            (None, _) if Path::new(BUNDLE).exists() => Some(BUNDLE.to_owned()),
            (None, _) => Some(SYSTEM.to_owned()),
        };
        [("PGSSLMODE", self.mode.clone()), ("PGSSLROOTCERT", roots)]
    }

    fn authorities(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Some(path) => {
                for certificate in read(path)? {
                    store
                        .add(certificate)
                        .map_err(|error| wrong(format!("{}: {error}", path.display())))?;
                }
            }
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if store.is_empty() {
            let message =
                "no certificates of authorities were found: name a file, sslrootcert=FILE";
            return Err(wrong(message.to_owned()));
        }
        Ok(store)
    }
}

/// What `tokio-postgres`, which verifies nothing itself, sees of a parameter.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Nothing,
    AsWritten,
    Require,
}

impl Shown {
    /// Of a parameter that is `written` so; one that is not as it was written has `end` behind it.
    fn text(self, written: &str, end: &str) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::AsWritten => Some(written.to_owned()),
            Self::Require => Some(format!("sslmode=require{end}")),
        }
    }
}

/// What was found in a URL.
#[derive(Debug, Default)]
struct Found {
    mode: Option<String>,
    roots: Option<String>,
}

impl Found {
    /// Takes a parameter of a URL; what `tokio-postgres` shall see of it.
    fn of_query(&mut self, parameter: &str) -> Option<String> {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        self.seen(key, value).text(parameter, "")
    }

    /// The same of a pair `key=value` as it is written.
    fn of_pair(&mut self, (key, value, written): (&str, String, &str)) -> Option<String> {
        self.seen(key, value).text(written, " ")
    }

    fn seen(&mut self, key: &str, value: String) -> Shown {
        match key {
            "sslrootcert" => {
                self.roots = Some(value);
                Shown::Nothing
            }
            "sslmode" => {
                let verifies = matches!(&*value, "verify-ca" | "verify-full");
                self.mode = Some(value);
                if verifies { Shown::Require } else { Shown::AsWritten }
            }
            _ => Shown::AsWritten,
        }
    }

    fn wish(self) -> Result<Wish, Error> {
        let roots = self.roots.filter(|it| !it.is_empty());
        let check = match self.mode.as_deref() {
            Some("verify-full") => Check::Name,
            Some("verify-ca") => Check::Authority,
            // libpq, for the sake of what was written for its earlier releases.
            Some("require") if roots.as_deref().is_some_and(|it| it != SYSTEM) => Check::Authority,
            None | Some("disable" | "prefer" | "require") => Check::Nothing,
            Some(other) => {
                return Err(wrong(format!(
                    "`{other}` is no sslmode: disable, prefer, require, verify-ca, verify-full"
                )));
            }
        };
        let roots = roots.filter(|it| it != SYSTEM).map(PathBuf::from);
        Ok(Wish { check, roots, mode: self.mode })
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// The pairs of a `key=value` string: key, value, and both as they are written, with what is behind them.
fn pairs(text: &str) -> Vec<(&str, String, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, left) = value(behind.trim_start());
        let written = &rest[..rest.len() - left.len()];
        found.push((key.trim(), value, written));
        rest = left;
    }
    // What is no pair stays, to be refused.
    found.push(("", String::new(), rest));
    found
}

/// A value, in quotes or up to a space, and what is behind it and its spaces.
fn value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut characters = body.char_indices();
    let mut end = body.len();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => {
                end = at + 1;
                break;
            }
            space if !quoted && space.is_whitespace() => {
                end = at;
                break;
            }
            other => value.push(other),
        }
    }
    (value, body[end..].trim_start())
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fault =
        |error: &dyn std::fmt::Display| wrong(format!("sslrootcert {}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| fault(&error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    all.map_err(|error| fault(&error))
}

fn wrong(message: String) -> Error {
    Error::Tls { message }
}

/// Checks less than rustls does of itself.
#[derive(Debug)]
struct Lenient {
    /// Who signed, at least.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let found =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match found {
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            found => found,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, rest: &str, expected: Check, roots: Option<&str>) {
        let (shown, wish) = Wish::take_out(url).expect(url);
        let roots = roots.map(PathBuf::from);
        assert_eq!((&*shown, wish.check, wish.roots), (rest, expected, roots), "{url}");
        shown.parse::<tokio_postgres::Config>().expect(rest);
    }

    #[test]
    fn what_a_url_says_of_tls_is_what_libpq_takes_it_for() {
        use Check::{Authority, Name, Nothing};
        check("postgres://u:p@h/d", "postgres://u:p@h/d", Nothing, None);
        check("postgres://h/d?sslmode=require", "postgres://h/d?sslmode=require", Nothing, None);
        check("postgres://h/d?sslmode=verify-full", "postgres://h/d?sslmode=require", Name, None);
        check(
            "postgresql://h/d?connect_timeout=3&sslmode=verify-ca&sslrootcert=%2Fetc%2Fca%20.pem",
            "postgresql://h/d?connect_timeout=3&sslmode=require",
            Authority,
            Some("/etc/ca .pem"),
        );
        let own = "postgres://h/d?sslrootcert=/ca.pem&sslmode=require";
        check(own, "postgres://h/d?sslmode=require", Authority, Some("/ca.pem"));
        let system = "postgres://h/d?sslmode=verify-full&sslrootcert=system";
        check(system, "postgres://h/d?sslmode=require", Name, None);
        check("postgres://h/d?sslrootcert=/ca.pem", "postgres://h/d", Nothing, Some("/ca.pem"));
    }

    #[test]
    fn pairs_say_the_same() {
        use Check::{Name, Nothing};
        check("host=h password='a b' user=u", "host=h password='a b' user=u", Nothing, None);
        check(
            "host=h sslmode = verify-full password='it\\'s' sslrootcert='/a b.pem'",
            "host=h sslmode=require password='it\\'s' ",
            Name,
            Some("/a b.pem"),
        );
    }

    #[test]
    fn programs_of_postgresql_are_told_the_same() {
        let told = |url: &str| Wish::take_out(url).expect(url).1.variables().map(|(_, it)| it);
        assert_eq!(told("postgres://h/d"), [None, None]);
        let both = told("postgres://h/d?sslmode=verify-full&sslrootcert=/ca.pem");
        assert_eq!(both, [Some("verify-full".to_owned()), Some("/ca.pem".to_owned())]);
        let [mode, roots] = told("postgres://h/d?sslmode=verify-ca");
        assert_eq!(mode.as_deref(), Some("verify-ca"));
        assert!(roots.is_some(), "libpq would look in a home folder");
    }

    #[test]
    fn what_is_neither_a_url_nor_pairs_is_left_to_be_refused() {
        for text in ["mysql://u@h", "localhost", "host=h what", "mysql://h?sslmode=require"] {
            let (rest, _) = Wish::take_out(text).expect(text);
            rest.parse::<tokio_postgres::Config>().expect_err(text);
        }
    }

    #[test]
    fn what_is_no_mode_and_no_file_is_said() {
        let said = |url: &str| match Wish::take_out(url) {
            Ok((_, wish)) => wish.connector().map(drop).expect_err(url).to_string(),
            Err(error) => error.to_string(),
        };
        let mode = said("postgres://h/d?sslmode=verify");
        assert!(mode.contains("`verify` is no sslmode: disable"), "{mode}");
        let file = said("postgres://h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
        assert!(file.contains("sslrootcert /nowhere/ca.pem: No such file"), "{file}");
        let empty = said("postgres://h/d?sslmode=verify-ca&sslrootcert=/dev/null");
        assert!(empty.contains("no certificates of authorities"), "{empty}");
    }
}
