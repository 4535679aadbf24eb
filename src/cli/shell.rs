//! `bellwire completions` and `bellwire man`: what a shell and a reader want to know of the commands, made
//! from the same words as `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_mangen::Man;

use super::{Cli, EXIT_OK, Failure};

/// What every page ends with, in the language of man pages.
const ENDING: &str = r#".SH "EXIT STATUS"
.TP
\fB0\fR
It did what it was asked.
.TP
\fB1\fR
It failed.
.TP
\fB2\fR
The command line is wrong.
.TP
\fB69\fR
The database is not there, at first boot or for a command.
.TP
\fB78\fR
The configuration, the rules or the mappings are wrong.
.SH ENVIRONMENT
Every key of the configuration is a variable too: \fBmqtt.listen\fR is \fBBELLWIRE_MQTT_LISTEN\fR. Flags beat
variables, variables beat the file that \fBBELLWIRE_CONFIG\fR names.
"#;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this folder, instead of showing the first
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The commands, those apart that are not for people.
fn commands() -> Command {
    let whole = Cli::command();
    let hidden: Vec<_> = whole.get_subcommands().filter(|it| it.is_hide_set()).cloned().collect();
    if hidden.is_empty() {
        return whole;
    }
    let shown: Vec<_> = whole.get_subcommands().filter(|it| !it.is_hide_set()).cloned().collect();
    let bare = Command::new("bellwire").version(env!("CARGO_PKG_VERSION"));
    let about = whole.get_about().cloned().unwrap_or_default();
    bare.about(about).subcommand_required(true).subcommands(shown)
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut commands(), "bellwire", &mut script);
    io::stdout().write_all(&script)?;
    Ok(EXIT_OK)
}

pub(super) fn man(args: &ManArgs) -> Result<u8, Failure> {
    let mut command = commands().disable_help_subcommand(true);
    command.build();
    match &args.dir {
        Some(dir) => {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            write_pages(&command, dir)?;
        }
        None => io::stdout().write_all(&page(&command)?.1)?,
    }
    Ok(EXIT_OK)
}

/// Writes the page of a command and those of its own commands.
fn write_pages(command: &Command, dir: &Path) -> anyhow::Result<()> {
    let (name, page) = page(command)?;
    let path = dir.join(name);
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    command.get_subcommands().try_for_each(|command| write_pages(command, dir))
}

/// The file's name, and what it has.
fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    page.extend_from_slice(ENDING.as_bytes());
    Ok((man.get_filename(), page))
}
