//! The managed server's one door beside its socket: a loopback address where the reader's role, and
//! nobody else, may log in with its password.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::PORT;
use super::process::PidFile;
use crate::ReaderConfig;

/// Where the server listens, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    role: String,
    listen: SocketAddr,
}

impl Door {
    /// The door that is configured; `None`: there is only the socket.
    pub(crate) fn of(reader: &ReaderConfig) -> Option<Self> {
        Some(Self { role: reader.role.clone()?, listen: reader.listen? })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.listen.port()
    }

    /// Whether a running server has this door (or, without one, none).
    pub(crate) fn is_open(door: Option<&Self>, running: &PidFile) -> bool {
        match door {
            None => running.port == PORT && running.listen.is_empty(),
            Some(door) => {
                running.port == door.port() && running.listen == door.listen.ip().to_string()
            }
        }
    }

    /// Lines for the server's settings; `hba` is where [`Door::hba`] is written.
    pub(crate) fn settings(&self, hba: &Path) -> String {
        format!(
            "listen_addresses = '{}'\nport = {}\npassword_encryption = 'scram-sha-256'\n\
             hba_file = '{}'\n",
            self.listen.ip(),
            self.port(),
            hba.display().to_string().replace('\'', "''"),
        )
    }

    /// Who may connect how. The socket lies in a folder that only we can enter.
    pub(crate) fn hba(&self) -> String {
        let network = match self.listen.ip() {
            IpAddr::V4(_) => "127.0.0.0/8",
            IpAddr::V6(_) => "::1/128",
        };
        format!(
            "# Written by Bellwire at each start.\n\
             local all all trust\n\
             local replication all trust\n\
             host {} {} {network} scram-sha-256\n",
            super::NAME,
            self.role,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_enters_by_tcp_but_the_reader_with_its_password() {
        let door = Door { role: "grafana".into(), listen: "127.0.0.1:5433".parse().expect("one") };
        let hba = door.hba();
        let hosts: Vec<_> = hba.lines().filter(|line| line.starts_with("host")).collect();
        assert_eq!(hosts, ["host bellwire grafana 127.0.0.0/8 scram-sha-256"]);
        let settings = door.settings(Path::new("/d/postgres/reader_hba.conf"));
        assert!(settings.contains("listen_addresses = '127.0.0.1'\nport = 5433\n"), "{settings}");
    }
}
