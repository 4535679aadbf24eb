//! What can go wrong in this room.

use std::io;
use std::path::PathBuf;

use crate::packet::PacketError;

/// Why a run, a replay or a check could not be done.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A setting makes no sense.
    #[error("{key} {problem}")]
    Config {
        /// Which setting.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The service could not be reached for as long as the settings allow.
    #[error("no connection to {address}")]
    Connect {
        /// Where it was looked for.
        address: String,
        /// What the last try met.
        #[source]
        source: LinkError,
    },
    /// A file could not be read.
    #[error("failed reading `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("failed writing `{path}`")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line of a file says nothing we understand.
    #[error("line {line} of `{path}` {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The database could not answer.
    #[error("failed {operation}")]
    Database {
        /// What we were doing: "counting readings".
        operation: &'static str,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The process whose CPU time is asked for cannot be read.
    #[error("no account of process {pid}")]
    Process {
        /// Its number.
        pid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a connection to the service ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("connection failed")]
    Io(#[from] io::Error),
    /// The server sent nonsense.
    #[error("server broke the protocol")]
    Packet(#[from] PacketError),
    /// The server said no to CONNECT.
    #[error("server refused the connection with reason {reason:#04x}")]
    Refused {
        /// CONNACK's return or reason code.
        reason: u8,
    },
    /// The server said it is closing.
    #[error("server disconnected with reason {reason:#04x}")]
    Disconnected {
        /// DISCONNECT's reason code.
        reason: u8,
    },
    /// No answer came in time.
    #[error("server did not answer in {} ms", .0.as_millis())]
    Silent(std::time::Duration),
    /// The real client's event loop failed.
    #[error("client failed: {0}")]
    Client(String),
}
