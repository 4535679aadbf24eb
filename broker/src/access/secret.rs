//! Tokens, and their hashes: only the hash is kept.
//!
//! A token has 192 random bits, so nobody guesses it from its hash, and a hash that is slow on purpose
//! would only slow a storm of reconnects: docs/decisions/0032.

use std::fmt;
use std::fmt::Write as _;
use std::hint::black_box;

use sha2::{Digest, Sha256};

/// Random bytes of a token.
const RANDOM_BYTES: usize = 24;

/// SHA-256 of a token or secret.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of `secret`.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// A hash as it is stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is to be stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are of the same secret; takes as long whether they differ early or late.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let differ = self.0.iter().zip(&other.0).fold(0, |differ, (a, b)| differ | (a ^ b));
        black_box(differ) == 0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a token is for: shown by how it begins, so that a found one can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A device's.
    Device,
    /// A service account's.
    Service,
    /// To register new devices with.
    Provisioning,
}

impl TokenKind {
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Device => "bwd_",
            Self::Service => "bws_",
            Self::Provisioning => "bwp_",
        }
    }
}

/// A fresh token, to be shown once.
pub struct Token(String);

impl Token {
    /// Makes one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate(kind: TokenKind) -> std::io::Result<Self> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let text = random.iter().fold(kind.prefix().to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self(text))
    }

    /// The token itself: to be shown, not to be logged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_says_what_it_is_for() {
        let token = Token::generate(TokenKind::Device).expect("random bytes");
        let other = Token::generate(TokenKind::Device).expect("random bytes");
        assert_eq!(token.as_str().len(), 52);
        assert!(token.as_str().starts_with("bwd_"));
        assert_ne!(token.as_str(), other.as_str());
        assert!(token.hash().is_same(&SecretHash::of(token.as_str().as_bytes())));
        assert!(!token.hash().is_same(&other.hash()));
        assert_eq!(format!("{token:?} {:?}", token.hash()), "*** ***");
    }

    #[test]
    fn a_hash_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let hash = SecretHash::of(b"abc");
        assert_eq!(hash.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
        let mut last = *hash.as_bytes();
        last[31] ^= 1;
        assert!(!hash.is_same(&SecretHash::from_bytes(last)));
    }
}
