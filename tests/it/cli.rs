//! What a user meets on the command line when something is wrong: one clear line, and the exit
//! code that scripts count on.

use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::raw::RawClient;
use crate::support::service::{Service, Settings, wait_until};

/// Runs `bellwire` with these arguments and this environment only.
pub(crate) fn bellwire(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bellwire"))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::temp_dir())
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// It ends with `code`, and says why in the last line on stderr, which has all of `words`; before
/// that line it says only how far it had come.
pub(crate) fn check(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let mut lines = stderr.lines();
    let line = lines.next_back().unwrap_or_default();
    assert!(line.starts_with("bellwire: "), "{stderr}");
    for word in words {
        assert!(line.contains(word), "{word:?} is missing in {line:?}; all: {stderr}");
    }
    assert!(lines.all(|line| line.contains(" INFO ")), "{stderr}");
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_wrong_configuration_is_named_with_its_place() {
    let dir = folder();
    let file = dir.path().join("bellwire.toml");
    std::fs::write(&file, "insecure = true\n[keep]\nbatch_readigns = 5\n").unwrap();
    let output = bellwire(&["check-config", "--config", text(&file)], &[]);
    check(
        &output,
        78,
        &["bellwire.toml:3:1: ", "`batch_readigns`: did you mean `batch_readings`?"],
    );
    std::fs::write(&file, "insecure = maybe\n").unwrap();
    check(
        &bellwire(&["check-config", "--config", text(&file)], &[]),
        78,
        &["bellwire.toml:1:12: "],
    );
    let missing = dir.path().join("nowhere.toml");
    let output = bellwire(&["serve", "--config", text(&missing)], &[]);
    check(&output, 78, &["nowhere.toml", "No such file"]);
    let mappings = dir.path().join("mappings.toml");
    std::fs::write(&mappings, "[[mapping]]\npreset = 'tasmata'\n").unwrap();
    let output = bellwire(&["check-config"], &[("BELLWIRE_MAPPINGS", text(&mappings))]);
    check(&output, 78, &["mappings.toml: line 2, column 10", "did you mean `tasmota`?"]);
    let output = bellwire(&["check-config"], &[("BELLWIRE_MAPPINGS", text(&missing))]);
    check(&output, 78, &["cannot read mappings file", "nowhere.toml"]);
    let output = bellwire(&["check-config"], &[("BELLWIRE_LOG_BYTES_MAX", "much")]);
    check(&output, 78, &["BELLWIRE_LOG_BYTES_MAX", "much"]);
    let small = [("BELLWIRE_LOG_BYTES_MAX", "300000"), ("BELLWIRE_LOG_SEGMENT_BYTES", "65536")];
    let output = bellwire(&["check-config"], &small);
    check(&output, 78, &["log.bytes_max must be at least 17825792"]);
    let output = bellwire(&["serve", "--insecure", "--http-listen", "0.0.0.0:0"], &[]);
    check(&output, 78, &["loopback", "0.0.0.0:0"]);
    std::fs::write(
        &file,
        "[[acl]]\nwho = \"anne\"\naction = \"publish\"\ntopic = \"a\"\nallow = true\n",
    )
    .unwrap();
    check(
        &bellwire(&["check-config", "--config", text(&file)], &[]),
        78,
        &["acl[0].who: `anne`", "user:NAME"],
    );
    let output = bellwire(&["serve", "--insecure", "--mqtt-listen", "0.0.0.0:0"], &[]);
    check(&output, 78, &["loopback", "0.0.0.0:0"]);
    let output = bellwire(&["serve", "--insecure", "--http-listen", "localhost"], &[]);
    check(&output, 78, &["--http-listen", "`localhost`", "127.0.0.1:1883"]);
    let output = bellwire(&["serve", "--insecure"], &[("BELLWIRE_MQTT_PACKET_BYTES_MAX", "3")]);
    check(&output, 78, &["mqtt.packet_bytes_max", "at least 64"]);
    let output = bellwire(&["check-config"], &[("BELLWIRE_DATABASE_URL", "mysql://hush@h")]);
    check(&output, 78, &["database.url is not a PostgreSQL URL"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hush"));
    assert_eq!(bellwire(&["sevre"], &[]).status.code(), Some(2));
}

#[test]
fn a_right_configuration_is_said_to_be_right_and_a_misspelt_variable_is_named() {
    let output = bellwire(&["check-config"], &[("BELLWIRE_MQQT_LISTEN", "127.0.0.1:0")]);
    check(&output, 0, &["BELLWIRE_MQQT_LISTEN", "did you mean `BELLWIRE_MQTT_LISTEN`?"]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("The configuration is right"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("rules.toml"), "[[rule]]\nname = \"a\"\nwhen = \"avgg(t, 5m) > 3\"\n")
        .unwrap();
    std::fs::write(at("mappings.toml"), "[[mapping]]\npreset = 'tasmata'\n").unwrap();
    let file = at("bellwire.toml");
    let lines = format!(
        "insecur = true\nrules = '{0}/rules.toml'\nmappings = '{0}/mappings.toml'\n[mqtt]\n\
         packet_bytes_max = 3\n[http.tls]\nlisten = '127.0.0.1:0'\ncert_file = '/nowhere/c'\n\
         key_file = '/nowhere/k'\n[[channel]]\nname = 'a'\ntype = 'webhook'\n\
         url_file = '/nowhere/u'\n",
        dir.path().display()
    );
    std::fs::write(&file, lines).unwrap();
    let environment = [("BELLWIRE_KEEP_BATCH_READINGS", "many"), ("BELLWIRE_INSECURE", "1")];
    let arguments = ["check-config", "--config", text(&file), "--http-listen", "0.0.0.0:1"];
    let output = bellwire(&arguments, &environment);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    assert!(
        stderr.starts_with("bellwire: there are several mistakes:\n  config file "),
        "{stderr}"
    );
    for said in [
        "bellwire.toml:1:1: unknown key `insecur`: did you mean `insecure`?",
        "bellwire.toml:5:1: mqtt.packet_bytes_max is 3 and must be at least 64",
        "variable BELLWIRE_KEEP_BATCH_READINGS: `many` is no whole number",
        "--insecure allows loopback addresses only, not 0.0.0.0:1",
        "bellwire.toml:8:1: http.tls.cert_file: cannot read /nowhere/c",
        "bellwire.toml:13:1: channel[0].url_file: cannot read /nowhere/u",
        "mappings.toml: line 2, column 10",
        "rules.toml:3:",
    ] {
        assert_eq!(stderr.matches(said).count(), 1, "{said:?} in: {stderr}");
    }
    let n_said =
        stderr.lines().filter(|line| line.starts_with("  ") && line.contains(": ")).count();
    assert!((8..=10).contains(&n_said), "and no more: {stderr}");
}

#[test]
fn each_key_says_whence_it_comes() {
    let dir = folder();
    let file = dir.path().join("bellwire.toml");
    std::fs::write(&file, "log_filter = 'warn'\n[database]\nurl = 'postgres://u:hush@h/d'\n")
        .unwrap();
    let arguments = ["config", "show", "--origin", "--config", text(&file), "--data-dir", "/data"];
    let output = bellwire(&arguments, &[("BELLWIRE_HTTP_LISTEN", "127.0.0.1:9")]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let place = file.display();
    for line in [
        "data_dir = \"/data\"  # --data-dir".to_owned(),
        format!("log_filter = \"warn\"  # {place}:1"),
        "insecure = false  # default".to_owned(),
        "listen = \"127.0.0.1:9\"  # BELLWIRE_HTTP_LISTEN".to_owned(),
        format!("url = \"<hidden>\"  # {place}:3"),
    ] {
        assert!(stdout.lines().any(|it| it == line), "{line:?} in: {stdout}");
    }
    assert!(!stdout.contains("hush"), "{stdout}");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let dir = folder();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data");
    let output = bellwire(&["serve", "--insecure", "--data-dir", text(&below)], &[]);
    check(&output, 1, &[text(&below), "Not a directory", "--data-dir"]);
}

#[test]
fn wrong_rules_are_shown_with_a_caret() {
    let dir = folder();
    let file = dir.path().join("rules.toml");
    std::fs::write(&file, "[[rule]]\nname = \"a\"\nwhen = \"avgg(t, 5m) > 3\"\n").unwrap();
    for output in [
        bellwire(&["rules", "check", text(&file)], &[]),
        bellwire(&["check-config"], &[("BELLWIRE_RULES", text(&file))]),
        bellwire(&["serve", "--insecure", "--rules", text(&file)], &[]),
    ] {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(stderr.contains("rules.toml:3:") && stderr.contains('^'), "{stderr}");
    }
    std::fs::write(&file, "[[rule]]\nname = \"a\"\nwhen = \"t > 3\"\n").unwrap();
    let output = bellwire(&["rules", "check", text(&file)], &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("1 rule in "));
}

#[test]
fn the_configuration_can_be_shown_without_its_secrets() {
    let output = bellwire(&["config", "example"], &[]);
    let dir = folder();
    let file = dir.path().join("bellwire.toml");
    std::fs::write(&file, output.stdout).unwrap();
    let shown = bellwire(&["config", "show", "--config", text(&file)], &[]);
    assert!(shown.status.success());
    assert_eq!(shown.stdout, bellwire(&["config", "show"], &[]).stdout, "the example is default");
    let url = "postgres://me:hush@nowhere/db";
    let output = bellwire(&["config", "show"], &[("BELLWIRE_DATABASE_URL", url)]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("url = \"<hidden>\""), "{stdout}");
    assert!(!stdout.contains("hush"), "{stdout}");
}

#[test]
fn a_database_that_is_not_there_at_first_boot_is_exit_code_69() {
    let dir = folder();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let serve =
        ["serve", "--insecure", "--mqtt-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"];
    let data = dir.path().join("data");
    let base = ("BELLWIRE_DATA_DIR", text(&data));
    let output = bellwire(&serve, &[base, ("BELLWIRE_DATABASE_BIN_DIR", text(&empty))]);
    check(&output, 69, &["apt-get install postgresql"]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://nobody@127.0.0.1:{port}/none");
    let output = bellwire(&serve, &[base, ("BELLWIRE_DATABASE_URL", &url)]);
    check(&output, 69, &["database", "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_taken_data_directory_are_named() {
    let mut service = Service::start(Settings::default()).await;
    let data = service.data_dir();
    let output = bellwire(&["serve", "--insecure"], &[("BELLWIRE_DATA_DIR", text(&data))]);
    check(&output, 1, &[text(&data), "open in another process"]);
    assert_eq!(service.get("/healthz").await.0, 200, "the first is not disturbed");
    assert_eq!(service.get("/api/v1/quarantine").await.0, 200, "nor its database");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(service.stop().await.success());
    for variable in ["BELLWIRE_MQTT_LISTEN", "BELLWIRE_HTTP_LISTEN"] {
        let other =
            if variable.contains("MQTT") { "BELLWIRE_HTTP_LISTEN" } else { "BELLWIRE_MQTT_LISTEN" };
        let environment =
            [("BELLWIRE_DATA_DIR", text(&data)), (variable, &address), (other, "127.0.0.1:0")];
        let output = bellwire(&["serve", "--insecure"], &environment);
        check(&output, 1, &[&address, "in use"]);
        assert_eq!(service.postgres_pid(), None, "no PostgreSQL is left behind");
    }
}

/// Turns a bit of the file.
fn damage(path: &Path, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0; 1];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// Where a segment's frames begin.
const FRAMES: u64 = 4_096;

/// Publishes, is killed, has a bit turned in its first segment, and does not start again.
async fn does_not_start_when_damaged(settings: Settings, n_publishes: u32, n_segments: usize) {
    let mut service = Service::start(settings).await;
    let mut client = RawClient::connect(&service.mqtt(), "d", 60).await;
    for _ in 0..n_publishes {
        client.deliver("devices/d/telemetry", b"{\"t\": 1}").await;
    }
    service.kill().await;
    let mut segments: Vec<_> = std::fs::read_dir(service.data_dir().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    segments.sort();
    assert!(segments.len() >= n_segments, "{segments:?}");
    // Within the first publishes, behind which many synced writes follow.
    damage(&segments[0], FRAMES + 100);
    let data = service.data_dir();
    let environment = [
        ("BELLWIRE_DATA_DIR", text(&data)),
        ("BELLWIRE_MQTT_LISTEN", "127.0.0.1:0"),
        ("BELLWIRE_HTTP_LISTEN", "127.0.0.1:0"),
    ];
    let output = bellwire(&["serve", "--insecure"], &environment);
    let name = segments[0].file_name().unwrap().to_str().unwrap();
    check(&output, 1, &[name, "bad frame", "at byte"]);

    damage(&segments[0], FRAMES + 100);
    service.launch().await;
    let whole = |audit: &serde_json::Value| audit["stored"] == n_publishes;
    service.wait_for("/api/v1/devices/d/audit", whole).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_last_segment_before_whole_records_stops_the_start() {
    does_not_start_when_damaged(Settings::default(), 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_an_earlier_segment_stops_the_start() {
    let small = Settings::default().set("BELLWIRE_LOG_SEGMENT_BYTES", 8_192);
    does_not_start_when_damaged(small, 200, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_stop_while_it_starts_stops_in_order() {
    let mut service = Service::prepare(Settings::default());
    service.spawn();
    let has_begun = || service.log().contains("Started PostgreSQL");
    wait_until("its database is there", has_begun).await;
    assert!(service.stop().await.success());
    let log = service.log();
    assert!(log.contains("Stopping on SIGTERM") && log.contains("Stopped."), "{log}");
    assert_eq!(service.postgres_pid(), None, "its database has ended with it");
    service.assert_quiet(&[]);
}
