//! Credentials, changed from outside the service: in the database, where a running service sees it
//! within two seconds.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use bellwire_broker::access::{DevicePattern, Token, TokenKind};
use bellwire_model::{Clock, Timestamp};
use bellwire_store::{
    AccessStore, AccountKind, AccountRow, NewAccount, NewProvisioning, ProvisioningRow, Rotated,
    StoredHash,
};

use super::reach::{Reached, unavailable};
use crate::clock::SystemClock;
use crate::config::Config;

/// The credentials of an installation, reached.
#[derive(Debug)]
pub(crate) struct Credentials {
    reached: Reached,
    store: AccessStore,
    now: Timestamp,
}

/// What an account is called in messages.
const fn called(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Device => "device",
        AccountKind::Service => "service account",
    }
}

/// How a command is called that is about accounts of this kind.
const fn command(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Device => "device",
        AccountKind::Service => "user",
    }
}

fn stored(token: &Token) -> StoredHash {
    StoredHash(*token.hash().as_bytes())
}

fn fresh(kind: AccountKind) -> std::io::Result<Token> {
    Token::generate(match kind {
        AccountKind::Device => TokenKind::Device,
        AccountKind::Service => TokenKind::Service,
    })
}

impl Credentials {
    /// Reaches the database, beside a running service or without one; makes its tables if there are
    /// none.
    ///
    /// # Errors
    /// If it is away, or has an older schema.
    pub(crate) async fn open(config: &Config, data_dir: &Path) -> anyhow::Result<Self> {
        let reached = Reached::open(config, data_dir).await?;
        let store = reached.database.access();
        let credentials = Self { reached, store, now: SystemClock.now() };
        match credentials.make_tables().await {
            Ok(()) => Ok(credentials),
            Err(error) => {
                credentials.close().await;
                Err(error)
            }
        }
    }

    async fn make_tables(&self) -> anyhow::Result<()> {
        // An older schema may be that of a service that runs.
        if self.reached.database.plan().await.map_err(unavailable)?.from == 0 {
            self.reached.database.migrate().await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// Leaves the database as it was.
    pub(crate) async fn close(self) {
        self.reached.close().await;
    }

    /// Adds an account; gives its token.
    ///
    /// # Errors
    /// If there is one of this name.
    pub(crate) async fn add(
        &self,
        kind: AccountKind,
        name: &str,
        speaks_for: &[DevicePattern],
    ) -> anyhow::Result<Token> {
        let token = fresh(kind)?;
        let speaks_for = speaks_for.iter().map(ToString::to_string).collect();
        let hash = Some(stored(&token));
        let new = NewAccount { name: name.to_owned(), kind, speaks_for, hash };
        if !self.store.add(&new, self.now).await.map_err(unavailable)? {
            bail!(
                "there is a device or service account `{name}` already: `bellwire {} rotate {name}` \
                 gives it a new token",
                command(kind)
            );
        }
        Ok(token)
    }

    /// Gives an account a new token; the one before stays valid for `grace`.
    ///
    /// # Errors
    /// If there is none that is not revoked.
    pub(crate) async fn rotate(
        &self,
        kind: AccountKind,
        name: &str,
        grace: Duration,
    ) -> anyhow::Result<Token> {
        let token = fresh(kind)?;
        let new = Rotated { hash: stored(&token), previous_until: self.now + grace };
        if !self.store.rotate(kind, name, new, self.now).await.map_err(unavailable)? {
            bail!("{}", unknown(kind, name));
        }
        Ok(token)
    }

    /// Revokes an account.
    ///
    /// # Errors
    /// If there is none that is not revoked.
    pub(crate) async fn revoke(&self, kind: AccountKind, name: &str) -> anyhow::Result<()> {
        if !self.store.revoke(kind, name, self.now).await.map_err(unavailable)? {
            bail!("{}", unknown(kind, name));
        }
        Ok(())
    }

    /// Bars a device that is not registered, and comes with a certificate.
    ///
    /// # Errors
    /// If it is registered.
    pub(crate) async fn bar(&self, name: &str) -> anyhow::Result<()> {
        let kind = AccountKind::Device;
        if self.store.revoke(kind, name, self.now).await.map_err(unavailable)? {
            return Ok(());
        }
        let new = NewAccount { name: name.to_owned(), kind, speaks_for: Vec::new(), hash: None };
        if !self.store.add(&new, self.now).await.map_err(unavailable)? {
            bail!("`{name}` is a service account");
        }
        Ok(())
    }

    /// All accounts of a kind, by name.
    pub(crate) async fn accounts(&self, kind: AccountKind) -> anyhow::Result<Vec<AccountRow>> {
        self.store.accounts(kind).await.map_err(unavailable)
    }

    /// Adds a provisioning token.
    ///
    /// # Errors
    /// If there is one of this name, revoked or not.
    pub(crate) async fn add_provisioning(
        &self,
        name: &str,
        devices: &DevicePattern,
        lifetime: Duration,
        uses_max: i32,
    ) -> anyhow::Result<Token> {
        let token = Token::generate(TokenKind::Provisioning)?;
        let new = NewProvisioning {
            name: name.to_owned(),
            hash: stored(&token),
            devices: devices.to_string(),
            expires_at: self.now + lifetime,
            uses_max,
        };
        if !self.store.add_provisioning(&new, self.now).await.map_err(unavailable)? {
            bail!("there is or was a provisioning token `{name}`: take another name");
        }
        Ok(token)
    }

    /// Revokes a provisioning token.
    ///
    /// # Errors
    /// If there is none that is not revoked.
    pub(crate) async fn revoke_provisioning(&self, name: &str) -> anyhow::Result<()> {
        if !self.store.revoke_provisioning(name, self.now).await.map_err(unavailable)? {
            bail!("there is no provisioning token `{name}` that is not revoked");
        }
        Ok(())
    }

    /// All provisioning tokens, by name.
    pub(crate) async fn provisioning_tokens(&self) -> anyhow::Result<Vec<ProvisioningRow>> {
        self.store.provisioning_tokens().await.map_err(unavailable)
    }

    /// When this is.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }
}

fn unknown(kind: AccountKind, name: &str) -> String {
    format!("there is no {} `{name}` that is not revoked", called(kind))
}
