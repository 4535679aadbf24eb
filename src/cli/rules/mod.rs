//! `bellwire rules`: are they right, do they do what they should, and what would they have said.

mod backtest;
mod table;
mod test;

use std::path::PathBuf;

use clap::Subcommand;

use super::{Common, EXIT_FAILURE, EXIT_OK, Failure};
use crate::app::rules;
use crate::backtest::words;

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Check a file of rules and labels, and show every mistake with its place.
    Check {
        /// The file (TOML)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Run tests of rules: readings, and the alerts that they should give.
    Test(test::TestArgs),
    /// Try rules on readings that are there: those in the database, or those of a CSV file.
    Backtest(Box<backtest::BacktestArgs>),
}

pub(super) fn run(command: &RulesCommand) -> Result<u8, Failure> {
    match command {
        RulesCommand::Check { file } => {
            let (_, rules) = rules::read(file)?;
            let n_rules = words::count(rules.rules().len() as u64, "rule");
            println!("{n_rules} in {}, no mistake.", file.display());
            Ok(EXIT_OK)
        }
        RulesCommand::Test(args) => test::run(args),
        RulesCommand::Backtest(args) => backtest::run(args),
    }
}
