//! The fleet against a broker that only acknowledges, and against a database.

mod database;
mod delivery;
mod devices;
mod support;
