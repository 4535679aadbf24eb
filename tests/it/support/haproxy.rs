//! HAProxy as a process of the test's own, with the configuration that we give as an example.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::service::{poll, send_signal};

/// The example.
const EXAMPLE: &str = include_str!("../../../deploy/haproxy.cfg");
/// Where Debian and others have it: not in everyone's path.
const PLACES: [&str; 3] =
    ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/opt/homebrew/bin/haproxy"];

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program.
pub(crate) fn program() -> &'static str {
    let found = PLACES.into_iter().find(|place| Path::new(place).exists());
    found.expect("haproxy is installed: make setup-test")
}

/// A proxy; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Haproxy {
    ports: [u16; 3],
    child: Child,
}

impl Haproxy {
    /// Starts one before a service's `mqtt` and `http`, with `cert.pem` and `key.pem` of `dir`.
    pub(crate) async fn start(dir: &Path, mqtt: &str, http: &str) -> Self {
        let ports = [port(), port(), port()];
        let [mqtts, https, clear] = ports;
        let both = dir.join("both.pem");
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        std::fs::write(&both, read("cert.pem") + &read("key.pem")).unwrap();
        let mut config = String::from(EXAMPLE);
        for (what, with) in [
            // As many as the test may have files for.
            ("maxconn 25000", "maxconn 500".to_owned()),
            ("/etc/bellwire/tls/both.pem", both.display().to_string()),
            ("bind :8883 ", format!("bind 127.0.0.1:{mqtts} ")),
            ("bind :443 ", format!("bind 127.0.0.1:{https} ")),
            ("bind :80\n", format!("bind 127.0.0.1:{clear}\n")),
            ("server bellwire 127.0.0.1:1883 ", format!("server bellwire {mqtt} ")),
            ("server bellwire 127.0.0.1:8080\n", format!("server bellwire {http}\n")),
        ] {
            assert!(config.contains(what), "deploy/haproxy.cfg has no {what:?} any more");
            config = config.replace(what, &with);
        }
        let file: PathBuf = dir.join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.join("haproxy.log")).unwrap();
        let child = Command::new(program())
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut haproxy = Self { ports, child };
        let mut pulse = poll();
        while TcpStream::connect(haproxy.https()).await.is_err() {
            let ended = haproxy.child.try_wait().unwrap();
            assert!(ended.is_none(), "haproxy ended: {}", read("haproxy.log"));
            pulse.tick().await;
        }
        haproxy
    }

    /// Where it speaks MQTT over TLS, `host:port`.
    pub(crate) fn mqtts(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Where it speaks HTTPS, `host:port`.
    pub(crate) fn https(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// Where it sends browsers on from, `host:port`.
    pub(crate) fn http(&self) -> String {
        format!("127.0.0.1:{}", self.ports[2])
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        send_signal(self.child.id(), libc::SIGTERM);
        let _ = self.child.wait();
    }
}
