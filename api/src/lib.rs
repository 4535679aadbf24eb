//! What operators talk to: HTTP, the live feed, the console.
//!
//! `src` makes a [`Hub`], gives it to *judge*'s side, and starts the [`Api`] with [`Ports`] that
//! it implements. A request's way: [`server`] accepts the connection, [`guard`] limits and counts,
//! [`routes`] finds the handler in [`http`] or [`live`], which asks a port and answers JSON, or a
//! [`problem`].
//!
//! **Invariant:** no SQL, no MQTT, no rules. What is shown comes from the ports and the hub;
//! *judge* never waits for a client.

mod app;
mod base64;
mod chart;
pub mod config;
mod console;
mod csv;
mod diff;
pub mod error;
mod fill;
mod guard;
mod http;
mod live;
pub mod metrics;
mod params;
pub mod ports;
mod problem;
mod rfc3339;
mod routes;
pub mod server;
mod views;

pub use config::{Config, LiveConfig};
pub use error::Error;
pub use live::hub::Hub;
pub use metrics::Metrics;
pub use ports::{Health, History, Ports, Present};
pub use server::Api;
