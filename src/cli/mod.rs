//! The command line: what `bellwire` can be asked to do, and with which exit code it ends.

mod access;
mod audit;
mod audit_log;
mod backup;
mod bench;
mod channel;
mod check;
mod command;
mod demo;
mod device;
mod doctor;
mod fleet;
mod handling;
mod healthcheck;
mod listing;
mod mapping;
mod migrate;
mod people;
mod quarantine;
mod reconfigure;
mod registry;
mod rules;
mod serve;
mod service;
mod shell;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Environment, Looked, Overrides};
use crate::measure::rumqttd;

/// It did what it was asked.
pub const EXIT_OK: u8 = 0;
/// It failed.
pub const EXIT_FAILURE: u8 = 1;
/// The database was not there, at first boot or for a command (`EX_UNAVAILABLE`).
pub const EXIT_DATABASE: u8 = 69;
/// The configuration or the rules are wrong (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

/// Telemetry from a fleet of devices over MQTT, every reading kept exactly once, every alert on
/// screen in milliseconds.
#[derive(Debug, Parser)]
#[command(name = "bellwire", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or Ctrl-C.
    Serve(Common),
    /// Run everything embedded, with a fleet of freezers of which one fails.
    Demo(demo::DemoArgs),
    /// Simulate a fleet of devices and check that nothing it was promised is missing.
    Fleet(fleet::FleetArgs),
    /// Measure rate, CPU cost and latency on this machine.
    Bench(bench::BenchArgs),
    /// Be rumqttd on this address: what `bench` compares with.
    #[command(name = rumqttd::COMMAND, hide = true)]
    BenchRumqttd {
        /// Where to listen.
        address: std::net::SocketAddr,
    },
    /// Check the configuration and the rules it names, and say what is wrong.
    CheckConfig(Common),
    /// Check alert rules, test them, try them on history, and change those of the running service.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Check mappings of other topics and payloads, and try them.
    #[command(subcommand)]
    Mapping(mapping::MappingCommand),
    /// Show what became of every publish: stored, repeated, quarantined or refused.
    Audit(audit::AuditArgs),
    /// Show what people and programs changed: who, what, when.
    AuditLog(audit_log::AuditLogArgs),
    /// Look at payloads that could not be read.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Give devices commands, and see what became of them.
    #[command(subcommand, name = "command")]
    Commands(command::CommandCommand),
    /// Where alerts are sent to: list the channels, and test them.
    #[command(subcommand)]
    Channel(channel::ChannelCommand),
    /// Show what was sent, and what came of it.
    Deliveries(channel::DeliveriesArgs),
    /// Look at alerts, acknowledge, assign, comment and snooze them.
    #[command(subcommand)]
    Alert(handling::AlertCommand),
    /// Mute alerts by their labels, for a time.
    #[command(subcommand)]
    Silence(handling::SilenceCommand),
    /// Show the configuration.
    #[command(subcommand)]
    Config(check::ConfigCommand),
    /// Look at everything and say what is not well; changes nothing.
    Doctor(doctor::DoctorArgs),
    /// Ask a running service whether it is well: exit code 0, or 1.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Bring the database to the schema of this version; `serve` does it too.
    Migrate(migrate::MigrateArgs),
    /// Back up the database and the data directory, while the service runs or not.
    Backup(backup::BackupArgs),
    /// Bring a backup back, into an empty place.
    Restore(backup::RestoreArgs),
    /// Devices: their credentials and labels; give out or remove one device's data.
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// People who use the console and the API.
    #[command(subcommand)]
    People(people::PeopleCommand),
    /// API tokens: how programs come in over HTTP.
    #[command(subcommand)]
    Token(people::TokenCommand),
    /// Service accounts: programs that speak MQTT and are no devices.
    #[command(subcommand)]
    User(access::UserCommand),
    /// Tokens by which new devices register themselves.
    #[command(subcommand)]
    Provisioning(access::ProvisioningCommand),
    /// Print what completes these commands in a shell.
    Completions(shell::CompletionsArgs),
    /// Print the manual page, or write those of all commands into a folder.
    Man(shell::ManArgs),
}

/// Flags that every command with a configuration has. Each beats environment and file.
#[derive(Clone, Debug, Default, Args)]
struct Common {
    /// Configuration file (TOML) [env: BELLWIRE_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where log, snapshots and the managed database lie [env: BELLWIRE_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where MQTT listens, e.g. 127.0.0.1:1883 [env: BELLWIRE_MQTT_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    mqtt_listen: Option<String>,
    /// Where HTTP listens, e.g. 127.0.0.1:8080 [env: BELLWIRE_HTTP_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// Alert rules and labels (TOML) [env: BELLWIRE_RULES]
    #[arg(long, value_name = "FILE")]
    rules: Option<String>,
    /// No credentials; only loopback addresses are allowed [env: BELLWIRE_INSECURE=1]
    #[arg(long)]
    insecure: bool,
}

impl Common {
    /// The configuration with these flags on top.
    fn load(&self) -> Result<Config, ConfigError> {
        let environment = Environment::of_process();
        crate::config::load(self.config.as_deref(), &environment, self.overrides())
    }

    /// The same, with whence each key comes and everything that does not fit.
    fn look(&self) -> Looked {
        let environment = Environment::of_process();
        crate::config::look(self.config.as_deref(), &environment, self.overrides())
    }

    fn overrides(&self) -> Overrides {
        let text = |value: &Option<String>| value.clone().map(toml::Value::String);
        let mut overrides: Overrides = [
            ("data_dir", text(&self.data_dir)),
            ("http.listen", text(&self.http_listen)),
            ("rules", text(&self.rules)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
        if let Some(listen) = text(&self.mqtt_listen) {
            overrides.push(("mqtt.listen", toml::Value::Array(vec![listen])));
        }
        if self.insecure {
            overrides.push(("insecure", toml::Value::Boolean(true)));
        }
        overrides
    }
}

/// Why a command ended, and with which exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let code = crate::exit_code(&error);
        Self { code, error }
    }
}

/// Shows `value` on stdout, for scripts.
fn print_json(value: &impl serde::Serialize) -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

impl Cli {
    /// Does what was asked and gives the exit code.
    #[must_use]
    pub fn run(self) -> u8 {
        let ended = match self.command {
            Command::Serve(common) => serve::run(&common),
            Command::Demo(args) => demo::run(&args),
            Command::Fleet(args) => fleet::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::BenchRumqttd { address } => {
                rumqttd::run(address).map(|()| EXIT_OK).map_err(Failure::from)
            }
            Command::CheckConfig(common) => check::config(&common),
            Command::Rules(command) => rules::run(&command),
            Command::Mapping(command) => mapping::run(&command),
            Command::Audit(args) => audit::run(&args),
            Command::AuditLog(args) => audit_log::run(&args),
            Command::Quarantine(command) => quarantine::run(&command),
            Command::Commands(command) => command::run(&command),
            Command::Channel(command) => channel::run(&command),
            Command::Deliveries(args) => channel::deliveries(&args),
            Command::Alert(command) => handling::alert(&command),
            Command::Silence(command) => handling::silence(&command),
            Command::Config(command) => check::show(&command),
            Command::Doctor(args) => doctor::run(&args),
            Command::Healthcheck(args) => healthcheck::run(&args),
            Command::Migrate(args) => migrate::run(&args),
            Command::Backup(args) => backup::backup(&args),
            Command::Restore(args) => backup::restore(&args),
            Command::Device(command) => device::run(&command),
            Command::People(command) => people::people(&command),
            Command::Token(command) => people::token(&command),
            Command::User(command) => access::user(&command),
            Command::Provisioning(command) => access::provisioning(&command),
            Command::Completions(args) => shell::completions(&args),
            Command::Man(args) => shell::man(&args),
        };
        match ended {
            Ok(code) => code,
            Err(Failure { code, error }) => {
                eprintln!("bellwire: {}", format!("{error:#}").trim_end());
                code
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_command_can_be_read() {
        super::Cli::command().debug_assert();
    }
}
