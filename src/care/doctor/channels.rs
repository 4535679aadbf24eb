//! The channels: whether their files can be used, what was sent last, and what is kept of it.

use std::path::Path;
use std::time::Duration;

use bellwire_model::{Clock, Timestamp};
use bellwire_notify::deliveries::{Delivery, DeliveryFilter, DeliveryLog, Result as Answer};

use super::Check;
use super::log::shown;
use crate::app::{chain, check_channels};
use crate::care::shown_bytes;
use crate::clock::SystemClock;
use crate::config::Config;

const NAME: &str = "channels";
/// A larger outbox than any that was measured.
const OUTBOX_BYTES_MAX: u64 = 256 << 20;
/// A failure that is older is of another time.
const RECENT: Duration = Duration::from_secs(24 * 3_600);

/// Nothing, if there is none.
pub(super) fn look(config: &Config, data_dir: &Path) -> Vec<Check> {
    if config.channel.is_empty() {
        return Vec::new();
    }
    if let Err(error) = check_channels(config) {
        let remedy = "mend the configuration or the file; `serve` does not start with this one";
        return vec![Check::fail(NAME, chain(&error), remedy)];
    }
    let dir = data_dir.join("outbox");
    let log = match DeliveryLog::open(&dir) {
        Ok(log) => log,
        Err(error) => {
            let remedy = "run this as the user that runs the service";
            return vec![Check::fail(NAME, format!("{}: {error}", dir.display()), remedy)];
        }
    };
    let last = |name: &str| {
        let channel = Some(name.to_owned());
        log.find(&DeliveryFilter { channel, limit: 1, ..DeliveryFilter::default() }).pop()
    };
    let now = SystemClock.now();
    let mut checks: Vec<Check> = config
        .channel
        .iter()
        .map(|it| of_channel(&it.name, last(&it.name).as_ref(), now))
        .collect();
    checks.extend(outbox(&dir, now));
    checks
}

/// What was sent last to a channel.
fn of_channel(name: &str, last: Option<&Delivery>, now: Timestamp) -> Check {
    let Some(last) = last else {
        return Check::ok(NAME, format!("`{name}`: nothing was sent yet"));
    };
    let at = last.ended_at();
    let detail = format!("`{name}`: {} at {}: {}", last.result.label(), shown(at), last.said);
    if last.result == Answer::Delivered || now.since(at) > RECENT {
        return Check::ok(NAME, detail);
    }
    let remedy = format!("`bellwire channel test {name}` says what the receiver answers now");
    Check::warn(NAME, detail, remedy)
}

/// What is kept of what was told.
fn outbox(dir: &Path, now: Timestamp) -> Option<Check> {
    const NAME: &str = "outbox";
    let file = std::fs::metadata(dir.join("state")).ok()?;
    let written = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let written = Timestamp::EPOCH + written;
    let age = now.since(written);
    let bytes = shown_bytes(file.len());
    let detail = format!("{bytes}, written {} s ago", age.as_secs());
    Some(if file.len() > OUTBOX_BYTES_MAX {
        let remedy = "far more alerts than anybody can read are told of: look at rules and routes";
        Check::warn(NAME, detail, remedy)
    } else {
        Check::ok(NAME, detail)
    })
}
