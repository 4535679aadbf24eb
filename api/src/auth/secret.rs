//! Secrets of sessions and tokens: made at random, shown once, kept as their SHA-256.
//!
//! They have 256 bits, so that a plain hash is enough: there is nothing to guess
//! (docs/decisions/0032-tokens-and-their-hashes.md).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Its bytes.
const BYTES: usize = 32;
/// Its characters as text.
const CHARS: usize = 2 * BYTES;

/// A secret; shown to whom it belongs, and to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; BYTES]);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn random() -> std::io::Result<Self> {
        Ok(Self(random()?))
    }

    /// Reads what [`Secret::text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// As text: 64 characters, `0` to `9` and `a` to `f`.
    #[must_use]
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0).into())
    }

    /// Another secret that only who has this one can know, for one purpose.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Self {
        Self(
            Sha256::new()
                .chain_update(purpose)
                .chain_update([0])
                .chain_update(self.0)
                .finalize()
                .into(),
        )
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// What is kept of a secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; BYTES]);

impl SecretHash {
    /// Whether `secret` is the one; takes as long for every wrong one.
    #[must_use]
    pub fn is_of(&self, secret: &Secret) -> bool {
        are_same(&self.0, &secret.hash().0)
    }

    /// A name for it that everybody may know: 16 hexadecimal digits of its own hash.
    #[must_use]
    pub fn name(&self) -> String {
        hex(&Sha256::digest(self.0)[..8])
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = from_hex(&text).map(Self);
        hash.ok_or_else(|| serde::de::Error::custom("not a SHA-256 as 64 hexadecimal digits"))
    }
}

/// Random bytes.
///
/// # Errors
/// If the system has none.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Whether both are the same; takes as long wherever they differ.
#[must_use]
pub(crate) fn are_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || text.len() > CHARS || !text.bytes().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_text_only() {
        let secret = Secret::random().unwrap();
        assert_eq!(Secret::parse(&secret.text()), Some(secret.clone()));
        assert!(secret.hash().is_of(&secret));
        assert_ne!(secret, Secret::random().unwrap());
        let text = secret.text();
        for wrong in
            ["", "ab", &text[1..], &text.to_uppercase(), &format!("{text}0"), &"é".repeat(32)]
        {
            // A secret of digits only is the same in capitals.
            assert!(Secret::parse(wrong).is_none() || wrong == text, "{wrong}");
        }
    }

    #[test]
    fn what_is_derived_does_not_tell_the_secret_and_has_one_purpose() {
        let secret = Secret::random().unwrap();
        assert_ne!(secret.derived("a"), secret);
        assert_ne!(secret.derived("a"), secret.derived("b"));
        assert_eq!(secret.derived("a"), secret.derived("a"));
        assert!(!format!("{secret:?} {:?}", secret.hash()).contains(&secret.text()[..8]));
    }

    #[test]
    fn a_hash_is_kept_as_text() {
        let hash = Secret::random().unwrap().hash();
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<SecretHash>(&text).unwrap(), hash);
        assert!(serde_json::from_str::<SecretHash>("\"00\"").is_err());
    }
}
