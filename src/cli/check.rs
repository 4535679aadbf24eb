//! `bellwire check-config`, `config example|show`: says what is wrong before it runs.

use clap::Subcommand;

use super::{Common, EXIT_OK, Failure};
use crate::app::{self, rules};
use crate::backtest::words;
use crate::config::{self, Environment};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a configuration file with every key, its default and what it does.
    Example,
    /// Print the configuration as it is in force: file, environment and flags taken together.
    Show(Common),
}

pub(super) fn config(common: &Common) -> Result<u8, Failure> {
    let config = common.load()?;
    for sentence in config::unknown_variables(&Environment::of_process()) {
        eprintln!("bellwire: {sentence}");
    }
    app::check_files(&config)?;
    if let Some(path) = &config.mappings {
        app::mappings::read(path)?;
    }
    match &config.rules {
        Some(path) => {
            let (_, rules) = rules::read(path)?;
            println!(
                "The configuration is right; {} in {}.",
                words::count(rules.rules().len() as u64, "rule"),
                path.display()
            );
        }
        None => println!("The configuration is right; it names no rules."),
    }
    Ok(EXIT_OK)
}

pub(super) fn show(command: &ConfigCommand) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Example => print!("{}", config::EXAMPLE),
        ConfigCommand::Show(common) => print!("{}", toml::to_string(&common.load()?)?),
    }
    Ok(EXIT_OK)
}
