//! What the log says when a connection ends.

use bellwire_model::ClientId;
use tracing::{debug, info, warn};

use crate::close::{Close, CloseKind};
use crate::peer::Peer;

/// Says that the connection ended, as loudly as somebody should hear of it, and whose it was.
pub(super) fn log(close: Close, peer: &Peer, client: Option<&ClientId>) {
    let id = client.map_or("", ClientId::as_str);
    match close.kind {
        CloseKind::ClientDisconnected
        | CloseKind::ClientDisconnectedWithWill
        | CloseKind::ClientGone
        | CloseKind::NotAdmitted // Logged by the gatekeeper.
        | CloseKind::SlowReader // Logged by whoever found the mailbox full.
        | CloseKind::ShuttingDown => {
            debug!(client.id = id, %peer, "Connection of `{id}` ended ({close}).");
        }
        CloseKind::NotAuthorized | CloseKind::Rejected => {
            warn!(client.id = id, %peer, "Closing `{id}` ({close}).");
        }
        _ => info!(client.id = id, %peer, "Closing `{id}` ({close})."),
    }
}
