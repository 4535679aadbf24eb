//! Traces reach a collector, and one that does not take them disturbs nobody.

use serde_json::Value;

use crate::backup::{fail, succeed};
use crate::support::collector::{Collector, Span, SpanKind};
use crate::support::device::Device;
use crate::support::http;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{PATIENCE, Service, Settings, wait_until};

const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
clear = "temperature < 85"
severity = "critical"
"#;

/// A trace of somebody else's.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A service that is not started yet, with this configuration.
fn prepared(config: &str) -> Service {
    let mut service = Service::prepare(Settings::with_rules(RULES));
    let path = service.dir().join("bellwire.toml");
    std::fs::write(&path, config).unwrap();
    service.set("BELLWIRE_CONFIG", path.display());
    service
}

async fn heat(service: &Service, degrees: u32) {
    let mut oven = Device::connect(&service.mqtt(), "oven-1").await;
    let payload = format!("{{\"temperature\": {degrees}}}");
    oven.publish("devices/oven-1/telemetry", payload).await;
}

/// The alert of `oven-1`, once there is one in this state.
async fn alert(service: &Service, state: &str) -> String {
    let path = format!("/api/v1/alerts?state={state}");
    let is_there = |body: &Value| body["alerts"][0]["id"].is_string();
    let page = service.wait_for(&path, is_there).await;
    page["alerts"][0]["id"].as_str().unwrap().to_owned()
}

fn count(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Asks until something was dropped for this reason; the metrics then.
async fn dropped(service: &Service, reason: &str) -> String {
    let name = format!("bellwire_traces_dropped_total{{reason=\"{reason}\"}}");
    let asking = async {
        loop {
            service.get("/api/v1/devices/oven-1").await;
            let metrics = service.metrics().await;
            if count(&metrics, &name) > 0 {
                return metrics;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("something is dropped")
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

/// Each transition has the stages of its way as children, one behind the other.
fn assert_stages(spans: &[Span], whole: &Span) {
    let mut at = whole.start;
    for name in ["log", "judge", "feed"] {
        let mut parts = spans.iter().filter(|it| it.parent == whole.id && it.name == name);
        let part = parts.next().unwrap_or_else(|| panic!("{name} of {whole:?}"));
        assert!(
            part.start == at && part.end >= part.start && part.trace == whole.trace,
            "{part:?}"
        );
        at = part.end;
    }
    assert_eq!(at, whole.end);
}

/// The span of the transition to firing tells what it is about.
fn assert_told(firing: &Span, id: &str) {
    for (key, value) in [
        ("bellwire.alert.id", id),
        ("bellwire.rule", "too-hot"),
        ("bellwire.device", "oven-1"),
        ("bellwire.severity", "critical"),
        ("bellwire.alert.from", "inactive"),
        ("bellwire.alert.to", "firing"),
        ("bellwire.reason", "temperature 95 > 90"),
    ] {
        assert!(firing.get(key).contains(value), "{key}: {firing:?}");
    }
    assert!(firing.get("bellwire.log.position").parse::<u64>().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alerts_life_is_one_trace_and_clients_traces_are_taken_up() {
    let (collector, receiver) = (Collector::start().await, Receiver::start().await);
    let mut service = prepared("");
    let headers = service.dir().join("headers");
    std::fs::write(&headers, "X-Scope-OrgID: plant\n").unwrap();
    let config = format!(
        "[traces]\nendpoint = '{}'\nheaders_file = '{}'\nservice_name = 'plant-7'\nsample = 1.0\n\
         [[channel]]\nname = 'ops'\ntype = 'webhook'\nurl = '{}'\n\
         [[route]]\nchannels = ['ops']\ngroup_wait_s = 0\ngroup_interval_s = 1\n",
        collector.endpoint(),
        headers.display(),
        receiver.url()
    );
    std::fs::write(service.dir().join("bellwire.toml"), config).unwrap();
    succeed(&service, &["check-config"]).await;
    service.launch().await;

    heat(&service, 95).await;
    let id = alert(&service, "firing").await;
    wait_until("it is told", || receiver.taken().len() == 1).await;
    let head = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let ack = format!("POST /api/v1/alerts/{id}/ack");
    let (status, ..) = http::send(&service.http(), &ack, &head, "{}").await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(service.get("/api/v1/alerts?device=hush").await.0, 200);
    heat(&service, 80).await;
    wait_until("its end is told", || receiver.taken().len() == 2).await;
    collector.wait_for("of its end", |span| span.name == "alert resolved").await;
    // What happens last is sent while it stops.
    let last = head.replace(PARENT, "00000000000000aa");
    http::get_whole_as(&service.http(), "/api/v1/devices/oven-1", &last).await.unwrap();
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);

    let spans = collector.spans();
    let firing = one(&spans, "alert firing");
    assert_eq!((firing.parent.as_str(), &firing.trace[16..]), ("", id.as_str()));
    let (log, half) = (firing.resource["service.instance.id"].as_str(), &firing.trace[..16]);
    assert_eq!((&log[..16], firing.resource["service.name"].as_str()), (half, "plant-7"));
    assert_told(firing, &id);
    let mut before = firing.start;
    for name in ["alert firing", "alert acknowledged", "alert resolved"] {
        let span = one(&spans, name);
        assert!(span.start >= before && span.trace == firing.trace, "{span:?}");
        assert!(span.id == firing.id || span.parent == firing.id, "{span:?}");
        assert_stages(&spans, span);
        before = span.start;
    }
    assert_eq!(one(&spans, "alert acknowledged").get("bellwire.operator"), "anybody");
    let sent = named(&spans, "send ops");
    assert_eq!(sent.len(), 2, "{sent:#?}");
    assert!(
        sent.iter().all(|it| it.trace == firing.trace && it.parent == firing.id && !it.is_error)
    );
    assert_eq!(
        (sent[0].kind, sent[0].get("bellwire.message.result")),
        (SpanKind::Client, "delivered")
    );

    let asked = one(&spans, "POST /api/v1/alerts/{id}/ack");
    assert_eq!((asked.trace.as_str(), asked.parent.as_str()), (TRACE, PARENT));
    assert_eq!((asked.kind, asked.get("http.response.status_code")), (SpanKind::Server, "200"));
    assert_eq!(one(&spans, "GET /api/v1/devices/{id}").parent, "00000000000000aa");
    let kept = named(&spans, "keep");
    let sum = |key: &str| kept.iter().map(|it| it.get(key).parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!((sum("bellwire.publishes"), sum("bellwire.readings")), (2, 2), "{kept:#?}");
    assert_eq!((sum("bellwire.transitions"), sum("bellwire.retries")), (3, 0), "{kept:#?}");
    assert!(!format!("{spans:?}").contains("hush"), "no query is told");
    assert!(collector.0.taken().iter().all(|it| it.headers["x-scope-orgid"] == "plant"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_refuses_disturbs_nobody() {
    let collector = Collector::start().await;
    // The first is refused, then it is away.
    collector.0.set_mood(|number| if number == 0 { Reply::Status(500) } else { Reply::Cut });
    let mut service = prepared(&format!(
        "[traces]\nendpoint = '{}'\nsample = 1.0\nqueue_max = 2\n",
        collector.endpoint()
    ));
    service.launch().await;
    heat(&service, 95).await;
    alert(&service, "firing").await;
    service.wait_for("/api/v1/devices/oven-1", |_| collector.0.n_asked() >= 2).await;
    let metrics = dropped(&service, "queue_full").await;
    assert_eq!(count(&metrics, "bellwire_traces_exported_total"), 0);
    assert!(count(&metrics, "bellwire_traces_dropped_total{reason=\"refused\"}") > 0);
    heat(&service, 80).await;
    alert(&service, "resolved").await;
    let n_said = service.log().matches("Traces are not sent").count();
    assert_eq!(n_said, 1, "it is said once: {}", service.log());

    collector.0.set_mood(|_| Reply::Take);
    collector.wait_for("again", |_| true).await;
    wait_until("it is said", || service.log().contains("Traces are sent again.")).await;
    // One that takes for ever is not waited for as long.
    collector.0.set_mood(|_| Reply::Hang);
    service.get("/api/v1/alerts").await;
    assert!(service.stop().await.success());
    assert!(service.log().contains("spans of traces were not sent"), "{}", service.log());
    service.assert_quiet(&["Traces are not sent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_is_sent_and_a_wrong_one_is_no_start() {
    let collector = Collector::start().await;
    let mut service = prepared("[traces]\nsample = 1.0\n");
    // Others' variables are theirs.
    service.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.0.url_of(""));
    service.launch().await;
    heat(&service, 95).await;
    alert(&service, "firing").await;
    let metrics = service.metrics().await;
    assert!(metrics.contains("\nbellwire_traces_exported_total 0\n"), "{metrics}");
    assert_eq!(count(&metrics, "bellwire_traces_dropped_total"), 0);
    assert!(service.stop().await.success());
    assert_eq!(collector.0.n_asked(), 0);

    let headers = service.dir().join("headers");
    std::fs::write(&headers, "Authorization hush\n").unwrap();
    let config = format!(
        "[traces]\nendpoint = 'http://127.0.0.1:4318'\nheaders_file = '{}'\nsample = 7.0\n",
        headers.display()
    );
    std::fs::write(service.dir().join("bellwire.toml"), config).unwrap();
    let headers = format!(
        "toml:3:1: traces.headers_file: {}: line 1 is not `Name: value`\n",
        headers.display()
    );
    for said in
        ["toml:2:1: traces.endpoint: it must have a path", "toml:4:1: traces.sample is 7", &headers]
    {
        fail(&service, &["check-config"], 78, said).await;
    }
}
