//! The log, and the clock that stamps its records.

use std::path::Path;
use std::time::Duration;

use bellwire_ingest::log::{Contents, LogFiles};
use bellwire_model::{Clock, Timestamp};

use super::Check;
use crate::care::shown_bytes;
use crate::clock::SystemClock;
use crate::config::Config;

/// 2024-01-01: before it, a clock was never set.
const CLOCK_MIN: Timestamp = Timestamp::from_secs(1_704_067_200);
/// A clock that is this far behind the log's last record was set back.
const SET_BACK: Duration = Duration::from_secs(2);

/// The log's state, and what is in it if it can be read.
pub(super) fn look(config: &Config, data_dir: &Path) -> (Vec<Check>, Option<Contents>) {
    let found = LogFiles::open(&data_dir.join("log"))
        .and_then(|files| files.map(|files| files.contents()).transpose());
    let (check, contents) = match found {
        Ok(Some(contents)) => (of_contents(config, &contents), Some(contents)),
        Ok(None) => (Check::ok("log", "there is none yet; the first `serve` makes it"), None),
        Err(error) => {
            let detail = crate::app::chain(&error);
            let remedy = "restore the data directory from a backup (docs/guides/backup.md)";
            (Check::fail("log", detail, remedy), None)
        }
    };
    let now = SystemClock.now();
    (vec![check, clock(now, contents.map(|contents| contents.received_at))], contents)
}

fn of_contents(config: &Config, contents: &Contents) -> Check {
    let limit = config.log.bytes_max;
    let detail = format!(
        "{} of {}, positions {} to {}",
        shown_bytes(contents.bytes),
        shown_bytes(limit),
        contents.floor,
        contents.end
    );
    if contents.bytes >= limit {
        let remedy = "bring the database back, or raise log.bytes_max: devices are held back";
        Check::fail("log", detail, remedy)
    } else if contents.bytes >= limit / 10 * 8 {
        let remedy = "bring the database back, or raise log.bytes_max: when it is full, devices \
                      are held back";
        Check::warn("log", detail, remedy)
    } else {
        Check::ok("log", detail)
    }
}

fn clock(now: Timestamp, last_received_at: Option<Timestamp>) -> Check {
    if now < CLOCK_MIN {
        let detail = format!("it says {}", shown(now));
        return Check::fail("clock", detail, "set it, and keep it right with NTP");
    }
    if let Some(last) = last_received_at
        && last.since(now) >= SET_BACK
    {
        let detail = format!("it says {}, the last record came at {}", shown(now), shown(last));
        let remedy = "it was set back: until it has caught up, all that comes gets that time";
        return Check::warn("clock", detail, remedy);
    }
    Check::ok("clock", shown(now))
}

/// RFC 3339, to the second.
pub(crate) fn shown(at: Timestamp) -> String {
    let at = chrono::DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_or_never_set_is_noticed() {
        let noon = Timestamp::from_secs(1_705_320_000);
        assert_eq!(clock(noon, None), Check::ok("clock", "2024-01-15T12:00:00Z"));
        assert_eq!(clock(noon, Some(noon + Duration::from_secs(1))).status, Status::Ok);
        assert_eq!(clock(noon, Some(noon + Duration::from_secs(2))).status, Status::Warn);
        assert_eq!(clock(Timestamp::from_secs(9), None).status, Status::Fail);
    }

    #[test]
    fn a_log_that_fills_is_noticed_before_it_is_full() {
        let mut config = Config::default();
        config.log.bytes_max = 1000;
        let status = |bytes| {
            let contents = Contents {
                log: bellwire_model::LogId(1),
                floor: bellwire_model::LogPosition(0),
                end: bellwire_model::LogPosition(bytes),
                received_at: Timestamp::EPOCH,
                bytes,
            };
            of_contents(&config, &contents).status
        };
        assert_eq!(
            (status(799), status(800), status(1000)),
            (Status::Ok, Status::Warn, Status::Fail)
        );
    }
}
