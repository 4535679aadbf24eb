//! Accounts and provisioning tokens as a table, or as JSON.

use std::borrow::Cow;

use bellwire_model::Timestamp;
use bellwire_store::{AccountKind, AccountRow, ProvisioningRow};
use chrono::DateTime;
use serde_json::{Value, json};

use super::{ListArgs, with};
use crate::care::access::Credentials;
use crate::cli::{EXIT_OK, Failure, print_json};

/// RFC 3339, to the second.
pub(in crate::cli) fn date(micros: i64) -> String {
    let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Text of a name as a terminal may show it.
fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string().into()
    } else {
        text.into()
    }
}

fn state(row: &AccountRow, now: Timestamp) -> &'static str {
    match row {
        AccountRow { revoked_at: Some(_), .. } => "revoked",
        AccountRow { previous: Some((_, until)), .. } if *until > now.as_micros() => "rotating",
        _ => "active",
    }
}

fn account(row: &AccountRow, now: Timestamp) -> Value {
    json!({
        "name": row.name,
        "kind": row.kind.label(),
        "state": state(row, now),
        "gateway_for": row.speaks_for,
        "created_at": date(row.created_at),
        "rotated_at": row.rotated_at.map(date),
        "previous_until": row.previous.map(|(_, until)| date(until)),
        "revoked_at": row.revoked_at.map(date),
        "provisioned_by": row.provisioned_by,
    })
}

pub(super) fn accounts(kind: AccountKind, args: &ListArgs) -> Result<u8, Failure> {
    let (rows, now) = with(&args.common, async |credentials: &Credentials| {
        Ok((credentials.accounts(kind).await?, credentials.now()))
    })?;
    if args.json {
        print_json(&rows.iter().map(|row| account(row, now)).collect::<Vec<_>>())?;
        return Ok(EXIT_OK);
    }
    for row in &rows {
        let gateway = match row.speaks_for.join(" ") {
            patterns if patterns.is_empty() => String::new(),
            patterns => format!("  gateway for {}", plain(&patterns)),
        };
        let (name, state) = (plain(&row.name), state(row, now));
        println!("{name:<32}  {state:<8}  {}{gateway}", date(row.created_at));
    }
    Ok(EXIT_OK)
}

fn token_state(row: &ProvisioningRow, now: Timestamp) -> &'static str {
    match row {
        ProvisioningRow { revoked_at: Some(_), .. } => "revoked",
        _ if row.expires_at <= now.as_micros() => "expired",
        _ if row.uses >= row.uses_max => "used up",
        _ => "active",
    }
}

fn token(row: &ProvisioningRow, now: Timestamp) -> Value {
    json!({
        "name": row.name,
        "state": token_state(row, now),
        "devices": row.devices,
        "uses": row.uses,
        "uses_max": row.uses_max,
        "created_at": date(row.created_at),
        "expires_at": date(row.expires_at),
        "revoked_at": row.revoked_at.map(date),
    })
}

pub(super) fn provisioning(args: &ListArgs) -> Result<u8, Failure> {
    let (rows, now) = with(&args.common, async |credentials: &Credentials| {
        Ok((credentials.provisioning_tokens().await?, credentials.now()))
    })?;
    if args.json {
        print_json(&rows.iter().map(|row| token(row, now)).collect::<Vec<_>>())?;
        return Ok(EXIT_OK);
    }
    for row in &rows {
        let (name, state) = (plain(&row.name), token_state(row, now));
        println!(
            "{name:<32}  {state:<8}  until {}  {} of {} used  {}",
            date(row.expires_at),
            row.uses,
            row.uses_max,
            plain(&row.devices)
        );
    }
    Ok(EXIT_OK)
}
