//! What the machine gives: the data directory, its disk, ports, open files.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bellwire_ingest::log::{Contents, Disk, OsDisk};

use super::{Check, Service};
use crate::care::shown_bytes;
use crate::config::Config;

/// Files that the service has open beside its connections: log, database, timers, itself.
const OTHER_FILES: u64 = 200;

pub(super) fn service(service: Service) -> Check {
    match service {
        Service::Runs => Check::ok("service", "it runs on this data directory"),
        Service::Stopped => Check::ok("service", "it does not run"),
    }
}

/// Whether it is there and ours.
pub(super) fn data_dir(dir: &Path) -> Vec<Check> {
    const NAME: &str = "data-directory";
    let shown = dir.display();
    let metadata = match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            let remedy = "choose another with --data-dir";
            return vec![Check::fail(NAME, format!("{shown} is no directory"), remedy)];
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let detail = format!("{shown} is not there yet; the first `serve` makes it");
            return vec![Check::ok(NAME, detail)];
        }
        Err(error) => {
            let remedy = "run this as the user that runs the service";
            return vec![Check::fail(NAME, format!("{shown} cannot be read: {error}"), remedy)];
        }
    };
    let mut checks = Vec::new();
    // Root may give it away to whom it likes; others must own what they write.
    let (owner, us) = (metadata.uid(), effective_uid());
    if owner == us || us == 0 {
        checks.push(Check::ok(NAME, format!("{shown}, of user {owner}")));
    } else {
        let detail = format!("{shown} is of user {owner}, this runs as {us}");
        let remedy = format!("run this as user {owner}, or `chown -R {us} {shown}`");
        checks.push(Check::fail(NAME, detail, remedy));
    }
    if let Err(error) = crate::care::restore::check_finished(dir) {
        checks.push(Check::fail(NAME, error.to_string(), "remove the directory, restore again"));
    }
    checks
}

/// The user whose rights this has: that of its own entry in `/proc`.
fn effective_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |itself| itself.uid())
}

/// Room on the disk against the log's limits.
pub(super) fn space(config: &Config, data_dir: &Path, contents: Option<&Contents>) -> Check {
    const NAME: &str = "disk";
    // Where it is not there yet, the folder that it will be in tells.
    let place = data_dir.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let free = match OsDisk.free_bytes(place) {
        Ok(free) => free,
        Err(error) => {
            let detail = format!("free space cannot be read: {error}");
            return Check::warn(NAME, detail, "look at it with `df`");
        }
    };
    let limits = &config.log;
    let reserve = limits.disk_reserve_bytes;
    let used = contents.map_or(0, |contents| contents.bytes);
    let wanted = limits.bytes_max.saturating_sub(used).saturating_add(reserve);
    let shown = format!("{} free", shown_bytes(free));
    if free < reserve.saturating_add(limits.segment_bytes) {
        let detail = format!("{shown}, the log's reserve is {}", shown_bytes(reserve));
        let remedy = "make room: devices are held back until there is";
        return Check::fail(NAME, detail, remedy);
    }
    if free < wanted {
        let detail = format!(
            "{shown}; the log may grow by {} while the database is away, and keeps {} free",
            shown_bytes(limits.bytes_max.saturating_sub(used)),
            shown_bytes(reserve)
        );
        let remedy = "lower log.bytes_max or give more disk: devices are held back when the \
                      reserve is reached";
        return Check::warn(NAME, detail, remedy);
    }
    Check::ok(NAME, shown)
}

/// Whether the addresses can be listened on, or are our own service's.
pub(super) fn ports(config: &Config, service: Service) -> Vec<Check> {
    let mqtt = config.mqtt.listeners().map(|(key, _, address)| ("mqtt-port", key, address));
    let http = [("http-port", "http.listen", config.http.listen)];
    mqtt.chain(http).map(|(name, key, address)| port(name, key, address, service)).collect()
}

fn port(name: &'static str, key: &str, address: SocketAddr, service: Service) -> Check {
    match (TcpListener::bind(address), service) {
        (Ok(_), Service::Stopped) => Check::ok(name, format!("{address} is free")),
        (Ok(_), Service::Runs) if address.port() == 0 => {
            Check::ok(name, format!("{address}: any free one"))
        }
        (Ok(_), Service::Runs) => Check::warn(
            name,
            format!("{address} is free, although the service runs"),
            format!("it listens elsewhere: start it with the same {key}"),
        ),
        (Err(error), Service::Runs) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Check::ok(name, format!("{address} is taken, by the service it seems"))
        }
        (Err(error), _) => Check::fail(
            name,
            format!("{address}: {error}"),
            format!("end what listens there, or set {key} to another address"),
        ),
    }
}

/// Whether there are files for all connections.
pub(super) fn open_files(config: &Config) -> Check {
    const NAME: &str = "open-files";
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(limit) = hard_limit(&limits) else {
        return Check::ok(NAME, "the limit cannot be read here");
    };
    let wanted = config.mqtt.connections_max as u64 + OTHER_FILES;
    if limit >= wanted {
        return Check::ok(NAME, format!("{limit} allowed"));
    }
    Check::warn(
        NAME,
        format!("{limit} allowed, mqtt.connections_max needs {wanted}"),
        format!("`ulimit -Hn {wanted}`, or LimitNOFILE={wanted} in the systemd unit"),
    )
}

/// The hard limit of open files in `/proc/self/limits`: `serve` raises the soft one to it.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = line.split_whitespace().nth(1)?;
    if hard == "unlimited" { Some(u64::MAX) } else { hard.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn the_hard_limit_is_read() {
        let text = "Max cpu time              unlimited            unlimited            seconds\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(hard_limit(text), Some(524_288));
        assert_eq!(hard_limit(&text.replace("524288 ", "unlimited ")), Some(u64::MAX));
        assert_eq!(hard_limit(""), None);
    }

    #[test]
    fn a_taken_port_is_a_failure_unless_it_is_the_services() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let status = |service| port("http-port", "http.listen", address, service).status;
        assert_eq!(status(Service::Stopped), Status::Fail);
        assert_eq!(status(Service::Runs), Status::Ok);
        drop(taken);
        assert_eq!(status(Service::Stopped), Status::Ok);
        assert_eq!(status(Service::Runs), Status::Warn);
    }

    #[test]
    fn room_is_held_against_the_logs_limits() {
        let dir = tempfile::tempdir().unwrap();
        let status = |bytes_max, disk_reserve_bytes| {
            let mut config = Config::default();
            config.log.bytes_max = bytes_max;
            config.log.disk_reserve_bytes = disk_reserve_bytes;
            space(&config, &dir.path().join("not/yet"), None).status
        };
        assert_eq!(status(1 << 20, 0), Status::Ok);
        assert_eq!(status(u64::MAX, 0), Status::Warn);
        assert_eq!(status(1 << 20, u64::MAX), Status::Fail);
    }
}
