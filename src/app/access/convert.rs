//! Rows of the store's as the broker's accounts. A row that cannot be one admits nobody.

use bellwire_broker::access::{
    Account, DevicePattern, Principal, ProvisioningToken, SecretHash, Standing,
};
use bellwire_model::{DeviceId, ServiceName, Timestamp};
use bellwire_store::{AccountKind, AccountRow, ProvisioningRow};
use tracing::warn;

/// The accounts that `rows` are.
pub(super) fn accounts(rows: &[AccountRow]) -> Vec<Account> {
    let read = |row| {
        let account = account(row);
        if account.is_none() {
            warn!("The account {:?} is none: nobody can use it.", row.name);
        }
        account
    };
    rows.iter().filter_map(read).collect()
}

fn account(row: &AccountRow) -> Option<Account> {
    let principal = match row.kind {
        AccountKind::Device => Principal::Device(DeviceId::new(&row.name).ok()?),
        AccountKind::Service => Principal::Service(ServiceName::new(&row.name).ok()?),
    };
    let patterns = row.speaks_for.iter().map(|it| DevicePattern::new(it));
    let previous = row
        .previous
        .map(|(hash, until)| (SecretHash::from_bytes(hash.0), Timestamp::from_micros(until)));
    Some(Account {
        principal,
        speaks_for: patterns.collect::<Result<_, _>>().ok()?,
        standing: if row.revoked_at.is_some() { Standing::Revoked } else { Standing::Active },
        secret: row.hash.map(|hash| SecretHash::from_bytes(hash.0)),
        previous,
    })
}

/// The tokens that `rows` are.
pub(super) fn provisioning(rows: &[ProvisioningRow]) -> Vec<ProvisioningToken> {
    let read = |row: &ProvisioningRow| {
        Some(ProvisioningToken {
            name: row.name.as_str().into(),
            hash: SecretHash::from_bytes(row.hash.0),
            devices: DevicePattern::new(&row.devices).ok()?,
            expires_at: Timestamp::from_micros(row.expires_at),
            uses_left: u32::try_from(row.uses_max.saturating_sub(row.uses)).unwrap_or(0),
        })
    };
    rows.iter().filter_map(read).collect()
}
