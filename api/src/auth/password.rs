//! Passwords: what one must be like, and its hash by Argon2id.

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use serde::{Deserialize, Serialize};

use super::secret::random;

/// The fewest characters.
pub const CHARS_MIN: usize = 12;
/// The most bytes.
pub const BYTES_MAX: usize = 256;

/// Beginnings of what people choose first where twelve characters are asked for. A password that is
/// one of them, with nothing but digits and punctuation behind it, is refused.
const COMMON: [&str; 24] = [
    "password",
    "passwort",
    "motdepasse",
    "contraseña",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "qwerty",
    "iloveyou",
    "letmein",
    "welcome",
    "willkommen",
    "administrator",
    "admin",
    "changeme",
    "changeit",
    "bellwire",
    "superman",
    "football",
    "princess",
    "sunshine",
    "abcdefghijkl",
    "asdfghjkl",
    "passwordpassword",
];

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is too short.
    #[error("a password has at least {CHARS_MIN} characters")]
    Short,
    /// It is too long.
    #[error("a password has at most {BYTES_MAX} bytes")]
    Long,
    /// It is the user's name, or little more.
    #[error("a password must not be made from the user's name")]
    Name,
    /// It is one that everybody tries first.
    #[error("this password is one of those that are tried first")]
    Common,
}

/// A password that may be used; never shown.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Takes a new password of the user `name`.
    ///
    /// # Errors
    /// [`Unfit`] says what it is like and must not be.
    pub fn new(text: String, name: &str) -> Result<Self, Unfit> {
        if text.len() > BYTES_MAX {
            return Err(Unfit::Long);
        }
        if text.chars().count() < CHARS_MIN {
            return Err(Unfit::Short);
        }
        let lower = text.to_lowercase();
        let core = lower.trim_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
        // Nothing but the name, once or again and again.
        if core == name
            || core.replace(name, "").trim_matches(|c: char| !c.is_alphabetic()).is_empty()
        {
            return Err(if core.is_empty() { Unfit::Common } else { Unfit::Name });
        }
        let mut different: Vec<char> = core.chars().collect();
        different.sort_unstable();
        different.dedup();
        if COMMON.contains(&core) || different.len() < 4 {
            return Err(Unfit::Common);
        }
        Ok(Self(text))
    }

    /// Its hash. Takes tens of milliseconds of one core, and 19 MiB.
    ///
    /// # Errors
    /// If the system has no randomness or no memory.
    pub fn hash(&self) -> std::io::Result<PasswordHash> {
        let salt = random::<16>()?;
        let hash = Argon2::default().hash_password_with_salt(self.0.as_bytes(), &salt);
        hash.map(|hash| PasswordHash(hash.to_string())).map_err(std::io::Error::other)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(***)")
    }
}

/// A password's hash with its parameters and salt: `$argon2id$…`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash of a password that nobody has: for users who do not exist, so that asking for them
    /// takes as long.
    #[must_use]
    pub fn of_nobody() -> Self {
        // Of 32 random bytes that were thrown away, with the parameters of `hash`.
        Self(
            "$argon2id$v=19$m=19456,t=2,p=1$gKkp1Z2uJ4H7MuGhmq9Cpw\
             $9xjkeGqY6vvUqH0jN3nVnlh3KmOQXq0yD7sQ4F9lq1w"
                .to_owned(),
        )
    }

    /// Whether `password` is the one. Takes tens of milliseconds of one core, and 19 MiB.
    #[must_use]
    pub fn fits(&self, password: &str) -> bool {
        let Ok(hash) = Phc::new(&self.0) else { return false };
        password.len() <= BYTES_MAX
            && Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_neither_common_nor_the_name() {
        let check = |text: &str, expected| {
            let made = Password::new(text.to_owned(), "anna").map(drop);
            assert_eq!(made, expected, "{text}");
        };
        check("correct horse", Ok(()));
        check("ein langer Satz mit ö", Ok(()));
        check("short", Err(Unfit::Short));
        check("elevenchars", Err(Unfit::Short));
        check(&"ab cd ".repeat(43), Err(Unfit::Long));
        check("annaannaanna", Err(Unfit::Name));
        check("Anna12345678", Err(Unfit::Name));
        check("password1234", Err(Unfit::Common));
        check("Passwort2026!", Err(Unfit::Common));
        check("123456789012", Err(Unfit::Common));
        check("aaaaaaaaaaaaab", Err(Unfit::Common));
        check("bellwire-2026", Err(Unfit::Common));
    }

    #[test]
    fn only_the_password_fits_its_hash() {
        let password = Password::new("correct horse".to_owned(), "anna").unwrap();
        let hash = password.hash().unwrap();
        assert!(hash.fits("correct horse"));
        assert!(!hash.fits("correct horsf"));
        assert!(!hash.fits(&"correct horse".repeat(99)));
        assert_ne!(hash, password.hash().unwrap(), "each has its own salt");
        assert!(!format!("{password:?}{hash:?}").contains("horse"));
    }

    #[test]
    fn nobodys_hash_costs_as_much_as_anybodys() {
        let nobody = PasswordHash::of_nobody();
        let parameters = |hash: &PasswordHash| hash.0.rsplitn(3, '$').last().map(str::to_owned);
        let somebody = Password::new("correct horse".to_owned(), "anna").unwrap().hash().unwrap();
        assert_eq!(parameters(&nobody), parameters(&somebody));
        assert!(Phc::new(&nobody.0).is_ok() && !nobody.fits("correct horse"));
    }
}
