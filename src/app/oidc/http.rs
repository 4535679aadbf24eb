//! Asks the provider over HTTP: no redirects, no long answers, not for long.

use std::time::Duration;

use bellwire_api::ports::ProviderError;
use bellwire_notify::tls;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, header};

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes: discovery documents and sets of keys have a few thousand.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Asks over HTTP.
#[derive(Debug)]
pub(super) struct Http(Client);

fn away(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ProviderError {
    ProviderError::Away(error.into())
}

impl Http {
    /// # Errors
    /// If there is no TLS.
    pub(super) fn open() -> anyhow::Result<Self> {
        // Trusts the system's authorities.
        let tls = tls::client(None).map_err(anyhow::Error::msg)?;
        let client = Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none());
        Ok(Self(client.timeout(PATIENCE).user_agent("bellwire").build()?))
    }

    /// # Errors
    /// If there is no answer, or a bad one.
    pub(super) async fn get(&self, url: &str) -> Result<Vec<u8>, ProviderError> {
        answer(self.0.get(url)).await
    }

    /// Posts a form; `basic` is a name and its secret, for the head.
    ///
    /// # Errors
    /// If there is no answer, or a bad one.
    pub(super) async fn post(
        &self,
        url: &str,
        fields: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Result<Vec<u8>, ProviderError> {
        let kind = "application/x-www-form-urlencoded";
        let mut request = self.0.post(url).header(header::CONTENT_TYPE, kind).body(form(fields));
        if let Some((name, secret)) = basic {
            // Encoded before it is put together (RFC 6749, 2.3.1).
            request = request.basic_auth(encoded(name), Some(encoded(secret)));
        }
        answer(request).await
    }
}

async fn answer(request: RequestBuilder) -> Result<Vec<u8>, ProviderError> {
    let request = request.header(header::ACCEPT, "application/json");
    // What it is asked for may have secrets in it: its own words do not name the address.
    let mut answer = request.send().await.map_err(|error| away(error.without_url()))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(away(format!("it answers {status}")));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| away(error.without_url()))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(away(format!("its answer has more than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Fields as a form, or as the query of an address.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Base64 for addresses, without padding (RFC 4648, 5).
pub(super) fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let letter = |n: usize| char::from(LETTERS[(bits >> (18 - 6 * n) & 63) as usize]);
        text.extend((0..=chunk.len()).map(letter));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded() {
        assert_eq!(form(&[("a", "b c&d=é"), ("e", "")]), "a=b%20c%26d%3D%C3%A9&e=");
    }

    #[test]
    fn base64_for_addresses_has_no_padding() {
        for (bytes, text) in [(&b""[..], ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"\xfb\xff", "-_8")] {
            assert_eq!(base64url(bytes), text);
        }
        // RFC 7636, appendix B.
        use sha2::{Digest, Sha256};
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = base64url(&Sha256::digest(verifier));
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
