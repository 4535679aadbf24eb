//! Devices that come and go → log: a record for each change, so that rules, operators and the database
//! learn of it in one order.
//!
//! What the log said before a restart stands for [`GRACE`]: a device that comes back within it was
//! never away. A service that stops writes nothing: it is not the devices that have gone.

use std::sync::Arc;
use std::time::Duration;

use bellwire_broker::Presences;
use bellwire_ingest::log::{Entry, Log};
use bellwire_ingest::present::SharedPresent;
use bellwire_model::{DeviceId, Presence, SharedNames};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long devices have to come back after a restart.
const GRACE: Duration = Duration::from_secs(60);

/// What is known of devices, and where changes go.
#[derive(Debug)]
pub(super) struct Parts {
    /// Who is connected.
    pub(super) presences: Arc<Presences>,
    /// Who was there, as the log says.
    pub(super) present: SharedPresent,
    /// Their names.
    pub(super) names: SharedNames,
    /// Where changes go.
    pub(super) log: Arc<dyn Log>,
}

/// The task that follows; ends when dropped.
#[derive(Debug)]
pub(super) struct Following {
    closing: CancellationToken,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// Follows who comes and goes.
pub(super) fn follow(parts: Parts, tracker: &TaskTracker) -> Following {
    let closing = CancellationToken::new();
    tracker.spawn(run(parts, closing.clone()));
    Following { closing }
}

async fn run(parts: Parts, closing: CancellationToken) {
    let mut were_online = parts.online();
    let end_of_grace = Instant::now() + GRACE;
    loop {
        let changes = tokio::select! {
            () = closing.cancelled() => return,
            () = sleep_until(end_of_grace), if !were_online.is_empty() => {
                not_back(std::mem::take(&mut were_online), |device| parts.presences.of(device))
            }
            changes = parts.presences.changes() => changes,
        };
        for some in changes.chunks(Entry::PRESENCES_MAX) {
            // A control record: it has its room also while the log holds the sockets.
            parts.log.append(Entry::presence(some)).await;
        }
    }
}

/// Those of `were_online` that are not there now.
fn not_back(
    were_online: Vec<DeviceId>,
    now: impl Fn(&DeviceId) -> Presence,
) -> Vec<(DeviceId, Presence)> {
    let all = were_online.into_iter().map(|device| (now(&device), device));
    all.filter(|(now, _)| !now.is_online()).map(|(now, device)| (device, now)).collect()
}

impl Parts {
    /// The devices that were connected when the service stopped. Of those that others speak for, as
    /// gateways do, no connection says whether they are there.
    fn online(&self) -> Vec<DeviceId> {
        let names = self.names.read();
        self.present.with(|present| {
            let online = present.devices().filter(|(_, device)| device.is_connected);
            online.map(|(key, _)| names.device(key).clone()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_back_was_never_away() {
        let device = |name: &str| DeviceId::new(name).unwrap();
        let were_online = vec![device("a"), device("b"), device("c")];
        let now = |device: &DeviceId| Presence::from(device.as_str() == "b");
        let gone = [(device("a"), Presence::Offline), (device("c"), Presence::Offline)];
        assert_eq!(not_back(were_online, now), gone);
    }
}
