//! Judges what a provider says of somebody (OpenID Connect Core 1.0, 3.1.3.7). Pure.

use std::collections::BTreeMap;

use bellwire_api::auth::Role;
use bellwire_api::ports::{Identity, ProviderError};
use bellwire_model::Timestamp;
use serde_json::Value;

/// How far the provider's clock may be off, in seconds.
const SKEW_SECS: i64 = 60;

/// What is expected of a provider.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) name_claim: String,
    pub(super) role_claim: String,
    /// The provider's words for roles.
    pub(super) roles: BTreeMap<String, Role>,
}

impl Expected {
    /// Who is meant by what a provider has signed.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub(super) fn judge(
        &self,
        said: &Value,
        nonce: &str,
        now: Timestamp,
    ) -> Result<Identity, ProviderError> {
        self.check(said, nonce, now.as_micros().div_euclid(1_000_000))
            .map_err(|what| ProviderError::Unbelievable(what.to_owned()))?;
        let subject = text(said, "sub").filter(|it| !it.is_empty());
        let subject = subject
            .ok_or_else(|| ProviderError::Unbelievable("it names nobody (sub)".to_owned()))?;
        let name = claim(said, &self.name_claim).and_then(Value::as_str).ok_or_else(|| {
            ProviderError::Unbelievable(format!("it has no text in {:?}", self.name_claim))
        })?;
        Ok(Identity {
            issuer: self.issuer.clone(),
            subject: subject.to_owned(),
            name: name.to_owned(),
            role: self.role(said),
        })
    }

    fn check(&self, said: &Value, nonce: &str, now_secs: i64) -> Result<(), &'static str> {
        if text(said, "iss") != Some(&self.issuer) {
            return Err("another provider says it (iss)");
        }
        let audience: Vec<&str> = match &said["aud"] {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !audience.contains(&&*self.client_id) {
            return Err("it is for another client (aud)");
        }
        let party = text(said, "azp");
        if party.is_some_and(|it| it != self.client_id) || (audience.len() > 1 && party.is_none()) {
            return Err("it was given to another client (azp)");
        }
        if text(said, "nonce") != Some(nonce) {
            return Err("it answers another sign-in (nonce)");
        }
        let secs = |name: &str| said[name].as_f64().map(|secs| secs as i64);
        let expires = secs("exp").ok_or("it never ends (exp)")?;
        if now_secs >= expires.saturating_add(SKEW_SECS) {
            return Err("it has ended (exp)");
        }
        let begins = secs("nbf").into_iter().chain(secs("iat"));
        if begins.max().is_some_and(|begins| begins > now_secs + SKEW_SECS) {
            return Err("it has not begun (nbf, iat)");
        }
        Ok(())
    }

    /// The greatest role that is said.
    fn role(&self, said: &Value) -> Option<Role> {
        let words = match claim(said, &self.role_claim)? {
            Value::String(word) => vec![word.as_str()],
            Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        words.iter().filter_map(|word| self.roles.get(*word)).copied().max()
    }
}

fn text<'a>(said: &'a Value, name: &str) -> Option<&'a str> {
    said[name].as_str()
}

/// A claim by its name, or by its path with dots.
fn claim<'a>(said: &'a Value, path: &str) -> Option<&'a Value> {
    let whole = said.get(path);
    whole.or_else(|| path.split('.').try_fold(said, |value, part| value.get(part)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected() -> Expected {
        Expected {
            issuer: "https://id.example".to_owned(),
            client_id: "bell".to_owned(),
            name_claim: "preferred_username".to_owned(),
            role_claim: "realm_access.roles".to_owned(),
            roles: [("ops".to_owned(), Role::Operator), ("boss".to_owned(), Role::Admin)].into(),
        }
    }

    fn said() -> Value {
        json!({
            "iss": "https://id.example", "aud": "bell", "sub": "7", "nonce": "n", "exp": 1_000,
            "iat": 900, "preferred_username": "anna",
            "realm_access": {"roles": ["ops", "offline_access"]},
        })
    }

    fn judge(said: &Value, secs: i64) -> Result<Identity, String> {
        let judged = expected().judge(said, "n", Timestamp::from_secs(secs));
        judged.map_err(|error| error.to_string())
    }

    #[test]
    fn who_is_meant_has_the_greatest_role_that_is_said() {
        let anna = judge(&said(), 950).unwrap();
        assert_eq!((&*anna.subject, &*anna.name, anna.role), ("7", "anna", Some(Role::Operator)));
        let role = |roles: Value| {
            let mut said = said();
            said["realm_access"]["roles"] = roles;
            judge(&said, 950).unwrap().role
        };
        assert_eq!(role(json!(["ops", "boss"])), Some(Role::Admin));
        assert_eq!(role(json!("boss")), Some(Role::Admin));
        assert_eq!(role(json!(["admin", 7])), None, "only words that are mapped");
        assert_eq!(role(json!({"boss": true})), None);
    }

    #[test]
    fn what_is_not_for_us_now_is_not_believed() {
        for (name, value) in [
            ("iss", json!("https://id.example/")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!(["bell", "other"])),
            ("azp", json!("other")),
            ("nonce", json!("other")),
            ("nonce", Value::Null),
            ("exp", Value::Null),
            ("exp", json!("1000")),
            ("exp", json!(800)),
            ("nbf", json!(2_000)),
            ("iat", json!(2_000)),
            ("sub", json!("")),
            ("preferred_username", json!(7)),
        ] {
            let mut said = said();
            said[name] = value.clone();
            assert!(judge(&said, 950).is_err(), "{name}: {value}");
        }
        let mut many = said();
        (many["aud"], many["azp"]) = (json!(["bell", "other"]), json!("bell"));
        assert!(judge(&many, 950).is_ok());
        assert!(judge(&said(), 1_059).is_ok() && judge(&said(), 1_060).is_err());
    }
}
