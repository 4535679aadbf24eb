//! What the log says when a connection ends.

use std::sync::{Mutex, PoisonError};

use bellwire_model::ClientId;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::close::{Close, CloseKind};
use crate::peer::Peer;
use crate::refusals::{Refusals, Say};

/// Says that the connection ended, as loudly as somebody should hear of it, and whose it was. Of
/// closings that come from one place again and again, the log hears the first ones of each minute.
pub(super) fn log(
    close: Close,
    peer: &Peer,
    client: Option<&ClientId>,
    closings: &Mutex<Refusals>,
) {
    let id = client.map_or("", ClientId::as_str);
    let is_quiet = matches!(
        close.kind,
        CloseKind::ClientDisconnected
            | CloseKind::ClientDisconnectedWithWill
            | CloseKind::ClientGone
            | CloseKind::NotAdmitted // Logged by the gatekeeper.
            | CloseKind::SlowReader // Logged by whoever found the mailbox full.
            | CloseKind::ShuttingDown
    );
    if is_quiet {
        debug!(client.id = id, %peer, "Connection of `{id}` ended ({close}).");
        return;
    }
    let mut counted = closings.lock().unwrap_or_else(PoisonError::into_inner);
    let said = counted.refused(peer.address.ip(), Instant::now().into_std());
    drop(counted);
    match (said.say, close.kind) {
        (Say::Nothing, _) => debug!(client.id = id, %peer, "Closing `{id}` ({close})."),
        (Say::One, CloseKind::NotAuthorized | CloseKind::Rejected) => {
            warn!(client.id = id, %peer, "Closing `{id}` ({close}).");
        }
        (Say::One, _) => info!(client.id = id, %peer, "Closing `{id}` ({close})."),
        (Say::Many, _) => info!(
            client.id = id, %peer,
            "Closing `{id}` ({close}), the {}th from {} within a minute: more are not logged.",
            said.n_refused, peer.address.ip()
        ),
    }
}
