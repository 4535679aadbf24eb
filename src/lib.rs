//! Bellwire, put together: the only place that knows every room.
//!
//! [`app`] connects the rooms; [`config`] says how; [`cli`] is what a user meets; `care` is what an
//! installation needs beside that.

pub mod app;
mod backtest;
mod care;
pub mod cli;
pub mod clock;
pub mod config;
mod logging;
mod measure;
mod open_files;
mod rule_test;
mod rulebook;
mod runtime;
mod systemd;

/// The exit code for an error: found by its type, wherever in the chain it is.
fn exit_code(error: &anyhow::Error) -> u8 {
    let is = |code: u8, found: bool| found.then_some(code);
    error
        .chain()
        .find_map(|cause| {
            is(cli::EXIT_CONFIG, cause.is::<config::ConfigError>())
                .or_else(|| is(cli::EXIT_CONFIG, cause.is::<app::file_error::FileError>()))
                .or_else(|| is(cli::EXIT_CONFIG, cause.is::<rulebook::effective::Misfit>()))
                .or_else(|| is(cli::EXIT_DATABASE, cause.is::<app::DatabaseUnavailable>()))
        })
        .unwrap_or(cli::EXIT_FAILURE)
}
