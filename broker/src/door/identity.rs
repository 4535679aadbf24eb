//! Which device a client's certificate is for, and how long a certificate lasts.
//!
//! The device is the one named by the URI `urn:bellwire:device:ID` among the subject's alternative
//! names; without such a URI, the one that the common name names. A certificate that names none, or
//! more than one, lets nobody in: it is not for us, or it was made carelessly.

use bellwire_model::{DeviceId, IdError, Timestamp};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const URI_PREFIX: &str = "urn:bellwire:device:";

/// Why a certificate names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Nothing in it names a device.
    #[error("the certificate has neither a URI {URI_PREFIX}ID nor a common name")]
    Absent,
    /// It names several.
    #[error("the certificate names more than one device")]
    Ambiguous,
    /// What it names can be no device.
    #[error("the certificate names a device that cannot be: {0}")]
    Invalid(#[from] IdError),
}

/// The device that the certificate `der` is for.
pub(crate) fn device(der: &[u8]) -> Result<DeviceId, IdentityError> {
    let certificate = parsed(der)?;
    let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
    let general = names.iter().flat_map(|it| &it.value.general_names);
    let uris = general.filter_map(|name| match name {
        GeneralName::URI(uri) => device_in(uri),
        _ => None,
    });
    if let Some(id) = only(uris)? {
        return Ok(DeviceId::new(id)?);
    }
    let common = certificate.subject().iter_common_name();
    let common = common.map(|name| name.as_str().map_err(|_| IdentityError::Unreadable));
    let common = common.collect::<Result<Vec<_>, _>>()?;
    let id = only(common.into_iter())?.ok_or(IdentityError::Absent)?;
    Ok(DeviceId::new(id)?)
}

/// The identifier in a URI of ours. URNs are the same in any case up to their own part (RFC 8141).
fn device_in(uri: &str) -> Option<&str> {
    let (prefix, id) = uri.split_at_checked(URI_PREFIX.len())?;
    prefix.eq_ignore_ascii_case(URI_PREFIX).then_some(id)
}

fn only<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, IdentityError> {
    let first = names.next();
    if names.next().is_some() { Err(IdentityError::Ambiguous) } else { Ok(first) }
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Unreadable)?;
    Ok(certificate)
}

/// When the certificate `der` expires.
pub(crate) fn expiry(der: &[u8]) -> Result<Timestamp, IdentityError> {
    Ok(Timestamp::from_secs(parsed(der)?.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    /// A certificate with these common names and URIs.
    fn certificate(common_names: &[&str], uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).expect("a name");
        params.distinguished_name = DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().expect("ASCII")));
        }
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    fn check(common_names: &[&str], uris: &[&str], expected: Result<&str, IdentityError>) {
        let found = device(&certificate(common_names, uris));
        assert_eq!(found.as_ref().map(DeviceId::as_str), expected.as_ref().copied());
    }

    #[test]
    fn the_uri_names_the_device_else_the_common_name() {
        check(&["freezer-03"], &[], Ok("freezer-03"));
        check(&["Tiefkühler 3"], &[], Ok("Tiefkühler 3"));
        check(&["Acme device"], &["urn:bellwire:device:freezer-03"], Ok("freezer-03"));
        check(&[], &["URN:Bellwire:device:a:b", "https://example.com/"], Ok("a:b"));
    }

    #[test]
    fn a_certificate_that_names_no_single_device_is_refused() {
        check(&[], &[], Err(IdentityError::Absent));
        check(&[], &["urn:other:device:x"], Err(IdentityError::Absent));
        let two = ["urn:bellwire:device:x", "urn:bellwire:device:y"];
        check(&["z"], &two, Err(IdentityError::Ambiguous));
        check(&["a/b"], &[], Err(IdentityError::Invalid(IdError::Forbidden('/'))));
        check(&["z"], &["urn:bellwire:device:"], Err(IdentityError::Invalid(IdError::Empty)));
        assert_eq!(device(b"no certificate"), Err(IdentityError::Unreadable));
    }

    #[test]
    fn the_expiry_is_read() {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        assert_eq!(expiry(&der), Ok(Timestamp::from_secs(1_893_542_400)));
    }
}
