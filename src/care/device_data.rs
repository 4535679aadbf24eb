//! What is stored of one device: given out whole, or removed.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use bellwire_model::{DeviceId, Timestamp};
use bellwire_store::{AccountKind, Database, Erased, Exported};

use super::reach::{Reached, unavailable};
use crate::config::Config;

/// A device that was heard within this time is not erased unless one insists: more would come.
const SILENT_FOR: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Writes everything that is stored of `device` to `out`, a JSON object on each line; the last line
/// says that it is whole.
///
/// # Errors
/// If the database is away, the device not known, or `out` takes no more.
pub(crate) async fn export(
    config: &Config,
    data_dir: &Path,
    device: &DeviceId,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Exported> {
    let reached = Reached::open(config, data_dir).await?;
    let exporting = reached.database.export_device(device, |line| -> anyhow::Result<()> {
        out.write_all(line.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    });
    let exported = exporting.await.map_err(sorted);
    reached.close().await;
    let exported = exported?.with_context(|| not_known(device))?;
    let counts: serde_json::Map<_, _> =
        exported.iter().map(|(kind, n)| ((*kind).to_owned(), (*n).into())).collect();
    let end = serde_json::json!({"type": "end", "lines": counts});
    writeln!(out, "{end}").and_then(|()| out.flush()).context("cannot write the last line")?;
    Ok(exported)
}

/// Why a device should not be erased just now; `None` if nothing speaks against it. Nothing does where
/// only what is from `before` the present goes: no more comes of that, and open alerts stay.
///
/// # Errors
/// If the database is away, or the device is not known.
pub(crate) async fn objection(
    config: &Config,
    data_dir: &Path,
    device: &DeviceId,
    before: Option<Timestamp>,
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    let reached = Reached::open(config, data_dir).await?;
    let standing = reached.database.standing(device).await.map_err(unavailable);
    reached.close().await;
    let standing = standing?.with_context(|| not_known(device))?;
    if before.is_some_and(|before| before <= now) {
        return Ok(None);
    }
    if standing.last_seen.is_some_and(|last_seen| now.since(last_seen) < SILENT_FOR) {
        return Ok(Some(format!("`{device}` was heard within the last hour, and more would come")));
    }
    Ok((standing.open_alerts > 0).then(|| format!("`{device}` has open alerts")))
}

/// How much of a device goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// What is from before a midnight in UTC.
    Before(Timestamp),
    /// All that is stored of it.
    Data,
    /// That, and its credentials are revoked as of this moment, before anything goes.
    DataAndCredentials(Timestamp),
}

/// What became of a device's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are not valid any more.
    Revoked,
    /// They were not asked for.
    Kept,
    /// There are none that are valid.
    Absent,
}

impl Fate {
    /// As JSON has it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Kept => "kept",
            Self::Absent => "none",
        }
    }

    /// As a sentence.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Revoked => "Its credentials are revoked.",
            Self::Kept => "Its credentials stay.",
            Self::Absent => "It has no credentials.",
        }
    }
}

/// Removes what is stored of `device`.
///
/// # Errors
/// If the database is away, or the device is not known. Run again, it goes on.
pub(crate) async fn erase(
    config: &Config,
    data_dir: &Path,
    device: &DeviceId,
    extent: Extent,
    progress: impl FnMut(Erased) + Send,
) -> anyhow::Result<(Erased, Fate)> {
    let reached = Reached::open(config, data_dir).await?;
    let erased = erase_in(&reached.database, device, extent, progress).await.map_err(unavailable);
    reached.close().await;
    erased?.with_context(|| not_known(device))
}

async fn erase_in(
    database: &Database,
    device: &DeviceId,
    extent: Extent,
    progress: impl FnMut(Erased) + Send,
) -> Result<Option<(Erased, Fate)>, bellwire_store::Error> {
    if database.standing(device).await?.is_none() {
        return Ok(None);
    }
    let (before, fate) = match extent {
        Extent::Before(before) => (Some(before), Fate::Kept),
        Extent::Data => (None, Fate::Kept),
        Extent::DataAndCredentials(now) => {
            // First, so that little of what is still on its way is left behind.
            let access = database.access();
            let revoked = access.revoke(AccountKind::Device, device.as_str(), now).await?;
            (None, if revoked { Fate::Revoked } else { Fate::Absent })
        }
    };
    let erased = database.erase_device(device, before, progress).await?;
    Ok(erased.map(|erased| (erased, fate)))
}

fn not_known(device: &DeviceId) -> String {
    format!("no device `{device}` is known here")
}

/// An error of the store's with its exit code; one of writing as it is.
fn sorted(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<bellwire_store::Error>() {
        Ok(error) => unavailable(error),
        Err(error) => error,
    }
}

/// Asks on the terminal for the device's name.
///
/// # Errors
/// If it is not given.
pub(crate) fn confirm(device: &DeviceId) -> anyhow::Result<()> {
    eprint!("Everything stored of `{device}` will be gone for good. Type its id to go on: ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if answer.trim() != device.as_str() {
        bail!("nothing was erased");
    }
    Ok(())
}
