//! `bellwire people …` and `bellwire token …`: who may use the API. They change the files in the data
//! directory; a running service takes it up within a second.
//!
//! A token is shown once, alone on standard output or in a file, for scripts; all else is on stderr.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bellwire_alerts::Selection;
use bellwire_api::auth::name::UserName;
use bellwire_api::auth::password::{BYTES_MAX, Password, PasswordHash};
use bellwire_api::auth::people::{
    Access, ApiToken, People, PeopleError, Purpose, SCOPE_BYTES_MAX, User, UserPatch,
};
use bellwire_api::auth::{Role, new_token};
use bellwire_api::ports::{PeopleStore, PeopleStoreError};
use bellwire_model::Timestamp;
use clap::{Args, Subcommand};
use serde_json::json;

use super::access::{Output, date, duration};
use super::{Common, EXIT_OK, Failure, print_json};
use crate::app::people::PeopleFiles;
use crate::clock::SystemClock;
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum PeopleCommand {
    /// Add a user who signs in with a password.
    Add(AddUser),
    /// Give a user another password; all of their sessions end.
    Passwd {
        /// Their name
        #[arg(value_parser = user_name)]
        name: UserName,
        #[command(flatten)]
        password: PasswordFrom,
        #[command(flatten)]
        common: Common,
    },
    /// Give a user another role.
    Role {
        /// Their name
        #[arg(value_parser = user_name)]
        name: UserName,
        /// viewer, operator or admin
        #[arg(value_parser = role)]
        role: Role,
        #[command(flatten)]
        common: Common,
    },
    /// Say which devices there are for a user.
    Scope {
        /// Their name
        #[arg(value_parser = user_name)]
        name: UserName,
        /// As a rule's `select`, e.g. "site = 'berlin'"; empty: all devices
        #[arg(value_parser = scope)]
        scope: Scoped,
        #[command(flatten)]
        common: Common,
    },
    /// Keep a user out: neither they nor their tokens may come in until they are enabled.
    Disable(OneUser),
    /// Let a user in again who was disabled.
    Enable(OneUser),
    /// Remove a user with all of their tokens and sessions.
    Remove(OneUser),
    /// List users.
    List(ListArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; prints it.
    Create(CreateToken),
    /// Revoke a token.
    Revoke {
        /// Its id, as `list` shows it: the part of the token between the underscores
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// List tokens.
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddUser {
    /// Their name: a-z, 0-9, `.`, `_`, `-`, `+` and `@`
    #[arg(value_parser = user_name)]
    name: UserName,
    /// viewer, operator or admin
    #[arg(long, value_parser = role)]
    role: Role,
    /// Which devices there are for them, as a rule's `select`
    #[arg(long, value_name = "SELECT", value_parser = scope)]
    scope: Option<Scoped>,
    #[command(flatten)]
    password: PasswordFrom,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct PasswordFrom {
    /// Read the password from this file, or from standard input if it is `-`; a line's end behind it
    /// does not count
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct OneUser {
    /// Their name
    #[arg(value_parser = user_name)]
    name: UserName,
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

#[derive(Debug, Args)]
pub(super) struct CreateToken {
    /// What it is called
    name: String,
    /// Whose it is: it may never do more than they
    #[arg(long, value_parser = user_name)]
    user: UserName,
    /// viewer, operator, admin, or telemetry for nothing but sending that
    #[arg(long, value_parser = purpose)]
    role: Purpose,
    /// Which devices there are for it, as a rule's `select`, within what there is for its user
    #[arg(long, value_name = "SELECT", value_parser = scope)]
    scope: Option<Scoped>,
    /// How long it is valid: a number and `s`, `m`, `h` or `d`
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
    expires_in: Duration,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    common: Common,
}

/// A scope that can be read; absent for all devices.
#[derive(Clone, Debug)]
pub(super) struct Scoped(Option<String>);

fn user_name(text: &str) -> Result<UserName, String> {
    UserName::new(text).map_err(|error| error.to_string())
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_label(text).ok_or_else(|| "it is viewer, operator or admin".to_owned())
}

fn purpose(text: &str) -> Result<Purpose, String> {
    Purpose::from_label(text).ok_or_else(|| "it is viewer, operator, admin or telemetry".to_owned())
}

fn scope(text: &str) -> Result<Scoped, String> {
    if text.trim().is_empty() {
        return Ok(Scoped(None));
    }
    if text.len() > SCOPE_BYTES_MAX {
        return Err(format!("it has more than {SCOPE_BYTES_MAX} bytes"));
    }
    Selection::parse(text)
        .map_err(|error| format!("column {}: {}", error.column, error.message))?;
    Ok(Scoped(Some(text.to_owned())))
}

fn now() -> Timestamp {
    SystemClock::shared().now()
}

/// Where the installation that `common` names keeps its people.
fn files(common: &Common) -> anyhow::Result<PeopleFiles> {
    let data_dir = common.load()?.data_dir(&Environment::of_process())?;
    // Before the first start there is none.
    std::fs::create_dir_all(&data_dir)
        .with_context(|| format!("cannot make {}", data_dir.display()))?;
    Ok(PeopleFiles::in_dir(&data_dir))
}

fn change(
    common: &Common,
    change: impl FnOnce(&mut People) -> Result<(), PeopleError>,
) -> anyhow::Result<()> {
    let mut change = Some(change);
    let mut once = |people: &mut People| change.take().map_or(Ok(()), |change| change(people));
    match files(common)?.change(&mut once) {
        Ok(_) => Ok(()),
        Err(PeopleStoreError::Refused(error)) => Err(error.into()),
        Err(PeopleStoreError::Files(error)) => Err(error.into()),
    }
}

impl PasswordFrom {
    /// The hash of the password that is there.
    fn hash(&self, name: &UserName) -> anyhow::Result<PasswordHash> {
        let limit = BYTES_MAX as u64 + 3;
        let mut bytes = Vec::new();
        if self.password_file == Path::new("-") {
            std::io::stdin().take(limit).read_to_end(&mut bytes)?;
        } else {
            let file = std::fs::File::open(&self.password_file);
            let file =
                file.with_context(|| format!("cannot read {}", self.password_file.display()))?;
            file.take(limit).read_to_end(&mut bytes)?;
        }
        let mut text = String::from_utf8(bytes).context("the password is not UTF-8")?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(Password::new(text, name.as_str())?.hash()?)
    }
}

pub(super) fn people(command: &PeopleCommand) -> Result<u8, Failure> {
    match command {
        PeopleCommand::Add(args) => add(args)?,
        PeopleCommand::Passwd { name, password, common } => {
            let hash = password.hash(name)?;
            change(common, |people| people.set_password(name.as_str(), hash))?;
            eprintln!("`{name}` has another password; all of their sessions end.");
        }
        PeopleCommand::Role { name, role, common } => {
            patch(name, common, UserPatch { role: Some(*role), ..UserPatch::default() })?;
        }
        PeopleCommand::Scope { name, scope, common } => {
            let scope = Some(scope.0.clone());
            patch(name, common, UserPatch { scope, ..UserPatch::default() })?;
        }
        PeopleCommand::Disable(args) => access(args, Access::Disabled)?,
        PeopleCommand::Enable(args) => access(args, Access::Open)?,
        PeopleCommand::Remove(OneUser { name, common }) => {
            change(common, |people| people.remove(name.as_str()).map(drop))?;
            eprintln!("`{name}` is removed, with all of their tokens and sessions.");
        }
        PeopleCommand::List(args) => list_users(args)?,
    }
    Ok(EXIT_OK)
}

fn patch(name: &UserName, common: &Common, patch: UserPatch) -> anyhow::Result<()> {
    change(common, |people| people.change(name.as_str(), patch))?;
    eprintln!("`{name}` is changed; a running service knows within a second.");
    Ok(())
}

fn access(OneUser { name, common }: &OneUser, access: Access) -> anyhow::Result<()> {
    patch(name, common, UserPatch { access: Some(access), ..UserPatch::default() })
}

fn add(args: &AddUser) -> anyhow::Result<()> {
    let AddUser { name, role, scope, password, common } = args;
    let password = Some(password.hash(name)?);
    let scope = scope.as_ref().and_then(|scope| scope.0.clone());
    let user = User { password, scope, ..User::new(*role, now()) };
    change(common, |people| {
        if people.is_empty() && *role == Role::Admin {
            return people.set_up(name.clone(), user);
        }
        people.add(name.clone(), user)
    })?;
    eprintln!("`{name}` may sign in as {}.", role.label());
    Ok(())
}

fn list_users(args: &ListArgs) -> anyhow::Result<()> {
    let people = files(&args.common)?.read()?;
    if args.json {
        let users = people.users().map(|(name, user)| {
            json!({
                "name": name, "role": user.role, "scope": user.scope,
                "disabled": !user.access.is_open(), "created_at": date(user.created_at),
                "signs_in_by": if user.oidc.is_some() { "oidc" } else { "password" },
            })
        });
        return Ok(print_json(&users.collect::<Vec<_>>())?);
    }
    for (name, user) in people.users() {
        let scope = user.scope.as_deref().unwrap_or("all devices");
        let state = if user.access.is_open() { "" } else { "  disabled" };
        println!("{name}  {}  {scope}{state}", user.role.label());
    }
    if people.is_empty() {
        eprintln!("There is no user yet: `bellwire people add NAME --role admin`.");
    }
    Ok(())
}

pub(super) fn token(command: &TokenCommand) -> Result<u8, Failure> {
    match command {
        TokenCommand::Create(args) => create_token(args)?,
        TokenCommand::Revoke { id, common } => {
            // The whole token does as well.
            let id = id.strip_prefix("bwt_").unwrap_or(id);
            let id = id.split('_').next().unwrap_or_default();
            change(common, |people| people.remove_token(id).map(drop))?;
            eprintln!("The token {id} is revoked; a running service knows within a second.");
        }
        TokenCommand::List(args) => list_tokens(args)?,
    }
    Ok(EXIT_OK)
}

fn create_token(args: &CreateToken) -> anyhow::Result<()> {
    let config = args.common.load()?;
    let days_max = config.http.auth.token_days_max.get();
    if args.expires_in > Duration::from_secs(u64::from(days_max) * 86_400) {
        bail!("--expires-in is at most {days_max}d (http.auth.token_days_max)");
    }
    let created_at = now().as_micros();
    let lasts = i64::try_from(args.expires_in.as_micros()).unwrap_or(i64::MAX);
    args.output.show(|| {
        let (id, secret, text) = new_token()?;
        let token = ApiToken {
            name: args.name.clone(),
            user: args.user.clone(),
            purpose: args.role,
            scope: args.scope.as_ref().and_then(|scope| scope.0.clone()),
            hash: secret.hash(),
            created_at,
            expires_at: created_at.saturating_add(lasts),
        };
        change(&args.common, |people| people.add_token(id, token))?;
        Ok(text)
    })
}

fn list_tokens(args: &ListArgs) -> anyhow::Result<()> {
    let files = files(&args.common)?;
    let (people, activity) = (files.read()?, files.read_activity()?);
    let used = |id: &str| activity.tokens_used.get(id).map(|minute| date(minute * 60_000_000));
    if args.json {
        let tokens = people.tokens().map(|(id, token)| {
            json!({
                "id": id, "name": token.name, "user": token.user, "role": token.purpose,
                "scope": token.scope, "created_at": date(token.created_at),
                "expires_at": date(token.expires_at), "last_used": used(id),
            })
        });
        return Ok(print_json(&tokens.collect::<Vec<_>>())?);
    }
    for (id, token) in people.tokens() {
        let ended = if token.is_valid(now()) { "" } else { "  expired" };
        println!(
            "{id}  {}/{}  {}  until {}  used {}{ended}",
            token.user,
            token.name,
            token.purpose.label(),
            date(token.expires_at),
            used(id).as_deref().unwrap_or("never"),
        );
    }
    Ok(())
}
