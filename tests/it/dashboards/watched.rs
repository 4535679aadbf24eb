//! What dashboards and rules ask of Prometheus is asked of a real one that watches a real service.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::boards;
use super::rules::{self, RULES};
use super::text::{Chosen, Moment};
use crate::listeners::Files;
use crate::support::device::Device;
use crate::support::fault::{Fault, none_of};
use crate::support::live::Screen;
use crate::support::prometheus::{Prometheus, promtool};
use crate::support::receiver::Receiver;
use crate::support::service::{Service, Settings, poll};

/// A metric's name with what chooses among its series.
static SELECTOR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:bellwire[_:][\w:]+|process_\w+|up)\b(?:\{[^}]*\})?").unwrap()
});

/// A label's place in a legend.
static PLACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{\{\s*(\w+)\s*\}\}").unwrap());

const ALERT_RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
severity = "critical"
"#;

/// A service that has something of everything that is counted: a channel, a bridge whose broker is not
/// there, certificates, a screen, an alert, a payload that cannot be read.
async fn service(receiver: &Receiver) -> (Service, Screen) {
    let mut service = Service::prepare(Settings::with_rules(ALERT_RULES));
    let config = format!(
        "[[channel]]\nname = 'ops'\ntype = 'webhook'\nurl = '{}'\n[[route]]\nchannels = ['ops']\n\
         [[bridge]]\nname = 'plant'\nurl = 'mqtt://127.0.0.1:1'\n",
        receiver.url()
    );
    let path = service.dir().join("bellwire.toml");
    std::fs::write(&path, config).unwrap();
    service.set("BELLWIRE_CONFIG", path.display());
    let files = Files::of(&service);
    files.write(2_100, None);
    for door in ["MQTT", "HTTP"] {
        service.set(&format!("BELLWIRE_{door}_TLS_CERT_FILE"), files.cert.display());
        service.set(&format!("BELLWIRE_{door}_TLS_KEY_FILE"), files.key.display());
    }
    service.set("BELLWIRE_MQTT_TLS_LISTEN", "127.0.0.1:0");
    service.set("BELLWIRE_HTTP_TLS_LISTEN", "127.0.0.1:0");
    service.launch().await;
    let screen = Screen::open(&service.http(), None).await;
    (service, screen)
}

/// Lets things happen until `prometheus` has seen them on several looks.
async fn watch(service: &Service, prometheus: &Prometheus) {
    let mut device = Device::connect(&service.mqtt(), "oven-1").await;
    let mut pulse = poll();
    for degrees in (60..).step_by(5) {
        let payload = format!("{{\"temperature\": {}}}", degrees % 120);
        device.publish("devices/oven-1/telemetry", payload).await;
        device.publish("devices/oven-1/telemetry", "{").await;
        service.get("/api/v1/devices/oven-1/readings?metric=temperature").await;
        service.get("/api/v1/quarantine").await;
        let looks =
            prometheus.query("count_over_time(bellwire_build_info[1m]) >= 5").await.unwrap();
        let judged = prometheus.query("bellwire:live_late:ratio_rate5m >= 0").await.unwrap();
        if !looks.is_empty() && !judged.is_empty() {
            return;
        }
        pulse.tick().await;
    }
}

/// What keeps an expression from showing something, if something does.
async fn fault(prometheus: &Prometheus, promql: &str, legend: &str) -> Option<String> {
    let series = match prometheus.query(promql).await {
        Ok(series) => series,
        Err(what) => return Some(format!("{what}: {promql}")),
    };
    if series.is_empty() {
        return Some(format!("nothing has it: {promql}"));
    }
    let mut places = PLACE.captures_iter(legend).map(|found| found[1].to_owned());
    let missing = places.find(|name| series.iter().any(|it| it["metric"][name].is_null()));
    missing.map(|name| format!("no label `{name}` in {promql}"))
}

/// The selectors of an expression that choose nothing.
async fn selector_faults(prometheus: &Prometheus, promql: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for selector in SELECTOR.find_iter(promql) {
        faults.extend(fault(prometheus, selector.as_str(), "").await);
    }
    faults
}

/// As Grafana asks about all instances.
fn moment() -> Moment {
    let instance = Chosen { values: Vec::new(), many: true, raw: Some(".*".to_owned()) };
    Moment {
        from: chrono::DateTime::UNIX_EPOCH,
        to: chrono::DateTime::UNIX_EPOCH,
        interval: std::time::Duration::from_secs(15),
        timescale: false,
        variables: BTreeMap::from([("instance".to_owned(), instance)]),
    }
}

async fn dashboard_faults(prometheus: &Prometheus) -> Vec<Fault> {
    let mut faults = Vec::new();
    for board in boards() {
        for panel in &board.dashboard.panels {
            for target in &panel.targets {
                let Some(expr) = &target.expr else { continue };
                let promql = moment().promql(expr).unwrap();
                let legend = target.legend_format.as_deref().unwrap_or_default();
                let mut found = selector_faults(prometheus, &promql).await;
                found.extend(fault(prometheus, &promql, legend).await);
                let told = found.into_iter().map(|what| format!("`{}`: {what}", panel.title));
                faults.extend(told.map(|what| Fault::whole(&board.path, what)));
            }
        }
    }
    faults
}

/// What is wrong with rules as they are loaded.
async fn rule_faults(prometheus: &Prometheus) -> Vec<Fault> {
    let answer = prometheus.get("/api/v1/rules").await;
    let groups = answer["data"]["groups"].as_array().unwrap();
    let loaded = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let loaded: Vec<&Value> = loaded.collect();
    let written = rules::read(RULES);
    assert_eq!(loaded.len(), written.n_rules(), "all rules are loaded");
    let mut faults = Vec::new();
    for rule in loaded {
        let name = rule["name"].as_str().unwrap();
        let mut found = selector_faults(prometheus, rule["query"].as_str().unwrap()).await;
        if rule["health"] != "ok" {
            found.push(format!("it is not well: {}", rule["lastError"]));
        }
        if rule["state"] == "firing" {
            found.push("it fires, and all is well".to_owned());
        }
        faults.extend(found.into_iter().map(|it| Fault::whole(RULES, format!("{name}: {it}"))));
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_finds_all_that_is_asked_of_it() {
    let receiver = Receiver::start().await;
    let (mut service, screen) = service(&receiver).await;
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(RULES);
    let prometheus = Prometheus::start(service.dir(), &service.http(), &rules).await;
    watch(&service, &prometheus).await;

    none_of(dashboard_faults(&prometheus).await);
    none_of(rule_faults(&prometheus).await);
    planted_faults_are_caught(&prometheus).await;

    let (content, said) = promtool(&["check", "metrics"], &service.metrics().await).await;
    assert!(content && said.is_empty(), "promtool check metrics: {said}");
    drop(screen);
    assert!(service.stop().await.success());
}

async fn planted_faults_are_caught(prometheus: &Prometheus) {
    let good = "sum by (fate) (rate(bellwire_judged_publishes_total{instance=~\".*\"}[1m]))";
    let check = async |promql: &str, legend: &str, expected: &str| {
        let mut found = selector_faults(prometheus, promql).await;
        found.extend(fault(prometheus, promql, legend).await);
        let caught = found.iter().any(|what| what.contains(expected));
        assert!(caught || (expected.is_empty() && found.is_empty()), "{promql}: {found:?}");
    };
    check(good, "{{fate}}", "").await;
    check(&good.replace("publishes", "publish"), "", "nothing has it").await;
    check(&good.replace("instance=~\".*\"", "fate=\"kept\""), "", "nothing has it").await;
    check(&good.replace("(fate)", "(fade)"), "{{fate}}", "no label `fate`").await;
    check(&good.replace("[1m]", ""), "", "expected type range vector").await;
    check(&good.replace("sum by", "summe by"), "", "unexpected").await;
    let late = "bellwire_live_latency_seconds_bucket{le=\"0.026\"}";
    check(late, "", "nothing has it").await;
}

#[tokio::test]
async fn rules_fire_when_they_should_and_only_then() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(rules::FOLDER);
    let path = |name: &str| folder.join(name).display().to_string();
    let tests: Vec<String> = rules::test_files().iter().map(|name| path(name)).collect();
    let mut arguments = vec!["test", "rules"];
    arguments.extend(tests.iter().map(String::as_str));
    let (content, said) = promtool(&arguments, "").await;
    assert!(content, "{said}");
    let config = path("prometheus.yml");
    let (content, said) = promtool(&["check", "config", &config], "").await;
    assert!(content && said.contains("rules found"), "{said}");

    // A rule that does not do what its test says is found.
    let broken = tempfile::tempdir().unwrap();
    let rules = std::fs::read_to_string(path("bellwire.rules.yml")).unwrap();
    let wrong = rules.replacen("up{job=\"bellwire\"} == 0", "up{job=\"bellwire\"} == 2", 1);
    assert_ne!(rules, wrong);
    std::fs::write(broken.path().join("bellwire.rules.yml"), wrong).unwrap();
    let test = std::fs::read_to_string(path("bellwire.rules.test.yml")).unwrap();
    let first = test.split("\n\n").take(3).collect::<Vec<_>>().join("\n\n");
    let first_path = broken.path().join("first.test.yml");
    std::fs::write(&first_path, first).unwrap();
    let first_path = first_path.display().to_string();
    let (content, said) = promtool(&["test", "rules", &first_path], "").await;
    assert!(!content && said.contains("BellwireDown"), "{said}");
}
