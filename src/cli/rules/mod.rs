//! `bellwire rules`: are they right, do they do what they should, what would they have said; and those of
//! the running service.

mod backtest;
mod manage;
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
    /// List the rules of the running service.
    List(manage::ListArgs),
    /// Show the text of one of its rules.
    Show(manage::NamedArgs),
    /// Make a rule, which is kept beside the rules file.
    Create(manage::CreateArgs),
    /// Change a rule that was made so; shows what would come of it, and asks.
    Change(manage::ChangeArgs),
    /// Judge a rule again.
    Enable(manage::SwitchArgs),
    /// Keep a rule and do not judge it; its open alerts end.
    Disable(manage::SwitchArgs),
    /// Delete a rule; its versions stay, and its open alerts end.
    Delete(manage::SwitchArgs),
    /// List what was done to a rule, when and by whom.
    Versions(manage::NamedArgs),
    /// Show the difference between two versions of a rule.
    Diff(manage::DiffArgs),
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
        RulesCommand::List(args) => manage::list(args),
        RulesCommand::Show(args) => manage::show(args),
        RulesCommand::Create(args) => manage::create(args),
        RulesCommand::Change(args) => manage::change(args),
        RulesCommand::Enable(args) => manage::enable(args),
        RulesCommand::Disable(args) => manage::disable(args),
        RulesCommand::Delete(args) => manage::delete(args),
        RulesCommand::Versions(args) => manage::versions(args),
        RulesCommand::Diff(args) => manage::diff(args),
    }
}
