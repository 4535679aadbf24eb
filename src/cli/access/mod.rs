//! `bellwire device add|rotate|revoke|list`, `bellwire user …` and `bellwire provisioning …`: who may
//! come in over MQTT.
//!
//! A token is shown once, alone on standard output or in a file, for scripts; all else is on stderr.

mod list;

pub(super) use list::date;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bellwire_broker::access::{DevicePattern, Token};
use bellwire_model::{DeviceId, ServiceName};
use bellwire_store::AccountKind;
use clap::{Args, Subcommand};

use super::{Common, EXIT_OK, Failure};
use crate::care::access::Credentials;
use crate::config::Environment;
use crate::{logging, runtime};

/// The file that a token goes to.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Write the token to this new file, for its owner only, instead of standard output
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct AddDevice {
    /// The device's id, which is its user name
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// It is a gateway, and speaks for these devices too, e.g. `line-3-*`; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    gateway_for: Vec<DevicePattern>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct RotateDevice {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    #[command(flatten)]
    rotate: RotateArgs,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// How long the token before stays valid: a number and `s`, `m`, `h` or `d`; `0s` closes its
    /// connections at once
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    grace: Duration,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct RevokeDevice {
    /// The device's id
    #[arg(value_parser = device_id)]
    device: DeviceId,
    /// Also if it is not registered: then it cannot come in by a certificate either
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a service account, which may do what `[[acl]]` says of `user:NAME`; prints its token.
    Add {
        /// Its name
        #[arg(value_parser = service_name)]
        name: ServiceName,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        common: Common,
    },
    /// Give a service account a new token; prints it.
    Rotate {
        /// Its name
        #[arg(value_parser = service_name)]
        name: ServiceName,
        #[command(flatten)]
        rotate: RotateArgs,
    },
    /// Revoke a service account and close its connections.
    Revoke {
        /// Its name
        #[arg(value_parser = service_name)]
        name: ServiceName,
        #[command(flatten)]
        common: Common,
    },
    /// List service accounts.
    List(ListArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum ProvisioningCommand {
    /// Add a token by which new devices register themselves; prints it.
    Add(AddProvisioning),
    /// Revoke a provisioning token; devices that it registered stay.
    Revoke {
        /// Its name
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List provisioning tokens.
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddProvisioning {
    /// Its name, shown with the devices that it registers
    name: String,
    /// The devices that it may register, e.g. `line-3-*`
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    devices: DevicePattern,
    /// How long it is valid: a number and `s`, `m`, `h` or `d`
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration)]
    expires_in: Duration,
    /// How many devices it registers at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    uses: i32,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    common: Common,
}

pub(super) fn device_id(text: &str) -> Result<DeviceId, String> {
    DeviceId::new(text).map_err(|error| error.to_string())
}

fn service_name(text: &str) -> Result<ServiceName, String> {
    ServiceName::new(text).map_err(|error| error.to_string())
}

fn pattern(text: &str) -> Result<DevicePattern, String> {
    DevicePattern::new(text).map_err(|error| error.to_string())
}

/// A whole number and its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration, as in 30m or 24h");
    let unit = text.strip_prefix(|c: char| c.is_ascii_digit()).ok_or_else(wrong)?;
    let unit = unit.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().map_err(|_| wrong())?;
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.saturating_mul(secs)))
}

/// Does `work` with the credentials of the installation that `common` names.
fn with<T>(
    common: &Common,
    work: impl AsyncFnOnce(&Credentials) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    let config = common.load()?;
    logging::start("warn")?;
    let data_dir = config.data_dir(&Environment::of_process())?;
    runtime::multi_thread()?.block_on(async {
        let credentials = Credentials::open(&config, &data_dir).await?;
        let result = work(&credentials).await;
        credentials.close().await;
        Ok(result?)
    })
}

impl Output {
    /// Shows what `make` makes. The file is made before it is: what cannot be shown is not to be valid.
    pub(super) fn show<E: From<anyhow::Error>>(
        &self,
        make: impl FnOnce() -> Result<String, E>,
    ) -> Result<(), E> {
        let Some(path) = &self.token_file else {
            println!("{}", make()?);
            return Ok(());
        };
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = made.with_context(|| format!("cannot make {}", path.display()))?;
        let token = make().inspect_err(|_| remove(path))?;
        writeln!(file, "{token}")
            .and_then(|()| file.sync_all())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}

fn show(
    output: &Output,
    common: &Common,
    make: impl AsyncFnOnce(&Credentials) -> anyhow::Result<Token>,
) -> Result<u8, Failure> {
    output.show(|| with(common, make).map(|token| token.as_str().to_owned()))?;
    Ok(EXIT_OK)
}

fn remove(path: &Path) {
    // It is empty, and the reason why is what is said.
    let _ = std::fs::remove_file(path);
}

pub(super) fn add_device(args: &AddDevice) -> Result<u8, Failure> {
    let AddDevice { device, gateway_for, output, common } = args;
    show(output, common, async |credentials: &Credentials| {
        credentials.add(AccountKind::Device, device.as_str(), gateway_for).await
    })
}

pub(super) fn rotate_device(args: &RotateDevice) -> Result<u8, Failure> {
    rotate(AccountKind::Device, args.device.as_str(), &args.rotate)
}

fn rotate(kind: AccountKind, name: &str, args: &RotateArgs) -> Result<u8, Failure> {
    show(&args.output, &args.common, async |credentials: &Credentials| {
        credentials.rotate(kind, name, args.grace).await
    })
}

pub(super) fn revoke_device(args: &RevokeDevice) -> Result<u8, Failure> {
    let name = args.device.as_str();
    with(&args.common, async |credentials: &Credentials| {
        if args.anyway {
            return credentials.bar(name).await;
        }
        let revoked = credentials.revoke(AccountKind::Device, name).await;
        revoked.context("if it comes with a certificate only, --anyway bars it")
    })?;
    eprintln!("`{name}` is revoked; a running service closes its connections within two seconds.");
    Ok(EXIT_OK)
}

pub(super) fn list_devices(args: &ListArgs) -> Result<u8, Failure> {
    list::accounts(AccountKind::Device, args)
}

pub(super) fn user(command: &UserCommand) -> Result<u8, Failure> {
    let kind = AccountKind::Service;
    match command {
        UserCommand::Add { name, output, common } => {
            show(output, common, async |credentials: &Credentials| {
                credentials.add(kind, name.as_str(), &[]).await
            })
        }
        UserCommand::Rotate { name, rotate: args } => rotate(kind, name.as_str(), args),
        UserCommand::Revoke { name, common } => {
            with(common, async |credentials: &Credentials| {
                credentials.revoke(kind, name.as_str()).await
            })?;
            eprintln!(
                "`{name}` is revoked; a running service closes its connections within two seconds."
            );
            Ok(EXIT_OK)
        }
        UserCommand::List(args) => list::accounts(kind, args),
    }
}

pub(super) fn provisioning(command: &ProvisioningCommand) -> Result<u8, Failure> {
    match command {
        ProvisioningCommand::Add(args) => {
            let AddProvisioning { name, devices, expires_in, uses, output, common } = args;
            show(output, common, async |credentials: &Credentials| {
                credentials.add_provisioning(name, devices, *expires_in, *uses).await
            })
        }
        ProvisioningCommand::Revoke { name, common } => {
            with(common, async |credentials: &Credentials| {
                credentials.revoke_provisioning(name).await
            })?;
            eprintln!("`{name}` is revoked; the devices that it registered stay.");
            Ok(EXIT_OK)
        }
        ProvisioningCommand::List(args) => list::provisioning(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, secs) in [("0s", 0), ("90s", 90), ("30m", 1_800), ("24h", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in ["", "h", "24", "1.5h", "-1h", "1h30m", "1 h", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
