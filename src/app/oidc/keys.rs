//! A provider's keys, and what is signed with one of them.

use bellwire_api::ports::ProviderError;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::Value;

/// What a token may be signed with: never with nothing, and never with a secret that both sides have, for
/// which a public key could be taken.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The keys of a provider.
#[derive(Debug)]
pub(super) struct Keys(JwkSet);

fn unbelievable(what: impl Into<String>) -> ProviderError {
    ProviderError::Unbelievable(what.into())
}

/// The head of a token: which key it names, and how it says that it is signed.
///
/// # Errors
/// If it is no token, or signed in a way that is not taken.
pub(super) fn header(token: &str) -> Result<Header, ProviderError> {
    let header =
        decode_header(token).map_err(|error| unbelievable(format!("no token: {error}")))?;
    if ALGORITHMS.contains(&header.alg) {
        Ok(header)
    } else {
        Err(unbelievable(format!("signed by {:?}, which is not taken", header.alg)))
    }
}

impl Keys {
    /// Reads a set of keys. Those that are not known here are left out.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn read(text: &[u8]) -> Result<Self, ProviderError> {
        let all: Value =
            serde_json::from_slice(text).map_err(|error| ProviderError::Away(error.into()))?;
        let all = all["keys"].as_array();
        let all = all.ok_or_else(|| ProviderError::Away("no set of keys".into()))?;
        let known = all.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        let is_for_signing = |key: &Jwk| {
            key.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature)
        };
        Ok(Self(JwkSet { keys: known.filter(is_for_signing).collect() }))
    }

    /// Whether it is among them.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.find(id).is_some()
    }

    /// What a token says, if it is signed with one of them.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn verified(&self, token: &str, header: &Header) -> Result<Value, ProviderError> {
        let key = match (&header.kid, &*self.0.keys) {
            (Some(id), _) => self.0.find(id),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let key =
            key.ok_or_else(|| unbelievable("signed with a key that is not the provider's"))?;
        let fits = key.common.key_algorithm.is_none_or(|it| {
            it.to_string().parse::<Algorithm>().is_ok_and(|algorithm| algorithm == header.alg)
        });
        if !fits {
            return Err(unbelievable("signed in another way than its key is for"));
        }
        let key = DecodingKey::from_jwk(key).map_err(|error| unbelievable(error.to_string()))?;
        // The signature only: claims are judged by a clock of ours.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let token = decode::<Value>(token, &key, &validation);
        token.map(|it| it.claims).map_err(|error| unbelievable(format!("its signature: {error}")))
    }
}
