//! The MQTT server over real sockets: raw bytes, and clients other people wrote.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod acks;
mod certs;
mod clients;
mod doors;
mod ends;
mod hostile;
mod limits;
#[path = "../../src/fuzzing/allocations.rs"]
mod memory;
mod proxies;
mod subscribers;
mod support;
mod tls;
mod websocket;
mod witness;
