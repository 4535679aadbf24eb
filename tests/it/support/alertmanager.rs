//! A real Alertmanager, as Debian has it, as a process of the test's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::http;
use super::service::poll;

/// Where Debian has it, and where its own archive does.
const PLACES: [&str; 3] =
    ["/usr/bin/prometheus-alertmanager", "/usr/bin/alertmanager", "/usr/local/bin/alertmanager"];

/// An Alertmanager that groups by rule and tells one webhook; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    address: String,
    _child: Child,
}

impl Alertmanager {
    /// Starts one that tells `hook`, in a folder below `dir`.
    pub(crate) async fn start(dir: &Path, hook: &str) -> Self {
        let dir = dir.join("alertmanager");
        std::fs::create_dir_all(&dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = format!(
            "route:\n  receiver: hook\n  group_by: [rule]\n  group_wait: 1s\n  group_interval: 1s\n  \
             repeat_interval: 1h\nreceivers:\n- name: hook\n  webhook_configs:\n  - url: {hook}\n    \
             send_resolved: true\n"
        );
        std::fs::write(dir.join("config.yml"), config).unwrap();
        let program = PLACES.iter().find(|place| Path::new(place).exists());
        let program = program.expect("prometheus-alertmanager is installed: make setup-test");
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", dir.join("config.yml").display()))
            .arg(format!("--storage.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut pulse = poll();
        while !matches!(http::get(&address, "/-/ready").await, Ok((200, _))) {
            let ended = child.try_wait().unwrap();
            let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "Alertmanager ended: {}", log());
            pulse.tick().await;
        }
        Self { address, _child: child }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What its API says.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = http::get_json(&self.address, path).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}
