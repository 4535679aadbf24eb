//! schemathesis asks a real service whatever the API's document allows, and what it does not: no answer
//! is a fault of ours, and each is one that the document has.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::http;
use crate::support::service::{Service, Settings};

/// How many requests each operation gets in each phase, if `BELLWIRE_TEST_EXAMPLES` does not say.
const EXAMPLES: &str = "3";
/// How long it may take: two minutes on a quiet machine.
const LIMIT: Duration = Duration::from_secs(900);

/// What is held. Whether a request that fits is accepted cannot be known from the document alone.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,\
    unsupported_method";

/// Answers that do not end.
const ENDLESS: [&str; 2] = ["live", "liveEvents"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// Something of each kind, so that answers have more than nothing in them.
async fn fill(service: &Service) {
    let send = async |what: &str, headers: &str, body: serde_json::Value| {
        let headers = format!("{}{headers}", service.authorization());
        let answer = http::send(&service.http(), what, &headers, &body.to_string()).await.unwrap();
        assert!(answer.0 < 300, "{what}: {answer:?}");
    };
    let rule = "[[rule]]\nname = \"hot\"\nwhen = \"temperature > 30\"\nsummary = \"{device}\"\n";
    send("POST /api/v1/rules", "", json!({"toml": rule, "author": "ada"})).await;
    let labels = json!({"site": "berlin-2"});
    let devices = json!([{"device": "oven-1", "model": "m1", "labels": labels}, {"device": "o-2"}]);
    send("POST /api/v1/devices", "", devices).await;
    let posts = json!([
        {"device": "oven-1", "telemetry": {"temperature": 41.5, "door": "shut", "seq": 1}},
        {"device": "oven-1", "telemetry": {"temperature": 42.5, "seq": 4}},
        {"device": "o-2", "telemetry": {"temperature": {"a": []}, "ts": "never"}},
    ]);
    send("POST /api/v1/telemetry", "", posts).await;
    let command = json!({"payload": {"on": true}, "id_as": "id"});
    send("POST /api/v1/devices/oven-1/commands", "", command).await;
    service.wait_for("/api/v1/alerts", |it| it["alerts"][0]["rule"] == "hot").await;
    service.wait_for("/api/v1/quarantine", |it| it["quarantine"][0]["device"] == "o-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_the_answer_is_in_the_document() {
    let packages = folder().join("schemathesis");
    assert!(packages.exists(), "schemathesis is not there: scripts/interop fetch");
    let settings = Settings::guarded().set("BELLWIRE_HTTP_RATE_REQUESTS_PER_SECOND", 0);
    let mut service = Service::start(settings).await;
    fill(&service).await;
    let examples = std::env::var("BELLWIRE_TEST_EXAMPLES");
    let examples = examples.unwrap_or_else(|_| EXAMPLES.to_owned());
    let seed = std::env::var("BELLWIRE_TEST_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut command = Command::new("python3");
    command
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()"])
        .arg("--config-file")
        .arg(folder().join("schemathesis.toml"))
        .args(["run", &format!("http://{}/api/v1/openapi.json", service.http())])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--no-color"])
        .args(["--max-examples", &examples, "--seed", &seed, "--request-timeout", "60"])
        .args(["--suppress-health-check", "all", "--continue-on-failure"])
        .args(["--header", service.authorization().trim_end()])
        .args(ENDLESS.iter().flat_map(|id| ["--exclude-operation-id", id]))
        .env("PYTHONPATH", &packages)
        .current_dir(service.dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await.expect("it ends in time");
    let output = output.expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let warned = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{warned}");
    assert!(service.stop().await.success());
}
