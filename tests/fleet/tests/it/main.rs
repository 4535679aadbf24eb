//! The fleet against a broker that only acknowledges, and against a database.

mod delivery;
mod support;
