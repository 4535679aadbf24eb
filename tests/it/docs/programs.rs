//! The programs for devices: the page shows them as they are in `docs/examples`, and the one for the ESP32
//! runs on this machine, over a shim of ESP-IDF. Those in Python and JavaScript are run by their page.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use super::texts;
use crate::support::service::{PATIENCE, Service, Settings};
use crate::support::tree;

const PAGE: &str = "docs/guides/connect.md";
const SHIM: &str = "tests/data/esp32-shim";
const ESP32: &str = "docs/examples/esp32/main/main.c";
/// Each with how its block begins.
const SHOWN: [(&str, &str); 3] = [
    ("docs/examples/python/device.py", "```python\n"),
    ("docs/examples/javascript/device.mjs", "```js\n"),
    (ESP32, "```c\n"),
];

#[test]
fn the_page_shows_the_programs_as_they_are() {
    let page = texts().into_iter().find(|file| file.path == PAGE).unwrap().text;
    let files = tree::files();
    for (path, fence) in SHOWN {
        let program = &files.iter().find(|file| file.path == path).unwrap().text;
        assert!(page.contains(&format!("{fence}{program}```\n")), "{PAGE} shows another {path}");
    }
}

/// Compiles the program for a device of this name; where it is then.
async fn compile(service: &Service, device: &str, token: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = service.dir().join("device");
    let text = |name: &str, value: &str| format!("-DCONFIG_BELLWIRE_{name}=\"{value}\"");
    let sources = ["mqtt.c", "system.c"].map(|name| root.join(SHIM).join(name));
    let output = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-std=gnu17", "-I"])
        .arg(root.join(SHIM))
        .arg(text("URI", &format!("mqtt://{}", service.mqtt())))
        .arg(text("DEVICE", device))
        .arg(text("TOKEN", token))
        .args(["-DCONFIG_BELLWIRE_INTERVAL_S=1", "-o"])
        .arg(&program)
        .arg(root.join(ESP32))
        .args(sources)
        .args(["-lmosquitto", "-lpthread"])
        .output()
        .await
        .expect("there is a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_for_the_esp32_delivers_over_a_crash_and_answers() {
    let mut service = Service::prepare(Settings::guarded());
    let token = service.run(&["device", "add", "esp32-1"]).await;
    service.launch().await;
    let program = compile(&service, "esp32-1", &token).await;
    let device = Command::new(program)
        .env("SHIM_PUBLISHED", "6")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let path = "/api/v1/devices/esp32-1/audit";
    service.wait_for(path, |audit| audit["stored"].as_u64() >= Some(1)).await;
    service.run(&["command", "send", "esp32-1", "--payload", r#"{"blink": true}"#]).await;
    let answered = |it: &serde_json::Value| it["commands"][0]["state"] == "answered";
    service.wait_for("/api/v1/devices/esp32-1/commands", answered).await;
    service.kill().await;
    service.launch().await;
    let output = timeout(PATIENCE, device.wait_with_output()).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{output:?}");
    let audit = service.wait_for(path, |audit| audit["stored"].as_u64() >= Some(6)).await;
    assert_eq!((&audit["quarantined"], &audit["seq"]["gaps"]), (&0.into(), &serde_json::json!([])));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
