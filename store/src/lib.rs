//! The only SQL of the system: everything that Bellwire keeps in, and asks of, PostgreSQL.
//!
//! A batch's journey: *keep* hands a [`KeepBatch`](bellwire_model::KeepBatch) to
//! [`Writer::write`]; `dictionary` and `partitions` make sure that its names and days exist;
//! `session` sends one transaction, in which the position moves first and `encode` writes the
//! readings as binary COPY; in doubt, `writer` reads the position again. [`Queries`] is what the
//! API asks, [`AccessStore`] has the credentials. [`Database`] is where the rest of the program begins: it starts a [`Managed`] server
//! where there is no URL, and runs the migrations.
//!
//! **Invariant:** no other room sees SQL, SQLSTATE or a database's type. Nothing here decides what
//! to do while the database is away: errors say whether trying again can help.

mod access;
mod care;
mod compact;
mod config;
mod connect;
mod database;
mod deeds;
mod dictionary;
mod encode;
mod error;
mod handling;
mod managed;
mod metrics;
mod migrate;
mod partitions;
mod poison;
mod profiles;
mod queries;
mod recent;
mod replay;
mod rows;
mod session;
mod shelf;
mod summary;
#[doc(hidden)]
pub mod testing;
mod tls;
mod types;
mod upkeep;
mod writer;

pub use access::{
    AccessChanges, AccessStore, AccountKind, AccountRow, NewAccount, NewProvisioning,
    ProvisioningRow, Registered, Rotated, StoredHash,
};
pub use care::{
    Dump, Erased, Exported, Facts, Granted, Plan, ReaderConfig, Saved, Standing, Timescale,
    server_programs,
};
pub use compact::{Compacted, Compactor};
pub use config::{Config, HIDDEN, Secret};
pub use database::{Database, Mode};
pub use error::{Error, WriteError};
pub use managed::{Managed, Running};
pub use metrics::Metrics;
pub use migrate::Migrated;
pub use poison::RefusedPublish;
pub use queries::{
    AlertPage, AuditFilter, BUCKETS_MAX, Bucket, Committed, DeviceRow, HandlingFilter,
    QuarantineFilter, QuarantinePlace, QuarantineRow, Queries, ROWS_MAX, ReadingPlace, ReadingRow,
    ServerInfo, StoredLedger, TimeRange,
};
pub use replay::{Replay, Stretch, Wanted};
pub use shelf::Cleared;
pub use writer::{Opened, Writer};
