//! What a server's processes have spent, as the kernel counts it: on a core, and waiting for one. The
//! first is the work that was asked for; the second is what others did to it.

use std::fs;
use std::ops::Sub;

use tokio_postgres::Client;

use super::support::Outcome;

/// Milliseconds of some processes together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) computing_ms: f64,
    pub(crate) queueing_ms: f64,
}

impl Spent {
    /// Since they began. One that has ended counts nothing.
    pub(crate) fn of(pids: &[i32]) -> Self {
        let mut total = Self::default();
        for pid in pids {
            // Nanoseconds on a core, and runnable without one (proc(5), schedstat).
            let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
            let mut fields = text.split(' ').map(|field| field.parse().unwrap_or(0.0) / 1e6);
            total.computing_ms += fields.next().unwrap_or_default();
            total.queueing_ms += fields.next().unwrap_or_default();
        }
        total
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            computing_ms: self.computing_ms - earlier.computing_ms,
            queueing_ms: self.queueing_ms - earlier.queueing_ms,
        }
    }
}

/// The server's processes for sessions of this name.
pub(crate) async fn named(client: &Client, application: &str) -> Outcome<Vec<i32>> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = $1";
    Ok(client.query(sql, &[&application]).await?.iter().map(|row| row.get(0)).collect())
}
