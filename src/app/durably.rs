//! Puts records into the log, and waits until they are on disk.

use std::sync::Arc;

use bellwire_ingest::log::{Entry, Log};
use bellwire_model::{Outcome, Receipt};
use tokio::sync::oneshot;

/// A receipt, and what tells its outcome.
pub(super) fn receipt() -> (Receipt, oneshot::Receiver<Outcome>) {
    let (settled, outcome) = oneshot::channel();
    let receipt = Receipt::new(move |outcome| {
        // Whoever waited may have gone.
        let _ = settled.send(outcome);
    });
    (receipt, outcome)
}

/// Puts a record into the log; returns when it is durable.
///
/// # Errors
/// If the log has ended.
pub(super) async fn append(log: &Arc<dyn Log>, entry: Entry) -> anyhow::Result<()> {
    let (receipt, outcome) = receipt();
    log.append(entry.with_receipt(receipt)).await;
    match outcome.await {
        Ok(Outcome::Durable) => Ok(()),
        Ok(Outcome::Retry | Outcome::Rejected) | Err(_) => anyhow::bail!("the log has ended"),
    }
}
