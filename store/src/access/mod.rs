//! Credentials: who may come in over MQTT, and by what. [`AccessStore`] is what the service and the
//! command line ask.
//!
//! Every change counts `access_revision` up in its own transaction, so that
//! [`AccessStore::changes`] finds what is new since it last looked, for the price of one row.

mod accounts;
mod provisioning;
mod rows;

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Client;

pub use self::accounts::{NewAccount, Rotated};
pub use self::provisioning::{NewProvisioning, Registered};
pub use self::rows::{AccountKind, AccountRow, ProvisioningRow, StoredHash};
use crate::connect::{Link, Target, deadline, failed};
use crate::{Database, Error, migrate};

/// Accounts that have changed, or all, and all provisioning tokens that are not revoked.
#[derive(Clone, Debug)]
pub struct AccessChanges {
    /// Whether `accounts` are all there are.
    pub is_whole: bool,
    /// Up to which change this is.
    pub revision: i64,
    /// The accounts.
    pub accounts: Vec<AccountRow>,
    /// The tokens.
    pub provisioning: Vec<ProvisioningRow>,
}

/// The limit of a query of which all rows are needed: one more shows that there are too many.
fn one_more(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1)
}

/// Whether `rows`, of a query with the limit [`one_more`], are all there are.
fn all_of<T>(what: &'static str, max: usize, rows: &[T]) -> Result<(), Error> {
    if rows.len() > max { Err(Error::TooMany { what, max }) } else { Ok(()) }
}

/// Credentials in the database. Connects when first asked, and again after a failure; one question at
/// a time.
#[derive(Debug)]
pub struct AccessStore {
    target: Target,
    limit: Duration,
    link: Mutex<Option<Link>>,
}

impl Database {
    /// Credentials. Connects when first asked.
    #[must_use]
    pub fn access(&self) -> AccessStore {
        let limit = self.config().statement_timeout();
        AccessStore { target: self.target().clone(), limit, link: Mutex::new(None) }
    }
}

impl AccessStore {
    /// What has changed since revision `since`; `None` if nothing has. Whole if `since` is `None`, or
    /// not a revision of this database's past.
    ///
    /// # Errors
    /// [`Error`], [`Error::NotMigrated`] among them.
    pub async fn changes(&self, since: Option<i64>) -> Result<Option<AccessChanges>, Error> {
        let doing = "reading credentials";
        self.run(doing, async |client| {
            // One transaction, so that the revision is that of the rows.
            client
                .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await
                .map_err(failed(doing))?;
            let sql = "SELECT revision FROM bellwire.access_revision";
            let revision: i64 = client.query_one(sql, &[]).await.map_err(failed(doing))?.get(0);
            let changes = if since == Some(revision) {
                None
            } else {
                let after = since.filter(|since| *since < revision);
                Some(AccessChanges {
                    is_whole: after.is_none(),
                    revision,
                    accounts: accounts::after(client, after.unwrap_or(-1)).await?,
                    provisioning: provisioning::valid(client).await?,
                })
            };
            client.batch_execute("COMMIT").await.map_err(failed(doing))?;
            Ok(changes)
        })
        .await
    }

    /// Does `work` on the connection, within the limit. After a failure there is no connection any
    /// more: what it had begun is undone.
    async fn run<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let working = async {
            let mut place = self.link.lock().await;
            // Taken out: dropped half-way, the connection goes with it.
            let link = match place.take().filter(|link| !link.client.is_closed()) {
                Some(link) => link,
                None => self.connect().await?,
            };
            let result = work(&link.client).await;
            if result.is_ok() {
                *place = Some(link);
            }
            result
        };
        match timeout(self.limit, working).await {
            Ok(result) => result,
            Err(_) => Err(deadline(doing, self.limit)),
        }
    }

    async fn connect(&self) -> Result<Link, Error> {
        let link = self.target.connect("bellwire access").await?;
        migrate::require_current(&link.client).await?;
        let setup =
            format!("SET timezone = 'UTC'; SET statement_timeout = {}", self.limit.as_millis());
        link.client.batch_execute(&setup).await.map_err(failed("setting up a connection"))?;
        Ok(link)
    }
}

/// Counts a change, in a transaction that makes it, and keeps other changes waiting until that ends.
async fn count(client: &Client, doing: &'static str) -> Result<i64, Error> {
    let sql = "UPDATE bellwire.access_revision SET revision = revision + 1 RETURNING revision";
    Ok(client.query_one(sql, &[]).await.map_err(failed(doing))?.get(0))
}

/// Does `work` in a transaction that counts as a change if it gives `Ok(Some)`, and changes nothing
/// otherwise.
async fn change<T>(
    client: &Client,
    doing: &'static str,
    work: impl AsyncFnOnce(i64) -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    client.batch_execute("BEGIN").await.map_err(failed(doing))?;
    let revision = count(client, doing).await?;
    let result = work(revision).await;
    let end = if matches!(result, Ok(Some(_))) { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(failed(doing))?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_too_many_is_an_error_and_not_a_part() {
        assert_eq!(one_more(3), 4);
        assert!(all_of("credentials", 3, &[1, 2, 3]).is_ok());
        let error = all_of("credentials", 3, &[1, 2, 3, 4]).expect_err("too many");
        let said = error.to_string();
        assert_eq!(said, "the database has more than 3 credentials: remove some");
    }
}
