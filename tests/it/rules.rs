//! `bellwire rules backtest` and `bellwire rules test`, as a user meets them.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::cli::{bellwire, check};
use crate::support::http;
use crate::support::raw::RawClient;
use crate::support::service::{Service, Settings};

const HOT: &str = "[[rule]]\nname = \"hot\"\nwhen = \"t > 10\"\nfor = \"1m\"\nseverity = \"critical\"\n\
                   summary = \"{device} at {value}\"\n\n[[rule]]\nname = \"cold\"\nwhen = \"t < 0\"\n";

/// Files in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file; where it is.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

/// A minute between readings.
const CSV: &str = "timestamp,value\n2026-01-01 00:00:00,5\n2026-01-01 00:01:00,11\n\
                   2026-01-01 00:02:00,12.5\n2026-01-01 00:03:00,5\n2026-01-01 00:04:00,-1\n";

#[test]
fn a_recording_gives_a_line_of_json_for_each_transition() {
    let files = Files::new();
    let (rules, csv) = (files.write("rules.toml", HOT), files.write("a.csv", CSV));
    let recording = ["rules", "backtest", &rules, "--csv", &csv, "--device", "d", "--metric", "t"];
    let output = bellwire(&[&recording[..], &["--json"]].concat(), &[]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let lines = stdout(&output);
    let firing = "{\"rule\":\"hot\",\"device\":\"d\",\"from\":\"pending\",\"to\":\"firing\",\
                  \"at\":\"2026-01-01T00:02:00.000000Z\",\"value\":12.5,\"severity\":\"critical\"";
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[1].starts_with(firing), "{}", lines[1]);
    assert!(lines.iter().all(|line| line.starts_with("{\"rule\":")));
    let only = stdout(&bellwire(&[&recording[..], &["--json", "--rule", "cold"]].concat(), &[]));
    assert_eq!(only.lines().count(), 1);
    let bounds = ["--json", "--from", "2026-01-01 00:03:00", "--to", "2026-01-01T00:04:00Z"];
    assert_eq!(stdout(&bellwire(&[&recording[..], &bounds].concat(), &[])), "");
}

#[test]
fn a_recording_gives_a_table_and_the_difference() {
    let files = Files::new();
    let (rules, csv) = (files.write("rules.toml", HOT), files.write("a.csv", CSV));
    let sooner = files.write("sooner.toml", &HOT.replace("for = \"1m\"\n", ""));
    let recording = ["--csv", &csv, "--device", "d", "--metric", "t"];
    let table = stdout(&bellwire(&[&["rules", "backtest", &rules], &recording[..]].concat(), &[]));
    has(&table, &["5 readings from 2026-01-01 00:00:00 to", "hot ", "still firing", "Flapping: "]);
    has(&table, &["t 12.5 > 10 held for 1m"]);
    let against = ["rules", "backtest", &sooner, "--against", &rules];
    let table = stdout(&bellwire(&[&against, &recording[..]].concat(), &[]));
    has(
        &table,
        &["Compared: 1 the same, 0 new, 0 gone, 1 at another time.", "\n<  hot ", "\n>  hot "],
    );
    let against = ["rules", "backtest", &rules, "--against", &rules];
    let table = stdout(&bellwire(&[&against, &recording[..]].concat(), &[]));
    has(&table, &["Compared: no difference, 2 alerts in both."]);
    let never = files.write("never.toml", &HOT.replace("1m", "1h").replace("t < 0", "t < -5"));
    let table = stdout(&bellwire(&[&["rules", "backtest", &never], &recording[..]].concat(), &[]));
    has(
        &table,
        &["`hot` never fired: its condition held once", "`cold` never fired: its condition never"],
    );
}

#[test]
fn what_is_wrong_with_a_backtest_is_said_in_a_line() {
    let files = Files::new();
    let (rules, csv) = (files.write("rules.toml", HOT), files.write("a.csv", CSV));
    let run = |more: &[&str]| bellwire(&[&["rules", "backtest", &rules][..], more].concat(), &[]);
    assert_eq!(run(&["--csv", &csv]).status.code(), Some(2), "whose is it?");
    assert_eq!(run(&["--csv", &csv, "--device", "a/b"]).status.code(), Some(2));
    assert_eq!(run(&["--from", "yesterday"]).status.code(), Some(2));
    let bad = files.write("bad.csv", "timestamp,t\nnoon,1\n10,2\n20,much\n");
    let output = run(&["--csv", &bad, "--device", "d"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    has(&stderr, &["bad.csv:2: `noon` is no time", "bad.csv:4: `much` is no number"]);
    assert_eq!(output.stdout, b"");
    let missing = run(&["--csv", "nowhere.csv", "--device", "d", "--metric", "t"]);
    check(&missing, 1, &["cannot read nowhere.csv", "No such file"]);
    let misspelt = run(&["--csv", &csv, "--device", "d", "--metric", "t", "--rule", "hto"]);
    check(&misspelt, 1, &["no rule is named `hto`", "did you mean `hot`?"]);
    let other = run(&["--csv", &csv, "--device", "d"]);
    check(&other, 0, &["the recording has `value`, the rules use `t`", "--metric"]);
    let wrong = files.write("wrong.toml", "[[rule]]\nname = \"a\"\nwhen = \"t >> 3\"\n");
    let output = bellwire(&["rules", "backtest", &wrong, "--csv", &csv, "--device", "d"], &[]);
    assert_eq!(output.status.code(), Some(78));
    has(&String::from_utf8_lossy(&output.stderr), &["wrong.toml:3:", "^"]);
}

/// Stored readings, asked for by the command line and over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_tried_beside_the_service_and_without_it() {
    let mut service = Service::start(Settings::with_rules(HOT)).await;
    for device in ["a", "b"] {
        let mut client = RawClient::connect(&service.mqtt(), device, 60).await;
        let topic = format!("devices/{device}/telemetry");
        for (minute, value) in [(0, 5), (1, 11), (2, 12), (3, 5)] {
            let ts = 1_767_225_600 + minute * 60;
            let payload = format!("{{\"ts\": {ts}, \"t\": {value}, \"other\": 1}}");
            client.deliver(&topic, payload.as_bytes()).await;
        }
        let stored = |audit: &Value| audit["stored"] == 4;
        service.wait_for(&format!("/api/v1/devices/{device}/audit"), stored).await;
    }
    let (files, data) = (Files::new(), service.data_dir());
    let rules = files.write("rules.toml", &HOT.replace("t > 10", "t > 11.5"));
    let environment = [("BELLWIRE_DATA_DIR", data.to_str().unwrap())];
    let run = |more: &[&str]| {
        bellwire(&[&["rules", "backtest", &rules, "--json"][..], more].concat(), &environment)
    };
    let expected = "a inactive>pending 2026-01-01T00:02:00.000000Z, \
                    b inactive>pending 2026-01-01T00:02:00.000000Z, \
                    a pending>inactive 2026-01-01T00:03:00.000000Z, \
                    b pending>inactive 2026-01-01T00:03:00.000000Z";
    let beside = stdout(&run(&[]));
    assert_eq!(short(&beside), expected);
    assert_eq!(short(&stdout(&run(&["--device", "b"]))).matches("b ").count(), 2);
    let silent = "lateness = \"0s\"\n[[rule]]\nname = \"silent\"\nwhen = \"absent(beat, 2m)\"\n";
    let silent = ["rules", "backtest", &files.write("silent.toml", silent), "--json"];
    let said = short(&stdout(&bellwire(&silent, &environment)));
    assert_eq!(
        said,
        "a inactive>firing 2026-01-01T00:02:00.000000Z, b inactive>firing 2026-01-01T00:02:00.000000Z",
        "what never came is missed once the device is known"
    );
    over_http(&service, &std::fs::read_to_string(&rules).unwrap()).await;
    let none = run(&["--to", "2020-01-01"]);
    check(&none, 0, &["nothing is stored of `t`", "without --from, --to and --device"]);

    assert!(service.stop().await.success());
    assert_eq!(stdout(&run(&[])), beside, "the database is started for it");
    assert_eq!(service.postgres_pid(), None, "and stopped again");
    service.assert_quiet(&[]);
}

/// The rule in force, then a draft of it beside it.
async fn over_http(service: &Service, draft: &str) {
    let path = "/api/v1/rules/hot/backtest";
    let lines = |body: &str| -> Vec<Value> {
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of_type =
        |lines: &[Value], kind: &str| lines.iter().filter(|it| it["type"] == kind).count();
    let (status, body) = http::post(&service.http(), path, "{}").await.unwrap();
    assert_eq!(status, 200, "{body}");
    let found = lines(&body);
    assert_eq!((of_type(&found, "transition"), of_type(&found, "progress")), (6, 1), "{body}");
    let summary = found.last().unwrap();
    assert_eq!(summary["type"], "summary", "{body}");
    assert_eq!((&summary["readings"], &summary["rules"][0]["fired"]), (&8.into(), &2.into()));
    assert_eq!(summary["difference"], Value::Null);
    let body = serde_json::json!({"rules": draft, "device": "a"}).to_string();
    let (status, body) = http::post(&service.http(), path, &body).await.unwrap();
    assert_eq!(status, 200, "{body}");
    let found = lines(&body);
    let summary = found.last().unwrap();
    assert_eq!(summary["rules"][0]["held_short"], 1, "{body}");
    assert_eq!(summary["difference"]["only_running"], 1, "{body}");
    for (path, body, status, code) in [
        ("/api/v1/rules/hto/backtest", "{}", 404, "rule_not_found"),
        (path, "{\"rules\": \"[[rule]]\"}", 422, "invalid_rules"),
    ] {
        let (found, body) = http::post(&service.http(), path, body).await.unwrap();
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, &problem["code"]), (status, &code.into()), "{body}");
    }
}

/// `device from>to at` of each line.
fn short(lines: &str) -> String {
    let line = |line: &str| {
        let it: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| it[key].as_str().unwrap().to_owned();
        format!("{} {}>{} {}", text("device"), text("from"), text("to"), text("at"))
    };
    lines.lines().map(line).collect::<Vec<_>>().join(", ")
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples")
}

#[test]
fn the_tests_of_the_examples_pass() {
    let mut n_files = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        let path = path.to_str().unwrap();
        if path.ends_with(".rules.test.toml") {
            let shown = stdout(&bellwire(&["rules", "test", path], &[]));
            has(&shown, &[" 0 failed."]);
            n_files += 1;
        }
    }
    assert!(n_files > 0);
}

/// The example in the guide.
#[test]
fn the_guide_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("docs/guides/rules.md")).unwrap();
    let blocks = guide.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|block| block.split_once("```").unwrap().0).collect();
    let [rules, test] = blocks[..] else { panic!("two blocks of TOML: {blocks:?}") };
    let files = Files::new();
    files.write("freezers.toml", rules);
    let path = files.write("freezer.test.toml", test);
    has(&stdout(&bellwire(&["rules", "test", &path], &[])), &["2 tests in 1 file: 2 passed"]);
    let wrong = test.replace("{ at = \"3m\", rule", "{ at = \"2m50s\", rule");
    let path = files.write("freezer.test.toml", &wrong);
    let output = bellwire(&["rules", "test", &path], &[]);
    let shown = String::from_utf8(output.stdout).unwrap().replace(&path, "freezer.test.toml");
    for line in shown.lines() {
        assert!(guide.contains(&format!("\n{line}\n")), "the guide does not show: {line}");
    }
}

/// A test of [`HOT`] with readings a minute apart.
fn test_of(expect: &str) -> String {
    format!(
        "rules = \"rules.toml\"\n\n[[test]]\nname = \"one\"\n{expect}\n\
         [[test.input]]\ndevice = \"d\"\nevery = \"30s\"\nt = \"5x2 11+0.5x4 5\"\n"
    )
}

#[test]
fn a_test_that_fails_says_what_was_expected_and_what_was_found() {
    let files = Files::new();
    files.write("rules.toml", HOT);
    let wrong = test_of(
        "transitions = [\n  { at = \"1m\", rule = \"hot\", device = \"d\", to = \"pending\" },\n  \
         { at = \"2m\", rule = \"hot\", device = \"d\", to = \"firing\", severity = \"info\" },\n]\n\
         expect = [{ at = \"2m30s\", rule = \"hot\", device = \"d\", state = \"resolved\" }]",
    );
    let right = test_of(
        "expect = [{ at = \"2m30s\", rule = \"hot\", device = \"d\", state = \"firing\", \
         severity = \"critical\", value = 12, summary = \"d at 12\" }]",
    );
    let (wrong, right) = (files.write("wrong.toml", &wrong), files.write("right.toml", &right));
    let output = bellwire(&["rules", "test", &right, &wrong], &[]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    has(&shown, &["ok    one", "FAIL  one", "wrong.toml:9: at 2m30s, hot on d:"]);
    has(&shown, &["expected  resolved", "found     firing since 2m (t 12 > 10 held for 1m)"]);
    has(&shown, &["wrong.toml:7: transitions (- expected, + found):"]);
    has(&shown, &["    1m  d  hot  inactive → pending\n"]);
    has(&shown, &["- 2m  d  hot  → firing, severity info", "+ 2m  d  hot  pending → firing"]);
    has(&shown, &["2 tests in 2 files: 1 passed, 1 failed."]);
}

#[test]
fn a_wrong_test_file_is_shown_with_a_caret() {
    let files = Files::new();
    files.write("rules.toml", HOT);
    for (text, words) in [
        (test_of("expects = []"), ["unknown key `expects`", "did you mean `expect`?"]),
        (test_of("expect = [{ at = \"1m\" }]"), ["lacks `rule`", "wrong.toml:5:"]),
        (test_of(""), ["the test expects nothing", "transitions = []"]),
        (
            test_of("transitions = []").replace("11+0.5x4", "11+x4"),
            ["the series is wrong", "`11+x4`"],
        ),
        (test_of("transitions = []").replace("30s", "soon"), ["`soon` cannot be `every`", "90s"]),
        ("rules = \"rules.toml\"\n".to_owned(), ["there is no test", "[[test]]"]),
        ("rules = 5".to_owned(), ["`rules` must be a text", "wrong.toml:1:9"]),
    ] {
        let path = files.write("wrong.toml", &text);
        let output = bellwire(&["rules", "test", &path], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{text}\n{stderr}");
        has(&stderr, &words);
        assert!(stderr.contains('^'), "{stderr}");
    }
    let path =
        files.write("lost.toml", &test_of("transitions = []").replace("rules.toml", "no.toml"));
    check(&bellwire(&["rules", "test", &path], &[]), 78, &["no.toml", "No such file"]);
}
