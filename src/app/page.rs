//! Page tokens: where a list ended, as numbers in a short text that means nothing to clients.

use bellwire_api::ports::PortError;
use bellwire_model::Timestamp;

/// Writes numbers as a token.
pub(super) fn token<const N: usize>(parts: [u64; N]) -> String {
    parts.map(|part| format!("{part:x}")).join("_")
}

/// Reads a token of `N` numbers.
///
/// # Errors
/// [`PortError::BadPage`] if it is none.
pub(super) fn read<const N: usize>(token: &str) -> Result<[u64; N], PortError> {
    let mut parts = [0; N];
    let mut texts = token.split('_');
    for part in &mut parts {
        let text = texts.next().ok_or(PortError::BadPage)?;
        *part = u64::from_str_radix(text, 16).map_err(|_| PortError::BadPage)?;
    }
    if texts.next().is_some() { Err(PortError::BadPage) } else { Ok(parts) }
}

/// A time as a part of a token.
pub(super) const fn from_time(at: Timestamp) -> u64 {
    at.as_micros().cast_unsigned()
}

/// A part of a token as a time.
pub(super) const fn to_time(part: u64) -> Timestamp {
    Timestamp::from_micros(part.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back() {
        for parts in [[0, 1], [u64::MAX, 5], [1_700_000_000_000_000, 3]] {
            assert_eq!(read(&token(parts)).unwrap(), parts);
        }
        for wrong in ["1", "1_2_3", "zz_1", "", "-1_2"] {
            assert!(read::<2>(wrong).is_err(), "{wrong}");
        }
        let at = Timestamp::from_micros(-7);
        assert_eq!(to_time(from_time(at)), at);
    }
}
