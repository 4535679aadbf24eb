//! The `bellwire` program: reads the command line and does what it says.

use std::process::ExitCode;

use bellwire::cli::Cli;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(Cli::parse().run())
}
