//! Our words as PostgreSQL's values: times, texts, unsigned numbers.

use std::borrow::Cow;
use std::error::Error as StdError;

use bellwire_model::Timestamp;
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Microseconds from 1970-01-01 to PostgreSQL's own epoch, 2000-01-01.
const PG_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The least `timestamptz`, 4714-11-24 BC, in PostgreSQL's count (`MIN_TIMESTAMP` of its
/// `datatype/timestamp.h`).
const PG_MICROS_MIN: i64 = -211_813_488_000_000_000;
/// The greatest that TimescaleDB takes, the end of the year 294246, in PostgreSQL's count
/// (`TS_TIMESTAMP_MAX` of its `time_utils.h`). It lies before [`Timestamp::MAX`], and one row
/// beyond it would keep all others of its generation out of the hypertable.
const PG_MICROS_MAX: i64 = 9_222_424_646_399_999_999;

/// `at` as PostgreSQL's binary `timestamptz`; outside its range, the nearest within. Readings that
/// lie so far are quarantined long before.
pub(crate) fn pg_micros(at: Timestamp) -> i64 {
    at.as_micros().saturating_sub(PG_EPOCH_MICROS).clamp(PG_MICROS_MIN, PG_MICROS_MAX)
}

/// `at` as it reads back once it is stored.
pub(crate) fn stored_at(at: Timestamp) -> Timestamp {
    from_pg_micros(pg_micros(at))
}

/// PostgreSQL's binary `timestamptz` as ours.
pub(crate) const fn from_pg_micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros.saturating_add(PG_EPOCH_MICROS))
}

/// A [`Timestamp`] as a parameter or a column of type `timestamptz`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) Timestamp);

impl ToSql for At {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.put_i64(pg_micros(self.0));
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(from_pg_micros(micros)))
    }

    accepts!(TIMESTAMPTZ);
}

/// `text` as PostgreSQL can hold it: U+0000, which it cannot, becomes U+FFFD. JSON can say
/// `"\u0000"`, and one such text must not keep a batch out.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.as_bytes().contains(&0) {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A count or position as `int8`, which ends at 2⁶³−1; ours never come near.
pub(crate) fn int8(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The other way: nothing we write is negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_and_never_leave_the_range() {
        let times = [-86_400, 0, 946_684_800, 4_102_444_800].map(Timestamp::from_secs);
        for at in times {
            let raw = pg_micros(at).to_be_bytes();
            let back = At::from_sql(&Type::TIMESTAMPTZ, &raw).expect("eight bytes");
            assert_eq!(back.0, at);
        }
        assert_eq!(pg_micros(Timestamp::from_micros(i64::MIN)), PG_MICROS_MIN);
        assert_eq!(pg_micros(Timestamp::MAX), PG_MICROS_MAX);
    }

    #[test]
    fn a_nul_becomes_a_replacement_character() {
        assert_eq!(storable("a\0b\0"), "a\u{fffd}b\u{fffd}");
        assert!(matches!(storable("ordinary"), Cow::Borrowed(_)));
    }
}
