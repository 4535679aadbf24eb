//! The console in a real browser, on the real service: `api/console/tests/console.mjs` tells what
//! an operator sees; here is the service it looks at.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Duration, timeout};

use crate::support::service::{Service, Settings};

const RULES: &str = r#"
[[rule]]
name = "freezer-too-warm"
when = "temperature > limit"
clear = "temperature < limit - 2"
severity = "critical"
params = { limit = -15.0 }
summary = "{device} is at {value} °C"
"#;

/// How long the whole browser test may take.
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_a_freezer_fail_and_recover_in_a_real_browser() {
    let console = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("api/console");
    for built in ["dist/index.html", "node_modules/playwright-core"] {
        assert!(console.join(built).exists(), "the console is not built: make console");
    }
    assert!(is_in_path("node"), "Node is missing: https://nodejs.org");
    let browser = std::env::var_os("CHROMIUM").is_some() || is_in_path("chromium");
    assert!(browser, "chromium is missing: make setup-test");
    let mut service = Service::start(Settings::with_rules(RULES)).await;
    let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = control.local_addr().unwrap().port();
    let tell = |word: &str| {
        format!(
            "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo {word} >&3 && read -r answer <&3'"
        )
    };
    let mut browser = Command::new("node");
    browser
        .arg("tests/console.mjs")
        .current_dir(&console)
        .env("BELLWIRE_URL", format!("http://{}", service.http()))
        .env("BELLWIRE_MQTT", service.mqtt())
        .env("BELLWIRE_STOP", tell("stop"))
        .env("BELLWIRE_START", tell("start"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let looking = browser.output();
    tokio::pin!(looking);
    let output = timeout(LIMIT, async {
        loop {
            tokio::select! {
                output = &mut looking => return output.expect("node can be run"),
                order = control.accept() => obey(&mut service, order.unwrap().0).await,
            }
        }
    });
    let output = output.await.expect("the browser test ends in time");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", service.log());
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Stops or starts the service as the browser test asks, and says when it is done.
async fn obey(service: &mut Service, order: tokio::net::TcpStream) {
    let mut order = BufReader::new(order);
    let mut word = String::new();
    order.read_line(&mut word).await.unwrap();
    match word.trim() {
        "stop" => assert!(service.stop().await.success()),
        "start" => service.launch().await,
        other => panic!("the browser test asks to {other:?}"),
    }
    order.write_all(b"done\n").await.unwrap();
}
