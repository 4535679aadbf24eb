//! nginx as a process of the test's own, with the configuration that we give as an example.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::service::{poll, send_signal, wait_until};

/// The example.
const EXAMPLE: &str = include_str!("../../../deploy/nginx.conf");
/// Where Debian and others have it: not in everyone's path.
const PLACES: [&str; 4] = [
    "/usr/sbin/nginx",
    "/usr/local/sbin/nginx",
    "/usr/local/nginx/sbin/nginx",
    "/opt/homebrew/bin/nginx",
];

/// A proxy; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Nginx {
    dir: PathBuf,
    https: u16,
    http: u16,
    child: Option<Child>,
}

impl Nginx {
    /// Starts one before `upstreams`, in a folder of its own below `dir`, where `cert.pem` and `key.pem`
    /// are.
    pub(crate) async fn start(dir: &Path, upstreams: &[String]) -> Self {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut nginx = Self { dir: dir.join("nginx"), https: port(), http: port(), child: None };
        std::fs::create_dir_all(&nginx.dir).unwrap();
        nginx.configure(upstreams);
        nginx.launch().await;
        nginx
    }

    /// From the next start or reload on, these are what it passes on to, in this order.
    pub(crate) fn configure(&self, upstreams: &[String]) {
        let mut config = String::from(EXAMPLE);
        let mut put = |what: &str, with: &str| {
            assert!(config.contains(what), "deploy/nginx.conf has no {what:?} any more");
            config = config.replace(what, with);
        };
        let servers = upstreams.iter().fold(String::new(), |mut text, address| {
            write!(text, "server {address} max_fails=0;").unwrap();
            text
        });
        put("server 127.0.0.1:8080 max_fails=0;", &servers);
        put("listen 443 ", &format!("listen 127.0.0.1:{} ", self.https));
        put("listen [::]:443 ssl http2;", "");
        put("listen 80;", &format!("listen 127.0.0.1:{};", self.http));
        put("listen [::]:80;", "");
        let certificates = self.dir.parent().unwrap().display().to_string();
        put("/etc/bellwire/tls/fullchain.pem", &format!("{certificates}/cert.pem"));
        put("/etc/bellwire/tls/privkey.pem", &format!("{certificates}/key.pem"));
        let place = self.dir.display().to_string();
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {place}/{what};\n"))
            .concat();
        // As root it would otherwise become a user who may not write here. Old workers cut their
        // clients off soon: reloads are felt.
        let user = if place_is_roots(&self.dir) { "user root;\n" } else { "" };
        let whole = format!(
            "daemon off;\n{user}pid {place}/pid;\nerror_log {place}/log notice;\nworker_processes 2;\n\
             worker_shutdown_timeout 1s;\nevents {{ worker_connections 512; }}\n\
             http {{\naccess_log off;\n{folders}{config}}}\n"
        );
        std::fs::write(self.dir.join("nginx.conf"), whole).unwrap();
    }

    /// Starts it (again).
    pub(crate) async fn launch(&mut self) {
        let program = PLACES.iter().find(|place| Path::new(place).exists());
        let program = program.expect("nginx is installed: make setup-test");
        let child = Command::new(program)
            .arg("-p")
            .arg(&self.dir)
            .arg("-e")
            .arg(self.dir.join("log"))
            .arg("-c")
            .arg(self.dir.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let mut pulse = poll();
        while TcpStream::connect(self.https()).await.is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {}", self.log());
            pulse.tick().await;
        }
    }

    /// Has it take up its configuration; returns when its old workers are on their way out.
    pub(crate) async fn reload(&self) {
        let n_left = || self.log().matches("gracefully shutting down").count();
        let before = n_left();
        send_signal(self.child.as_ref().expect("it runs").id(), libc::SIGHUP);
        wait_until("nginx has reloaded", || n_left() > before).await;
    }

    /// Ends it at once, with all its connections.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            send_signal(child.id(), libc::SIGTERM);
            child.wait().unwrap();
        }
    }

    /// Where it speaks HTTPS, `host:port`.
    pub(crate) fn https(&self) -> String {
        format!("127.0.0.1:{}", self.https)
    }

    /// Where it sends browsers on from, `host:port`.
    pub(crate) fn http(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether root made this folder: then we are root.
fn place_is_roots(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(dir).unwrap().uid() == 0
}
