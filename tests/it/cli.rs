//! What a user meets on the command line when something is wrong: one clear line, and the exit
//! code that scripts count on.

use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::raw::RawClient;
use crate::support::service::{Service, Settings};

/// Runs `bellwire` with these arguments and this environment only.
fn bellwire(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bellwire"))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::temp_dir())
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// It ends with `code`, and its last line on stderr has all of `words`.
fn check(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let line = stderr.lines().rfind(|line| line.starts_with("bellwire: ")).unwrap_or_default();
    for word in words {
        assert!(line.contains(word), "{word:?} is missing in {line:?}; all: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
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
    let output = bellwire(&["check-config"], &[("BELLWIRE_LOG_BYTES_MAX", "much")]);
    check(&output, 78, &["BELLWIRE_LOG_BYTES_MAX", "much"]);
    check(&bellwire(&["serve"], &[]), 78, &["--insecure"]);
    let output = bellwire(&["serve", "--insecure", "--mqtt-listen", "0.0.0.0:0"], &[]);
    check(&output, 78, &["loopback", "0.0.0.0:0"]);
    assert_eq!(bellwire(&["sevre"], &[]).status.code(), Some(2));
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
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 rule"));
}

#[test]
fn the_configuration_can_be_shown_without_its_secrets() {
    let output = bellwire(&["config", "example"], &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("[database]"));
    let url = "postgres://me:hush@nowhere/db";
    let output = bellwire(&["config", "show"], &[("BELLWIRE_DATABASE_URL", url)]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("url = \"***\""), "{stdout}");
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
    check(&output, 1, &[text(&data)]);
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
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_stops_the_start_and_says_where() {
    let mut service = Service::start(Settings::default()).await;
    let mut client = RawClient::connect(&service.mqtt(), "d", 60).await;
    for packet_id in 1..=20 {
        client.publish(packet_id, b"devices/d/telemetry", b"{\"t\": 1}").await;
        client.acknowledged(packet_id, tokio::time::Instant::now()).await;
    }
    assert!(service.stop().await.success());
    let log = service.data_dir().join("log");
    let segment = std::fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .min()
        .unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&segment).unwrap();
    // Within the first publishes, behind which many synced writes follow.
    let mut byte = [0; 1];
    file.read_exact_at(&mut byte, 4_096 + 100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 4_096 + 100).unwrap();
    let data = service.data_dir();
    let environment = [
        ("BELLWIRE_DATA_DIR", text(&data)),
        ("BELLWIRE_MQTT_LISTEN", "127.0.0.1:0"),
        ("BELLWIRE_HTTP_LISTEN", "127.0.0.1:0"),
    ];
    let output = bellwire(&["serve", "--insecure"], &environment);
    let name = segment.file_name().unwrap().to_str().unwrap();
    check(&output, 1, &[name]);
}
