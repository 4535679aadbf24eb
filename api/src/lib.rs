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
pub mod auditing;
pub mod auth;
mod base64;
mod changed;
mod chart;
pub mod config;
mod console;
mod csv;
mod diff;
pub mod error;
mod etag;
mod favicon;
mod fill;
mod guard;
mod gzip;
mod held;
mod http;
mod links;
mod live;
pub mod metrics;
mod networks;
mod openapi;
mod params;
mod peer;
pub mod ports;
mod problem;
mod request_id;
mod rfc3339;
mod routes;
pub mod server;
mod shared;
mod sources;
pub mod tls;
mod views;
mod wire;

pub use config::TlsConfig;
pub use config::{Config, LiveConfig};
pub use error::Error;
pub use live::hub::{Fleet, Hub};
pub use metrics::Metrics;
pub use openapi::text as openapi;
pub use ports::{Health, History, Ports, Present};
pub use server::{Api, Intake, PeopleReader};
