//! The care of the database, beside its daily work: what it is, what a migration would do, who may
//! read it, how it is saved and brought back, and what is to be done with one device's data.
//!
//! All of it is asked through [`Database`](crate::Database); nothing here runs while readings are
//! kept, but for the reader's role, which is set up when the database is opened.

mod dump;
mod erase;
mod export;
mod facts;
mod plan;
mod programs;
mod reader;
mod server;

pub use self::dump::{Dump, Saved};
pub use self::erase::{Erased, Standing};
pub use self::export::Exported;
pub use self::facts::{Facts, Timescale};
pub use self::plan::Plan;
pub use self::reader::{Granted, ReaderConfig};
pub use self::server::server_programs;
