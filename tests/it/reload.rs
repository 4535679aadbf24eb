//! SIGHUP: what has changed is read at once, what is wrong changes nothing; and what systemd is told.
//!
//! Files are links to files in another folder, which no watch of ours looks at: only SIGHUP can find what
//! has changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backup::fail;
use crate::support::device::Device;
use crate::support::people::{add_user, sign_in, wait_for_status};
use crate::support::service::{PATIENCE, Service, Settings, poll, wait_until};

/// What it says at the end of each time.
const DONE: &str = "Read everything again; ";

/// A file that a service reads through a link.
fn behind_a_link(service: &Service, name: &str, text: &str) -> PathBuf {
    let (links, files) = (service.dir().join("links"), service.dir().join("files"));
    fs::create_dir_all(&links).unwrap();
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join(name), text).unwrap();
    symlink(files.join(name), links.join(name)).unwrap();
    links.join(name)
}

/// Has everything read again, and gives the line that says what came of it.
async fn reload(service: &Service) -> String {
    let said = || service.log().lines().filter(|line| line.contains(DONE)).count();
    let before = said();
    service.signal(libc::SIGHUP);
    wait_until("everything is read again", || said() > before).await;
    let log = service.log();
    let line = log.lines().rfind(|line| line.contains(DONE)).unwrap();
    line[line.find(DONE).unwrap() + DONE.len()..].to_owned()
}

fn rule(name: &str, when: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nwhen = \"{when}\"\n")
}

/// How often it counted this of `what`.
async fn counted(service: &Service, what: &str, result: &str) -> u64 {
    let name = format!("bellwire_reloads_total{{result=\"{result}\",what=\"{what}\"}} ");
    let metrics = service.metrics().await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

async fn rules_of(service: &Service) -> Vec<String> {
    let (status, body) = service.get("/api/v1/rules").await;
    assert_eq!(status, 200, "{body}");
    let rules = body["rules"].as_array().unwrap_or_else(|| panic!("{body}"));
    rules.iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_mappings_are_read_on_sighup_and_wrong_ones_change_nothing() {
    let mut service = Service::prepare(Settings::default());
    let rules = behind_a_link(&service, "rules.toml", &rule("cold", "t < 1"));
    let mappings = behind_a_link(&service, "mappings.toml", "");
    service.set("BELLWIRE_RULES", rules.display());
    service.set("BELLWIRE_MAPPINGS", mappings.display());
    service.launch().await;
    assert!(
        reload(&service).await.starts_with("nothing has changed; as before: log level, rules, ")
    );

    fs::write(&rules, rule("cold", "t < 1") + &rule("warm", "t > 5")).unwrap();
    fs::write(&mappings, "[[mapping]]\ntopic = 'lines/{device}'\nformat = 'influx'\n").unwrap();
    let said = reload(&service).await;
    assert!(
        said.starts_with("changed: rules (2 rules from ") && said.contains("mappings ("),
        "{said}"
    );
    assert_eq!(rules_of(&service).await, ["cold", "warm"]);
    let mut device = Device::connect(&service.mqtt(), "gateway").await;
    device.publish("lines/meter", "power w=2").await;
    service.wait_for("/api/v1/devices/meter/audit", |audit| audit["stored"] == 1).await;

    fs::write(&rules, rule("hot", "tt >> 5")).unwrap();
    fs::write(&mappings, "[[mapping]]\ntopic = 'lines/{device}'\nformat = 'influxx'\n").unwrap();
    let said = reload(&service).await;
    assert!(
        said.starts_with("nothing has changed; wrong, the old goes on: rules, mappings; "),
        "{said}"
    );
    let log = service.log();
    let named = |what: &str| log.contains(what);
    assert!(named("The rules in force stay as they are: ") && named("rules.toml:3:"), "{log}");
    assert!(named("The mappings in force stay as they are: ") && named("mappings.toml: line 3, "));
    assert_eq!(rules_of(&service).await, ["cold", "warm"]);
    device.publish("lines/meter", "power w=3").await;
    service.wait_for("/api/v1/devices/meter/audit", |audit| audit["stored"] == 2).await;
    for what in ["rules", "mappings"] {
        assert_eq!(counted(&service, what, "ok").await, 1, "{what}");
        assert_eq!(counted(&service, what, "failed").await, 1, "{what}");
    }
    drop(device);
    assert!(service.stop().await.success());
    service.assert_quiet(&["in force stay as they are"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_is_changed_on_sighup_and_what_needs_a_restart_is_said() {
    let mut service = Service::prepare(Settings::default());
    let file = service.dir().join("bellwire.toml");
    fs::write(&file, "").unwrap();
    service.set("BELLWIRE_CONFIG", file.display());
    service.launch().await;
    drop(Device::connect(&service.mqtt(), "early").await);

    fs::write(&file, "log_filter = 'debug'\nshutdown_grace_ms = 19000\n").unwrap();
    let said = reload(&service).await;
    assert!(said.starts_with("changed: log level (`debug`)"), "{said}");
    assert!(service.log().contains("in force after a restart only: shutdown_grace_ms."));
    drop(Device::connect(&service.mqtt(), "late").await);
    wait_until("there is more in the log", || service.log().contains("`late` is connected")).await;
    assert!(!service.log().contains("`early` is connected"));

    fs::write(&file, "log_filter = 'info'\nlog_filer = 'info'\n[mqtt]\npacket_bytes_max = 3\n")
        .unwrap();
    let said = reload(&service).await;
    assert!(said.starts_with("nothing has changed; wrong, the old goes on: log level"), "{said}");
    let log = service.log();
    for mistake in ["bellwire.toml:2:1: unknown key `log_filer`", "bellwire.toml:4:1: mqtt.packet"]
    {
        assert!(log.contains(mistake), "{log}");
    }
    assert_eq!(counted(&service, "configuration", "failed").await, 1);
    fail(&service, &["check-config"], 78, "unknown key `log_filer`").await;
    assert!(service.stop().await.success());
    service.assert_quiet(&["after a restart only", "The configuration in force stays as it is"]);
}

/// Replaces a text of the same length, in a way that does not show from outside.
fn change_unseen(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_credentials_are_read_on_sighup() {
    let mut service = Service::prepare(Settings::guarded());
    add_user(&service, "anna", "admin").await;
    service.launch().await;
    let anna = sign_in(&service, "anna").await;
    wait_for_status(&service, "GET /api/v1/devices", &anna, 200).await;
    let people = service.data_dir().join("people.json");
    change_unseen(&people, "\"anna\"", "\"anne\"");
    let said = reload(&service).await;
    assert!(said.starts_with("changed: people; ") && said.contains("credentials"), "{said}");
    wait_for_status(&service, "GET /api/v1/devices", &anna, 401).await;
    let anne = sign_in(&service, "anne").await;

    change_unseen(&people, "{", "[");
    let said = reload(&service).await;
    assert!(said.starts_with("nothing has changed; wrong, the old goes on: people; "), "{said}");
    assert!(service.log().contains("people.json: "), "{}", service.log());
    wait_for_status(&service, "GET /api/v1/devices", &anne, 200).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&["Users and tokens that are known stay valid"]);
}

/// What a service tells systemd.
struct Told {
    socket: UnixDatagram,
    all: Vec<String>,
}

impl Told {
    fn listen(service: &mut Service) -> Self {
        let path = service.dir().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        service.set("NOTIFY_SOCKET", path.display());
        Self { socket, all: Vec::new() }
    }

    /// Waits for what begins so, and gives it; what was told before is forgotten.
    async fn next(&mut self, beginning: &str) -> String {
        let mut poll = poll();
        let found = async {
            loop {
                let mut buffer = [0; 512];
                while let Ok(n) = self.socket.recv(&mut buffer) {
                    self.all.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
                }
                if let Some(at) = self.all.iter().position(|told| told.starts_with(beginning)) {
                    return self.all.drain(..=at).next_back().unwrap();
                }
                poll.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("not told: {beginning}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_when_it_is_ready_reads_again_lives_and_stops() {
    let mut service = Service::prepare(Settings::default());
    let mut told = Told::listen(&mut service);
    service.set("WATCHDOG_USEC", Duration::from_millis(200).as_micros());
    service.spawn();
    told.next("READY=1\n").await;
    assert!(service.log().contains("Ready: MQTT on"), "{}", service.log());
    for _ in 0..3 {
        told.next("WATCHDOG=1\n").await;
    }
    service.signal(libc::SIGHUP);
    let reloading = told.next("RELOADING=1\n").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    told.next("READY=1\n").await;
    assert!(service.log().contains(DONE), "{}", service.log());
    service.signal(libc::SIGTERM);
    told.next("STOPPING=1\n").await;
    assert!(service.ended().await.success());
    service.assert_quiet(&[]);
}
