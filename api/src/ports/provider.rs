//! The port for signing in by an OpenID provider.

use std::fmt::Debug;
use std::pin::Pin;

use crate::auth::Role;

/// What is known of a sign-in that was begun: it must come back with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Told to the provider, which gives it back.
    pub state: String,
    /// Told to the provider, which puts it into what it says of the user.
    pub nonce: String,
    /// Of which the provider is told a hash, and then this itself (PKCE, RFC 7636).
    pub verifier: String,
}

/// Who somebody is, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Whom it means: it never means another by it.
    pub subject: String,
    /// What they are called.
    pub name: String,
    /// What they may do; absent if the provider says nothing that is a role here.
    pub role: Option<Role>,
}

/// Why the provider's answer says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The provider cannot be reached, or answers what is no answer.
    #[error("the provider gives no answer")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it says of the user is not to be believed.
    #[error("what the provider says is not to be believed: {0}")]
    Unbelievable(String),
}

/// What a [`Provider`] answers with.
pub type ProviderFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// An OpenID provider.
pub trait Provider: Send + Sync + Debug {
    /// Where a browser has to go to sign in.
    fn begin<'a>(&'a self, attempt: &'a Attempt) -> ProviderFuture<'a, String>;

    /// Who has come back with this code.
    fn finish<'a>(&'a self, attempt: &'a Attempt, code: &'a str) -> ProviderFuture<'a, Identity>;
}
