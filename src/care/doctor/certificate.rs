//! The certificates of the TLS listeners and of HTTPS: whether they can be used, and for how long.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use bellwire_broker::{TlsConfig, TlsFacts, look_at_tls};
use bellwire_model::{Clock, Timestamp};

use super::log::shown;
use super::{Check, Status};
use crate::app::{chain, https_files};
use crate::clock::SystemClock;
use crate::config::Config;

/// A certificate that expires sooner should have been replaced: what renews them does so a month
/// before.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

const MQTT: &str = "mqtt-certificate";
const HTTPS: &str = "https-certificate";

/// Nothing, if there is no TLS.
pub(super) fn look(config: &Config) -> Vec<Check> {
    let mut checks = of(MQTT, "mqtt.tls", &config.mqtt.tls);
    checks.extend(of(HTTPS, "http.tls", &https_files(config)));
    checks
}

fn of(name: &'static str, key_of_config: &str, tls: &TlsConfig) -> Vec<Check> {
    if tls.cert_file.is_none() {
        return Vec::new();
    }
    let facts = match look_at_tls(tls) {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = format!(
                "mend the files that {key_of_config} names; `serve` does not start with these"
            );
            return vec![Check::fail(name, chain(&error), remedy)];
        }
    };
    let mut checks = of_facts(name, &facts, SystemClock.now());
    checks.extend(tls.key_file.as_deref().and_then(|path| key(name, path)));
    checks
}

fn of_facts(name: &'static str, facts: &TlsFacts, now: Timestamp) -> Vec<Check> {
    let remedy = "renew it: the new file is taken up at once, and sessions stay";
    let expiry = format!("it expires at {}", shown(facts.expires_at));
    let mut checks = vec![match left(facts.expires_at, now) {
        Status::Ok => Check::ok(name, expiry),
        Status::Warn => Check::warn(name, expiry, remedy),
        Status::Fail => Check::fail(name, format!("{expiry}: clients refuse it"), remedy),
    }];
    // A list that is overdue is used still: devices would otherwise all be locked out.
    if let Some(due_at) = facts.revocations_due_at
        && due_at <= now
    {
        let detail = format!("client_crl_file should have been replaced at {}", shown(due_at));
        let remedy = "get the newer list: devices revoked since are let in";
        checks.push(Check::warn(name, detail, remedy));
    }
    checks
}

fn left(expires_at: Timestamp, now: Timestamp) -> Status {
    if expires_at <= now {
        Status::Fail
    } else if expires_at.since(now) < SOON {
        Status::Warn
    } else {
        Status::Ok
    }
}

/// Something to say of the key's file, if others may read it.
fn key(name: &'static str, path: &Path) -> Option<Check> {
    const OTHERS: u32 = 0o007;
    let mode = std::fs::metadata(path).ok()?.mode();
    (mode & OTHERS != 0).then(|| {
        let detail = format!("everyone on this machine may read {}", path.display());
        Check::warn(name, detail, format!("`chmod o= {}`", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_spoken_of_two_weeks_before_it_expires() {
        let now = Timestamp::from_secs(1_705_320_000);
        assert_eq!(left(now + SOON, now), Status::Ok);
        assert_eq!(left(now + SOON - Duration::from_secs(1), now), Status::Warn);
        assert_eq!(left(now, now), Status::Fail);
    }

    #[test]
    fn an_overdue_list_of_revocations_is_spoken_of() {
        let now = Timestamp::from_secs(1_705_320_000);
        let facts = |due_at| TlsFacts { expires_at: now + 2 * SOON, revocations_due_at: due_at };
        assert_eq!(of_facts(MQTT, &facts(None), now).len(), 1);
        assert_eq!(of_facts(MQTT, &facts(Some(now + SOON)), now).len(), 1);
        assert_eq!(of_facts(MQTT, &facts(Some(now)), now)[1].status, Status::Warn);
    }
}
