//! What work costs: time, CPU of this process and of the server's, and write-ahead log.

use std::fs;
use std::ops::AddAssign;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use super::support::Outcome;

/// Time and CPU of some transactions.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    n_readings: f64,
    elapsed: Duration,
    own_cpu_secs: f64,
    pub(crate) server_cpu_secs: f64,
    wal_bytes: f64,
}

/// The clocks when a measurement begins.
pub(crate) struct Start {
    at: Instant,
    own_cpu_secs: f64,
    server_cpu_secs: f64,
    wal: f64,
}

impl Start {
    pub(crate) async fn now(dir: &Path, client: &Client) -> Outcome<Self> {
        Ok(Self {
            wal: wal_bytes(client).await?,
            own_cpu_secs: cpu_secs("self")?,
            server_cpu_secs: server_cpu_secs(dir)?,
            at: Instant::now(),
        })
    }

    pub(crate) async fn end(
        &self,
        dir: &Path,
        client: &Client,
        n_readings: usize,
    ) -> Outcome<Cost> {
        let elapsed = self.at.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "a count of readings is small")]
        Ok(Cost {
            n_readings: n_readings as f64,
            elapsed,
            own_cpu_secs: cpu_secs("self")? - self.own_cpu_secs,
            server_cpu_secs: server_cpu_secs(dir)? - self.server_cpu_secs,
            wal_bytes: wal_bytes(client).await? - self.wal,
        })
    }
}

impl Cost {
    pub(crate) fn print(&self, name: &str) {
        let millions = self.n_readings / 1e6;
        println!(
            "{name:28} {:6.2} M readings/s, CPU-s per million: own {:.3}, PostgreSQL {:.3}; \
             {:.0} bytes of WAL per reading",
            millions / self.elapsed.as_secs_f64(),
            self.own_cpu_secs / millions,
            self.server_cpu_secs / millions,
            self.wal_bytes / self.n_readings,
        );
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.n_readings += other.n_readings;
        self.elapsed += other.elapsed;
        self.own_cpu_secs += other.own_cpu_secs;
        self.server_cpu_secs += other.server_cpu_secs;
        self.wal_bytes += other.wal_bytes;
    }
}

async fn wal_bytes(client: &Client) -> Outcome<f64> {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// CPU of the server's main process, its children, and those that have ended.
fn server_cpu_secs(dir: &Path) -> Outcome<f64> {
    let pid_file = fs::read_to_string(dir.join("postgres/postmaster.pid"))?;
    let main = pid_file.lines().next().ok_or("a pid")?;
    let mut total = cpu_secs(main)?;
    let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children"))?;
    for child in children.split_whitespace() {
        // One that has just ended is in its parent's account.
        total += cpu_secs(child).unwrap_or_default();
    }
    Ok(total)
}

/// User and system time of a process and of its waited-for children, from fields 14 to 17 of
/// `/proc/[pid]/stat`, in ticks of 10 ms.
fn cpu_secs(pid: &str) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("a stat line")?;
    let ticks: u32 =
        fields.split(' ').skip(11).take(4).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
