//! The signature of a webhook's message: HMAC-SHA256 of its time and body, so that the receiver knows
//! that it is ours and of now.

use std::fmt::Write as _;

use bellwire_model::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header that it stands in.
pub(super) const HEADER: &str = "X-Bellwire-Signature";

/// `t=SECONDS,v1=HEX`: the HMAC of `SECONDS.BODY`.
pub(super) fn signature(secret: &str, at: Timestamp, body: &[u8]) -> String {
    let secs = at.as_micros().div_euclid(1_000_000);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    mac.update(format!("{secs}.").as_bytes());
    mac.update(body);
    let mut text = format!("t={secs},v1=");
    for byte in mac.finalize().into_bytes() {
        write!(text, "{byte:02x}").expect("a text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python: `hmac.new(b"hush", b"1800000000.{}", "sha256").hexdigest()`.
    #[test]
    fn others_come_to_the_same() {
        let signed = signature("hush", Timestamp::from_secs(1_800_000_000), b"{}");
        assert_eq!(
            signed,
            "t=1800000000,v1=08de0209ca20a619eb5a1a5d407aa3a0670058bd6e075fb0b7a6d21f670e4e1c"
        );
    }
}
