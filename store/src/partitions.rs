//! Which table each day's readings go to on plain PostgreSQL: one partition per UTC day, and one
//! for everything before the border that the schema was made with.
//!
//! A day's partition is made when its first reading comes, or ahead of it. Rows are copied straight
//! into it; routing through the parent would cost the server a search per row.

use bellwire_model::Timestamp;
use hashbrown::HashMap;
use tokio_postgres::Client;

use crate::Error;
use crate::connect::failed;
use crate::types::{At, from_pg_micros, pg_micros};

const DAY_MICROS: i64 = 86_400_000_000;

/// The parent table: TimescaleDB routes each row.
pub(crate) const PARENT: &str = "reading";

/// A day's number since PostgreSQL's epoch, a midnight. `at` counts microseconds from there.
pub(crate) const fn day_of(at: i64) -> i64 {
    at.div_euclid(DAY_MICROS)
}

/// Makes sure that all of `days` have a partition, and gives its name for each. Nothing of it is
/// remembered: retention may drop one at any time.
pub(crate) async fn ensure(client: &Client, days: &[i64]) -> Result<HashMap<i64, Box<str>>, Error> {
    let days: Vec<At> = days.iter().map(|day| At(first_instant(*day))).collect();
    let rows = client
        .query("SELECT day, partition FROM bellwire.ensure_reading_days($1)", &[&days])
        .await
        .map_err(failed("making the readings' partitions"))?;
    let named = rows.iter().map(|row| {
        let At(day) = row.get(0);
        (day_of(pg_micros(day)), row.get::<_, String>(1).into())
    });
    Ok(named.collect())
}

fn first_instant(day: i64) -> Timestamp {
    from_pg_micros(day.saturating_mul(DAY_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let days = [-1, 0, 86_399, 86_400].map(|secs| day_of(secs * 1_000_000));
        assert_eq!(days, [-1, 0, 0, 1]);
        assert_eq!(first_instant(1), Timestamp::from_secs(946_684_800 + 86_400));
    }
}
