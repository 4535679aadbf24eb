//! The database: whether it is there, what it is, whether it keeps its promises, how far it is.

use std::path::Path;
use std::time::Duration;

use bellwire_ingest::log::Contents;
use bellwire_model::{Clock, LogPosition};
use bellwire_store::{Facts, Mode};

use super::{Check, Service};
use crate::app::chain;
use crate::care::{reach, shown_bytes};
use crate::clock::SystemClock;
use crate::config::Config;

/// A database's clock may differ by so much from ours.
const SKEW_MAX: Duration = Duration::from_secs(1);
/// Connections that PostgreSQL keeps for its administrators, and that operators need.
const SPARE_CONNECTIONS: u32 = 5;
/// *Keep*, the compactor, migrations: beside the pool of the API.
const OUR_CONNECTIONS: u32 = 4;

pub(super) async fn look(
    config: &Config,
    data_dir: &Path,
    log: Option<&Contents>,
    service: Service,
) -> Vec<Check> {
    let is_managed = config.database.url.is_none();
    if is_managed && !data_dir.is_dir() {
        return vec![binaries(config, data_dir)];
    }
    // With a data directory that is there it changes nothing.
    let made = match (is_managed, service) {
        (true, Service::Runs) => reach::make_served(config, data_dir),
        _ => reach::make(config, data_dir),
    };
    let database = match made {
        Ok(database) => database,
        Err(error) => {
            return vec![Check::fail("database", format!("{error:#}"), "mend the configuration")];
        }
    };
    let mut checks = Vec::new();
    if is_managed {
        checks.push(binaries(config, data_dir));
    }
    if is_managed && service == Service::Stopped && !database.is_managed_running() {
        let detail = "the managed server does not run; `serve` starts it";
        checks.push(Check::ok("database", detail));
        return checks;
    }
    let facts = match database.facts(log.map(|contents| contents.log)).await {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = if is_managed {
                "look into postgres.log in the data directory; readings wait in the log meanwhile"
            } else {
                "check database.url and that the server runs; readings wait in the log meanwhile"
            };
            checks.push(Check::fail("database", chain(&error), remedy));
            return checks;
        }
    };
    let size = shown_bytes(facts.size_bytes);
    let detail = format!("PostgreSQL {} at {}, {size}", facts.version, database.describe());
    checks.push(version(&facts, detail));
    checks.push(storage(&facts));
    checks.push(schema(&facts));
    checks.push(durability(&facts));
    checks.push(connections(config, &facts));
    checks.push(clock(&facts));
    checks.extend(log.map(|log| place(log, facts.log)));
    checks
}

fn binaries(config: &Config, data_dir: &Path) -> Check {
    const NAME: &str = "postgresql-programs";
    match bellwire_store::server_programs(&config.database, data_dir) {
        Ok(found) => Check::ok(NAME, found),
        Err(error) => {
            let remedy = "install them, or set database.bin_dir or database.url";
            Check::fail(NAME, chain(&error), remedy)
        }
    }
}

fn version(facts: &Facts, detail: String) -> Check {
    const NAME: &str = "database";
    if facts.major < 15 {
        return Check::fail(NAME, detail, "15 or newer is needed");
    }
    if facts.encoding != "UTF8" {
        let remedy = format!("its encoding is {}: create one with UTF8", facts.encoding);
        return Check::fail(NAME, detail, remedy);
    }
    if facts.is_standby {
        let remedy = "it is a standby: point database.url at the primary";
        return Check::fail(NAME, detail, remedy);
    }
    Check::ok(NAME, detail)
}

fn storage(facts: &Facts) -> Check {
    const NAME: &str = "storage";
    let timescale = &facts.timescale;
    match (facts.mode, &timescale.installed, &timescale.available) {
        (Some(Mode::Timescale), Some(version), _) => match timescale.license.as_deref() {
            Some("apache") => Check::warn(
                NAME,
                format!("timescale: TimescaleDB {version}, licence apache"),
                "the columnstore needs the community edition: set timescaledb.license = \
                 'timescale', or install the package that is not `-apache`/`-oss`",
            ),
            license => {
                let license = license.unwrap_or("unknown");
                Check::ok(NAME, format!("timescale: TimescaleDB {version}, licence {license}"))
            }
        },
        (Some(Mode::Timescale), None, _) => Check::fail(
            NAME,
            "timescale, but the extension is not in the database",
            "restore the database from a backup",
        ),
        (Some(Mode::Plain), _, Some(version)) => Check::ok(
            NAME,
            format!("plain; TimescaleDB {version} is there, but was not when the tables were made"),
        ),
        (Some(Mode::Plain), ..) => Check::ok(NAME, "plain: a partition per day"),
        (None, _, Some(version)) => Check::ok(
            NAME,
            format!("no tables yet; they will be on TimescaleDB {version} if it is preloaded"),
        ),
        (None, ..) => Check::ok(NAME, "no tables yet; they will be plain"),
    }
}

fn schema(facts: &Facts) -> Check {
    const NAME: &str = "schema";
    let (found, known) = (facts.schema_version, facts.schema_known);
    match found {
        0 => Check::ok(
            NAME,
            format!("none yet; `serve` or `bellwire migrate` makes version {known}"),
        ),
        _ if found < known => Check::warn(
            NAME,
            format!("version {found}, this program's is {known}"),
            "`bellwire migrate`, or start `serve`, which does it too",
        ),
        _ if found > known => Check::fail(
            NAME,
            format!("version {found}, this program knows up to {known}"),
            "run the newer program",
        ),
        _ => Check::ok(NAME, format!("version {found}")),
    }
}

fn durability(facts: &Facts) -> Check {
    const NAME: &str = "durability";
    let off = |name: &&str| facts.setting(name) == "off";
    let broken: Vec<&str> = ["fsync", "full_page_writes"].into_iter().filter(off).collect();
    if !broken.is_empty() {
        let detail = format!("{} = off", broken.join(", "));
        let remedy = "turn it on: after a power cut the database may be damaged, and the log has \
                      forgotten what it had stored";
        return Check::fail(NAME, detail, remedy);
    }
    let detail = format!(
        "fsync, full_page_writes on; synchronous_commit = {}",
        facts.setting("synchronous_commit")
    );
    // The writer turns synchronous_commit on for itself.
    Check::ok(NAME, detail)
}

fn connections(config: &Config, facts: &Facts) -> Check {
    const NAME: &str = "connections";
    let max: u32 = facts.setting("max_connections").parse().unwrap_or(u32::MAX);
    let pool = u32::try_from(config.database.pool_size).unwrap_or(u32::MAX);
    let reader = match config.database.reader.role {
        Some(_) => u32::from(config.database.reader.connections_max),
        None => 0,
    };
    let wanted = pool.saturating_add(OUR_CONNECTIONS).saturating_add(reader);
    let detail = format!("{} of {max} open, we take up to {wanted}", facts.connections);
    if wanted.saturating_add(SPARE_CONNECTIONS) > max {
        let remedy = "raise max_connections, or lower database.pool_size";
        Check::warn(NAME, detail, remedy)
    } else {
        Check::ok(NAME, detail)
    }
}

fn clock(facts: &Facts) -> Check {
    const NAME: &str = "database-clock";
    let ours = SystemClock.now();
    let skew_ms = (facts.now.as_micros() - ours.as_micros()) / 1000;
    let detail = format!("{skew_ms} ms from ours");
    if u128::from(skew_ms.unsigned_abs()) > SKEW_MAX.as_millis() {
        let remedy = "keep both right with NTP: times of receipt are ours, queries ask in its";
        Check::warn(NAME, detail, remedy)
    } else {
        Check::ok(NAME, detail)
    }
}

/// Where the database is in the log.
fn place(log: &Contents, found: Option<(LogPosition, LogPosition)>) -> Check {
    const NAME: &str = "log-in-database";
    let Some((position, _)) = found else {
        if log.floor > LogPosition::ZERO {
            let remedy = "point database.url at the database that it was written to, or restore \
                          both from one backup: what lies before the log's beginning is not there";
            return Check::fail(NAME, "the database does not know this log", remedy);
        }
        return Check::ok(NAME, "the database does not know it yet");
    };
    if position > log.end {
        let detail = format!("the database is at {position}, beyond the log's end {}", log.end);
        let remedy = "this data directory is an older copy: `serve` goes on behind that, once it \
                      reaches the database";
        return Check::warn(NAME, detail, remedy);
    }
    if position < log.floor {
        let detail =
            format!("the database is at {position}, before the log's beginning {}", log.floor);
        let remedy = "the database is an older copy: restore it and the data directory from one \
                      backup (docs/guides/backup.md)";
        return Check::fail(NAME, detail, remedy);
    }
    let behind = log.end.0 - position.0;
    // Positions that were skipped hold nothing.
    let behind = shown_bytes(behind.min(log.bytes));
    Check::ok(NAME, format!("at {position}, {behind} of log behind its end"))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_database_and_a_log_that_do_not_belong_together_are_noticed() {
        let log = Contents {
            log: bellwire_model::LogId(1),
            floor: LogPosition(100),
            end: LogPosition(200),
            received_at: bellwire_model::Timestamp::EPOCH,
            bytes: 100,
        };
        let status =
            |position: u64| place(&log, Some((LogPosition(position), LogPosition(0)))).status;
        assert_eq!((status(99), status(100)), (Status::Fail, Status::Ok));
        assert_eq!((status(200), status(201)), (Status::Ok, Status::Warn));
        assert_eq!(place(&log, None).status, Status::Fail);
        let new = Contents { floor: LogPosition(0), ..log };
        assert_eq!(place(&new, None).status, Status::Ok);
    }
}
