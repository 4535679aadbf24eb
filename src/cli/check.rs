//! `bellwire check-config`, `config example|show`: says what is wrong before it runs.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::{Common, EXIT_CONFIG, EXIT_OK, Failure};
use crate::app::file_error::FileError;
use crate::app::{self, chain, rules};
use crate::backtest::words;
use crate::config::{self, ConfigError, Environment, Looked};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a configuration file with every key, its default and what it does.
    Example,
    /// Print the configuration as it is in force: file, environment and flags taken together, without
    /// secrets.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    common: Common,
    /// Say behind each key whence it comes: default, file and line, variable or flag
    #[arg(long)]
    origin: bool,
}

pub(super) fn config(common: &Common) -> Result<u8, Failure> {
    for sentence in config::unknown_variables(&Environment::of_process()) {
        eprintln!("bellwire: {sentence}");
    }
    let Looked { config, origins, faults } = common.look();
    let mut mistakes: Vec<_> = faults.iter().map(|fault| chain(fault)).collect();
    let placed = |fault: &ConfigError| chain(&origins.fault(&fault.to_string()));
    mistakes.extend(app::faults(&config).iter().map(placed));
    let said = |error: FileError| chain(&error);
    if let Some(path) = &config.mappings {
        mistakes.extend(app::mappings::read(path).err().map(said));
    }
    let rules = config.rules.as_ref().map(|path| (path, rules::read(path)));
    let right = match rules {
        Some((path, Ok((_, rules)))) => {
            let count = words::count(rules.rules().len() as u64, "rule");
            format!("The configuration is right; {count} in {}.", path.display())
        }
        Some((_, Err(error))) => {
            mistakes.push(said(error));
            String::new()
        }
        None => "The configuration is right; it names no rules.".to_owned(),
    };
    let text = match mistakes.len() {
        0 => {
            println!("{right}");
            return Ok(EXIT_OK);
        }
        1 => mistakes.remove(0),
        _ => config::list(mistakes),
    };
    Err(Failure { code: EXIT_CONFIG, error: anyhow!(text) })
}

pub(super) fn show(command: &ConfigCommand) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Example => print!("{}", config::EXAMPLE),
        ConfigCommand::Show(args) => {
            let Looked { mut config, origins, faults } = args.common.look();
            if let Some(error) = ConfigError::of(faults) {
                return Err(error.into());
            }
            // What is in force where none is set; nothing where nobody could say.
            let data_dir = config.data_dir(&Environment::of_process());
            config.data_dir = data_dir.unwrap_or_else(|_| PathBuf::new());
            print!("{}", config::shown(&config, args.origin.then_some(&origins))?);
        }
    }
    Ok(EXIT_OK)
}
