//! Credentials as they lie in the tables, and in a file beside them.

use std::fmt;

use bellwire_model::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::Error;
use crate::types::At;

/// SHA-256 of a token; shown as `***`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHash(pub [u8; 32]);

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// A device; a gateway is one that speaks for others.
    Device,
    /// A program that is no device.
    Service,
}

impl AccountKind {
    /// The stable word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Service => "service",
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its name: the user name of CONNECT.
    pub name: String,
    /// What it is for.
    pub kind: AccountKind,
    /// Of a gateway: patterns of the devices that it speaks for.
    pub speaks_for: Vec<String>,
    /// Of its token; `None` if it is revoked.
    pub hash: Option<StoredHash>,
    /// Of the token before, and until when that is valid; microseconds since the Unix epoch.
    pub previous: Option<(StoredHash, i64)>,
    /// When it was made; microseconds since the Unix epoch.
    pub created_at: i64,
    /// When its token was last changed; likewise.
    pub rotated_at: Option<i64>,
    /// When it was revoked; likewise.
    pub revoked_at: Option<i64>,
    /// The provisioning token that registered it.
    pub provisioned_by: Option<String>,
}

/// A provisioning token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisioningRow {
    /// Its name.
    pub name: String,
    /// Of the token.
    pub hash: StoredHash,
    /// A pattern of the devices that it registers.
    pub devices: String,
    /// From when on it does not; microseconds since the Unix epoch.
    pub expires_at: i64,
    /// How many devices it registers at most.
    pub uses_max: i32,
    /// How many it has.
    pub uses: i32,
    /// When it was made; microseconds since the Unix epoch.
    pub created_at: i64,
    /// When it was revoked; likewise.
    pub revoked_at: Option<i64>,
}

fn hash(bytes: Option<&[u8]>) -> Result<Option<StoredHash>, Error> {
    let sized = |bytes: &[u8]| {
        bytes.try_into().map(StoredHash).map_err(|_| Error::Damaged {
            what: "a credential's hash",
            value: format!("{} bytes", bytes.len()),
        })
    };
    bytes.map(sized).transpose()
}

fn micros(At(at): At) -> i64 {
    at.as_micros()
}

/// `micros` as a parameter.
pub(super) const fn at(micros: i64) -> At {
    At(Timestamp::from_micros(micros))
}

/// The columns of [`account`].
pub(super) const ACCOUNT_COLUMNS: &str = "name, kind, speaks_for, hash, previous_hash, \
    previous_until, created_at, rotated_at, revoked_at, provisioned_by";

/// Reads a row of [`ACCOUNT_COLUMNS`].
pub(super) fn account(row: &Row) -> Result<AccountRow, Error> {
    let kind = match row.get(1) {
        "device" => AccountKind::Device,
        "service" => AccountKind::Service,
        other => {
            let value = String::from(other);
            return Err(Error::Damaged { what: "the kind of an account", value });
        }
    };
    let previous_until = row.get::<_, Option<At>>(5).map(micros);
    Ok(AccountRow {
        name: row.get(0),
        kind,
        speaks_for: row.get(2),
        hash: hash(row.get(3))?,
        previous: hash(row.get(4))?.zip(previous_until),
        created_at: micros(row.get(6)),
        rotated_at: row.get::<_, Option<At>>(7).map(micros),
        revoked_at: row.get::<_, Option<At>>(8).map(micros),
        provisioned_by: row.get(9),
    })
}

/// The columns of [`provisioning`].
pub(super) const PROVISIONING_COLUMNS: &str =
    "name, hash, devices, expires_at, uses_max, uses, created_at, revoked_at";

/// Reads a row of [`PROVISIONING_COLUMNS`].
pub(super) fn provisioning(row: &Row) -> Result<ProvisioningRow, Error> {
    let missing = || Error::Damaged { what: "a credential's hash", value: String::new() };
    Ok(ProvisioningRow {
        name: row.get(0),
        hash: hash(row.get(1))?.ok_or_else(missing)?,
        devices: row.get(2),
        expires_at: micros(row.get(3)),
        uses_max: row.get(4),
        uses: row.get(5),
        created_at: micros(row.get(6)),
        revoked_at: row.get::<_, Option<At>>(7).map(micros),
    })
}
