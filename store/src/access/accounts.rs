//! Devices and service accounts: added, given a new token, revoked, listed.

use bellwire_model::Timestamp;
use tokio_postgres::Client;

use super::rows::{ACCOUNT_COLUMNS, AccountKind, AccountRow, StoredHash, account};
use super::{AccessStore, all_of, change, one_more};
use crate::Error;
use crate::connect::failed;
use crate::types::At;

/// An account to be added.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: AccountKind,
    /// Of a gateway: patterns of the devices that it speaks for.
    pub speaks_for: Vec<String>,
    /// Of its token; `None`: it is barred from the beginning.
    pub hash: Option<StoredHash>,
}

/// The most accounts, revoked ones too: each is in the memory of the service.
const ACCOUNTS_MAX: usize = 1_000_000;

/// The token that an account gets.
#[derive(Clone, Copy, Debug)]
pub struct Rotated {
    /// Of the new token.
    pub hash: StoredHash,
    /// Until when the one before is valid.
    pub previous_until: Timestamp,
}

/// Accounts that have changed after `revision`.
pub(super) async fn after(client: &Client, revision: i64) -> Result<Vec<AccountRow>, Error> {
    let sql = format!(
        "SELECT {ACCOUNT_COLUMNS} FROM bellwire.access_account WHERE revision > $1 \
         ORDER BY name LIMIT $2"
    );
    let limit = one_more(ACCOUNTS_MAX);
    let rows =
        client.query(&sql, &[&revision, &limit]).await.map_err(failed("reading credentials"))?;
    all_of("credentials", ACCOUNTS_MAX, &rows)?;
    rows.iter().map(account).collect()
}

impl AccessStore {
    /// Adds an account, or takes up one that was revoked; `false` if there is one that is not, or one
    /// of another kind.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add(&self, new: &NewAccount, now: Timestamp) -> Result<bool, Error> {
        let doing = "adding an account";
        let sql = "INSERT INTO bellwire.access_account \
                       (name, kind, speaks_for, hash, created_at, revoked_at, revision) \
                   VALUES ($1, $2, $3, $4, $5, CASE WHEN $4::bytea IS NULL THEN $5::timestamptz END, $6) \
                   ON CONFLICT (name) DO UPDATE SET \
                       speaks_for = excluded.speaks_for, hash = excluded.hash, \
                       created_at = excluded.created_at, rotated_at = NULL, \
                       revoked_at = excluded.revoked_at, provisioned_by = NULL, \
                       revision = excluded.revision \
                   WHERE access_account.revoked_at IS NOT NULL \
                     AND access_account.kind = excluded.kind";
        let hash = new.hash.as_ref().map(|hash| &hash.0[..]);
        let added = self.run(doing, async |client| {
            change(client, doing, async |revision| {
                let n_rows = client
                    .execute(
                        sql,
                        &[
                            &new.name,
                            &new.kind.label(),
                            &new.speaks_for,
                            &hash,
                            &At(now),
                            &revision,
                        ],
                    )
                    .await
                    .map_err(failed(doing))?;
                Ok((n_rows > 0).then_some(()))
            })
            .await
        });
        Ok(added.await?.is_some())
    }

    /// Gives an account a new token; `false` if there is none that is not revoked. A token before the
    /// one before is not valid from now on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn rotate(
        &self,
        kind: AccountKind,
        name: &str,
        new: Rotated,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let doing = "giving an account a new token";
        let sql = "UPDATE bellwire.access_account SET \
                       hash = $3, rotated_at = $5, revision = $6, \
                       previous_hash = CASE WHEN $4::timestamptz > $5::timestamptz THEN hash END, \
                       previous_until = CASE WHEN $4 > $5 AND hash IS NOT NULL THEN $4 END \
                   WHERE name = $1 AND kind = $2 AND revoked_at IS NULL";
        let until = At(new.previous_until);
        let rotated = self.run(doing, async |client| {
            change(client, doing, async |revision| {
                let n_rows = client
                    .execute(
                        sql,
                        &[&name, &kind.label(), &&new.hash.0[..], &until, &At(now), &revision],
                    )
                    .await
                    .map_err(failed(doing))?;
                Ok((n_rows > 0).then_some(()))
            })
            .await
        });
        Ok(rotated.await?.is_some())
    }

    /// Revokes an account, its tokens with it; `false` if there is none that is not revoked.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke(
        &self,
        kind: AccountKind,
        name: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let doing = "revoking an account";
        let sql = "UPDATE bellwire.access_account SET \
                       hash = NULL, previous_hash = NULL, previous_until = NULL, \
                       revoked_at = $3, revision = $4 \
                   WHERE name = $1 AND kind = $2 AND revoked_at IS NULL";
        let revoked = self.run(doing, async |client| {
            change(client, doing, async |revision| {
                let n_rows = client
                    .execute(sql, &[&name, &kind.label(), &At(now), &revision])
                    .await
                    .map_err(failed(doing))?;
                Ok((n_rows > 0).then_some(()))
            })
            .await
        });
        Ok(revoked.await?.is_some())
    }

    /// All accounts of a kind, by name.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn accounts(&self, kind: AccountKind) -> Result<Vec<AccountRow>, Error> {
        let mut rows =
            self.run("reading credentials", async |client| after(client, -1).await).await?;
        rows.retain(|row| row.kind == kind);
        Ok(rows)
    }
}
