//! Where a provider's parts are, as it says itself (OpenID Connect Discovery 1.0).

use bellwire_api::config::is_safe_url;
use bellwire_api::ports::ProviderError;
use serde::Deserialize;

/// What a provider says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Discovery {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Where a provider says it.
pub(super) fn url_of(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

impl Discovery {
    /// Reads what `issuer` says of itself.
    ///
    /// # Errors
    /// If it is none, or another provider's, or leads over lines that others can read.
    pub(super) fn read(text: &[u8], issuer: &str) -> Result<Self, ProviderError> {
        let it: Self =
            serde_json::from_slice(text).map_err(|error| ProviderError::Away(error.into()))?;
        if it.issuer != issuer {
            let what = format!("it calls itself {:?}, and not as configured", it.issuer);
            return Err(ProviderError::Unbelievable(what));
        }
        let parts = [&it.authorization_endpoint, &it.token_endpoint, &it.jwks_uri];
        if let Some(url) = parts.into_iter().find(|url| !is_safe_url(url)) {
            return Err(ProviderError::Unbelievable(format!("{url:?} is not https")));
        }
        Ok(it)
    }

    /// Whether the client's secret goes into the head; without a word about it, it does.
    pub(super) fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|it| it == "client_secret_basic"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said() -> Value {
        json!({
            "issuer": "https://id.example/realm",
            "authorization_endpoint": "https://id.example/auth",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://id.example/keys",
        })
    }

    fn read(said: &Value) -> Result<Discovery, ProviderError> {
        Discovery::read(said.to_string().as_bytes(), "https://id.example/realm")
    }

    #[test]
    fn a_provider_speaks_for_itself_only() {
        assert!(read(&said()).unwrap().takes_basic());
        let mut other = said();
        other["issuer"] = json!("https://id.example/other");
        assert!(matches!(read(&other), Err(ProviderError::Unbelievable(_))));
        for key in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            let mut open = said();
            open[key] = json!("http://id.example/x");
            assert!(matches!(read(&open), Err(ProviderError::Unbelievable(_))), "{key}");
            open[key] = Value::Null;
            assert!(matches!(read(&open), Err(ProviderError::Away(_))), "{key}");
        }
        assert_eq!(
            url_of("https://id.example/realm/"),
            "https://id.example/realm/.well-known/openid-configuration"
        );
    }

    #[test]
    fn the_secret_goes_where_the_provider_takes_it() {
        let mut post = said();
        post["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
        assert!(!read(&post).unwrap().takes_basic());
    }
}
