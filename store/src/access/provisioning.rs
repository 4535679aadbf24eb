//! Provisioning tokens, and the devices that they register.

use bellwire_model::{DeviceId, Timestamp};
use tokio_postgres::Client;

use super::rows::{
    AccountKind, PROVISIONING_COLUMNS, ProvisioningRow, StoredHash, at, provisioning,
};
use super::{AccessStore, all_of, change, one_more};
use crate::Error;
use crate::connect::failed;
use crate::types::At;

const DOING: &str = "registering a device";
/// The most provisioning tokens, revoked ones too.
const TOKENS_MAX: usize = 10_000;

/// A token to be added.
#[derive(Clone, Debug)]
pub struct NewProvisioning {
    /// Its name.
    pub name: String,
    /// Of the token.
    pub hash: StoredHash,
    /// A pattern of the devices that it registers.
    pub devices: String,
    /// From when on it does not.
    pub expires_at: Timestamp,
    /// How many devices it registers at most.
    pub uses_max: i32,
}

/// What became of a device that was to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It is, with this secret: by now or before.
    Yes,
    /// The token is not valid any more, or the device has another secret or is revoked.
    No,
}

/// Tokens that are not revoked.
pub(super) async fn valid(client: &Client) -> Result<Vec<ProvisioningRow>, Error> {
    let sql = format!(
        "SELECT {PROVISIONING_COLUMNS} FROM bellwire.access_provisioning \
         WHERE revoked_at IS NULL ORDER BY name LIMIT $1"
    );
    let limit = one_more(TOKENS_MAX);
    let rows = client.query(&sql, &[&limit]).await.map_err(failed("reading credentials"))?;
    all_of("provisioning tokens", TOKENS_MAX, &rows)?;
    rows.iter().map(provisioning).collect()
}

impl AccessStore {
    /// Adds a token; `false` if there is one of this name, revoked or not.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn add_provisioning(
        &self,
        new: &NewProvisioning,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let doing = "adding a provisioning token";
        let sql = "INSERT INTO bellwire.access_provisioning \
                       (name, hash, devices, expires_at, uses_max, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
        let expires_at = at(new.expires_at.as_micros());
        let added = self.run(doing, async |client| {
            change(client, doing, async |_| {
                let hash = &new.hash.0[..];
                let n_rows = client
                    .execute(
                        sql,
                        &[&new.name, &hash, &new.devices, &expires_at, &new.uses_max, &At(now)],
                    )
                    .await
                    .map_err(failed(doing))?;
                Ok((n_rows > 0).then_some(()))
            })
            .await
        });
        Ok(added.await?.is_some())
    }

    /// Revokes a token; `false` if there is none that is not revoked. Devices that it registered stay.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke_provisioning(&self, name: &str, now: Timestamp) -> Result<bool, Error> {
        let doing = "revoking a provisioning token";
        let sql = "UPDATE bellwire.access_provisioning SET revoked_at = $2 \
                   WHERE name = $1 AND revoked_at IS NULL";
        let revoked = self.run(doing, async |client| {
            change(client, doing, async |_| {
                let n_rows =
                    client.execute(sql, &[&name, &At(now)]).await.map_err(failed(doing))?;
                Ok((n_rows > 0).then_some(()))
            })
            .await
        });
        Ok(revoked.await?.is_some())
    }

    /// All tokens, revoked ones too, by name.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn provisioning_tokens(&self) -> Result<Vec<ProvisioningRow>, Error> {
        let doing = "reading provisioning tokens";
        let sql = format!(
            "SELECT {PROVISIONING_COLUMNS} FROM bellwire.access_provisioning \
             ORDER BY name LIMIT $1"
        );
        self.run(doing, async |client| {
            let rows = client.query(&sql, &[&one_more(TOKENS_MAX)]).await.map_err(failed(doing))?;
            all_of("provisioning tokens", TOKENS_MAX, &rows)?;
            rows.iter().map(provisioning).collect()
        })
        .await
    }

    /// Registers `device` with the hash of its own secret, by the provisioning token of this name:
    /// the device and the token's use of it in one transaction. Whether the token's pattern fits is
    /// the caller's to know.
    ///
    /// # Errors
    /// [`Error`]; asked again, the answer is right.
    pub async fn register(
        &self,
        token: &str,
        device: &DeviceId,
        hash: StoredHash,
        now: Timestamp,
    ) -> Result<Registered, Error> {
        let registering = self.run(DOING, async |client| {
            let done = change(client, DOING, async |revision| {
                if !insert(client, token, device, hash, now, revision).await? {
                    return Ok(None);
                }
                Ok(spend(client, token, now).await?.then_some(()))
            });
            if done.await?.is_some() {
                return Ok(Registered::Yes);
            }
            if has(client, device, hash).await? { Ok(Registered::Yes) } else { Ok(Registered::No) }
        });
        registering.await
    }
}

/// Adds the device; `false` if it is there.
async fn insert(
    client: &Client,
    token: &str,
    device: &DeviceId,
    hash: StoredHash,
    now: Timestamp,
    revision: i64,
) -> Result<bool, Error> {
    let sql = "INSERT INTO bellwire.access_account \
                   (name, kind, hash, created_at, provisioned_by, revision) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
    let kind = AccountKind::Device.label();
    let n_rows = client
        .execute(sql, &[&device.as_str(), &kind, &&hash.0[..], &At(now), &token, &revision])
        .await
        .map_err(failed(DOING))?;
    Ok(n_rows > 0)
}

/// Uses the token once; `false` if it is not valid.
async fn spend(client: &Client, token: &str, now: Timestamp) -> Result<bool, Error> {
    let sql = "UPDATE bellwire.access_provisioning SET uses = uses + 1 \
               WHERE name = $1 AND revoked_at IS NULL AND expires_at > $2 AND uses < uses_max";
    let n_rows = client.execute(sql, &[&token, &At(now)]).await.map_err(failed(DOING))?;
    Ok(n_rows > 0)
}

/// Whether the device is registered with this secret: then it asks again for an answer it lost.
async fn has(client: &Client, device: &DeviceId, hash: StoredHash) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT FROM bellwire.access_account \
                              WHERE name = $1 AND kind = $2 AND hash = $3)";
    let kind = AccountKind::Device.label();
    let row = client
        .query_one(sql, &[&device.as_str(), &kind, &&hash.0[..]])
        .await
        .map_err(failed(DOING))?;
    Ok(row.get(0))
}
