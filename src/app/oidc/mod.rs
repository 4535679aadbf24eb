//! Signing in by an OpenID provider: authorization code flow with PKCE (OpenID Connect Core 1.0).
//!
//! `discovery` says where the provider's parts are, `keys` has its keys, `claims` judges what it says; here it
//! is asked.

mod claims;
mod discovery;
mod http;
mod keys;

use std::sync::Arc;

use bellwire_api::config::OidcConfig;
use bellwire_api::ports::{Attempt, Identity, Provider, ProviderError, ProviderFuture};
use bellwire_model::{Clock, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use self::claims::Expected;
use self::discovery::Discovery;
use self::http::Http;
use self::keys::Keys;
use crate::config::ConfigError;

/// How long what the provider says of itself is believed.
const BELIEVED_SECS: u64 = 3_600;
/// How long keys are not asked for again because of one that is not among them: a token that is made up asks
/// for such a key too.
const KEYS_REST_SECS: u64 = 5;

/// The provider, as it is configured.
#[derive(Debug)]
pub(super) struct Oidc {
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    redirect_url: String,
    scopes: Vec<String>,
    expected: Expected,
    http: Http,
    clock: Arc<dyn Clock>,
    /// Whoever has it asks for what is not known; others wait and find it known.
    known: Mutex<Known>,
}

/// What the provider has said of itself.
#[derive(Debug, Default)]
struct Known {
    discovery: Option<(Timestamp, Arc<Discovery>)>,
    keys: Option<(Timestamp, Arc<Keys>)>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

impl Oidc {
    /// The provider of a configuration, if it names one. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ConfigError`] if the secret's file cannot be read, or there is no TLS.
    pub(super) fn open(
        config: &OidcConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, ConfigError> {
        let (Some(issuer), Some(client_id), Some(redirect_url)) =
            (&config.issuer, &config.client_id, &config.redirect_url)
        else {
            return Ok(None);
        };
        let wrong = |key: &str, error: &dyn std::fmt::Display| {
            ConfigError::Value(format!("http.oidc.{key}: {error}"))
        };
        let secret = config.client_secret_file.as_ref().map(std::fs::read_to_string).transpose();
        let secret = secret.map_err(|error| wrong("client_secret_file", &error))?;
        let expected = Expected {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            name_claim: config.name_claim.clone(),
            role_claim: config.role_claim.clone(),
            roles: config.roles.clone(),
        };
        Ok(Some(Self {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            client_secret: secret.map(|text| text.trim().to_owned()),
            redirect_url: redirect_url.clone(),
            scopes: config.scopes.clone(),
            expected,
            http: Http::open().map_err(|error| wrong("issuer", &*error))?,
            clock,
            known: Mutex::default(),
        }))
    }

    fn is_fresh(&self, since: Timestamp, secs: u64) -> bool {
        self.clock.now().since(since).as_secs() < secs
    }

    /// Where the provider's parts are.
    async fn discovery(&self, known: &mut Known) -> Result<Arc<Discovery>, ProviderError> {
        if let Some((at, discovery)) = &known.discovery
            && self.is_fresh(*at, BELIEVED_SECS)
        {
            return Ok(Arc::clone(discovery));
        }
        let text = self.http.get(&discovery::url_of(&self.issuer)).await?;
        let discovery = Arc::new(Discovery::read(&text, &self.issuer)?);
        known.discovery = Some((self.clock.now(), Arc::clone(&discovery)));
        Ok(discovery)
    }

    /// The provider's keys, among which this one is, if it has it.
    async fn keys(&self, wanted: Option<&str>) -> Result<Arc<Keys>, ProviderError> {
        let mut known = self.known.lock().await;
        if let Some((at, keys)) = &known.keys {
            let has = wanted.is_none_or(|wanted| keys.has(wanted));
            let secs = if has { BELIEVED_SECS } else { KEYS_REST_SECS };
            if self.is_fresh(*at, secs) {
                return Ok(Arc::clone(keys));
            }
        }
        let discovery = self.discovery(&mut known).await?;
        let keys = Arc::new(Keys::read(&self.http.get(&discovery.jwks_uri).await?)?);
        known.keys = Some((self.clock.now(), Arc::clone(&keys)));
        Ok(keys)
    }

    async fn begin(&self, attempt: &Attempt) -> Result<String, ProviderError> {
        let discovery = {
            let mut known = self.known.lock().await;
            self.discovery(&mut known).await?
        };
        let challenge = http::base64url(&Sha256::digest(&attempt.verifier));
        let query = http::form(&[
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_url),
            ("scope", &self.scopes.join(" ")),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let at = &discovery.authorization_endpoint;
        let joint = if at.contains('?') { '&' } else { '?' };
        Ok(format!("{at}{joint}{query}"))
    }

    async fn finish(&self, attempt: &Attempt, code: &str) -> Result<Identity, ProviderError> {
        let discovery = {
            let mut known = self.known.lock().await;
            self.discovery(&mut known).await?
        };
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &*self.redirect_url),
            ("code_verifier", &*attempt.verifier),
        ];
        let mut basic = None;
        match &self.client_secret {
            Some(secret) if discovery.takes_basic() => basic = Some((&*self.client_id, &**secret)),
            Some(secret) => {
                fields.extend([("client_id", &*self.client_id), ("client_secret", &**secret)]);
            }
            None => fields.push(("client_id", &self.client_id)),
        }
        let answer = self.http.post(&discovery.token_endpoint, &fields, basic).await?;
        let tokens: Tokens =
            serde_json::from_slice(&answer).map_err(|error| ProviderError::Away(error.into()))?;
        let header = keys::header(&tokens.id_token)?;
        let keys = self.keys(header.kid.as_deref()).await?;
        let said = keys.verified(&tokens.id_token, &header)?;
        self.expected.judge(&said, &attempt.nonce, self.clock.now())
    }
}

impl Provider for Oidc {
    fn begin<'a>(&'a self, attempt: &'a Attempt) -> ProviderFuture<'a, String> {
        Box::pin(self.begin(attempt))
    }

    fn finish<'a>(&'a self, attempt: &'a Attempt, code: &'a str) -> ProviderFuture<'a, Identity> {
        Box::pin(self.finish(attempt, code))
    }
}
