//! A real Prometheus, as Debian has it, as a process of the test's own; and its tool.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::http;
use super::service::poll;

/// Where Debian has programs, and where they are put by hand.
const PLACES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

fn program(name: &str) -> PathBuf {
    let found = PLACES.iter().map(|place| Path::new(place).join(name)).find(|it| it.exists());
    found.unwrap_or_else(|| panic!("{name} is installed: make setup-test"))
}

/// A Prometheus that looks at one service each second; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    address: String,
    _child: Child,
}

impl Prometheus {
    /// Starts one that watches `target` as job `bellwire` with these `rules`, in a folder below `dir`.
    pub(crate) async fn start(dir: &Path, target: &str, rules: &Path) -> Self {
        let dir = dir.join("prometheus");
        std::fs::create_dir_all(&dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs:\n- job_name: bellwire\n  static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        std::fs::write(dir.join("prometheus.yml"), config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
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
            assert!(ended.is_none(), "Prometheus ended: {}", log());
            pulse.tick().await;
        }
        Self { address, _child: child }
    }

    /// What its API says.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (_, body) = http::get_json(&self.address, path).await.unwrap();
        body
    }

    /// The series that a query gives, each with its labels; the error is what it says of the query.
    pub(crate) async fn query(&self, promql: &str) -> Result<Vec<Value>, String> {
        let encoded = promql.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let body = self.get(&format!("/api/v1/query?query={encoded}")).await;
        match body["data"]["result"].as_array() {
            Some(series) if body["data"]["resultType"] == "vector" => Ok(series.clone()),
            _ => Err(body["error"].as_str().unwrap_or("it is no vector").to_owned()),
        }
    }
}

/// Runs `promtool` with `input`; whether it is content, and what it says.
pub(crate) async fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program("promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
