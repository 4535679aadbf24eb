//! The store against a real PostgreSQL: what is promised about it, and attempts to break that.

mod access;
mod care;
mod compact;
mod erase;
mod frozen;
mod handling;
mod late;
mod managed;
mod naive;
mod outage;
mod poison;
mod proxy;
mod queries;
mod replay;
mod sessions;
mod support;
mod upgrade;
mod views;
mod writer;
