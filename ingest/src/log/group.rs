//! The records that share one write and one sync.

use bellwire_model::{Outcome, Receipt, Timestamp};

use super::frame::{InWrite, Seal};
use super::metrics::Metrics;
use super::queue::{Queue, Queued};
use super::record::RecordKind;

/// A group takes no more records beyond this many bytes: it bounds the buffer, and how long the
/// next group waits.
pub(super) const GROUP_BYTES_MAX: u64 = 8 << 20;

/// Encoded frames, and what is owed when they are durable.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) buffer: Vec<u8>,
    receipts: Vec<Receipt>,
    data_cost_bytes: usize,
    control_cost_bytes: usize,
    n_publishes: u64,
    n_records: [u64; RecordKind::ALL.len()],
}

impl Group {
    pub(super) const fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Adds the frame of `queued` at `position`; keeps of it only the receipt.
    pub(super) fn push(
        &mut self,
        queued: Queued,
        seal: &Seal,
        position: u64,
        received_at: Timestamp,
    ) {
        let Queued { entry, cost_bytes } = queued;
        let in_write = if self.is_empty() { InWrite::First } else { InWrite::Later };
        seal.encode(&mut self.buffer, &entry, position, received_at, in_write);
        let kind = entry.kind();
        if kind.is_data() {
            self.data_cost_bytes += cost_bytes as usize;
        } else {
            self.control_cost_bytes += cost_bytes as usize;
        }
        self.n_publishes += entry.n_publishes() as u64;
        self.n_records[kind.index()] += 1;
        self.receipts.extend(entry.receipt);
    }

    /// The group is durable: settles what is owed, gives the room back, counts, and is empty.
    pub(super) fn settle(&mut self, queue: &Queue, metrics: &Metrics) {
        for receipt in self.receipts.drain(..) {
            receipt.settle(Outcome::Durable);
        }
        queue.release(self.data_cost_bytes, self.control_cost_bytes);
        metrics.publishes.inc_by(self.n_publishes);
        metrics.bytes.inc_by(self.bytes());
        metrics.group_records.observe(self.n_records.iter().sum::<u64>() as f64);
        for (kind, n_records) in RecordKind::ALL.into_iter().zip(self.n_records) {
            if n_records > 0 {
                metrics.records(kind).inc_by(n_records);
            }
        }
        self.reset();
    }

    /// The group was not written and will not be: its receipts say retry.
    pub(super) fn abandon(&mut self, queue: &Queue) {
        self.receipts.clear();
        queue.release(self.data_cost_bytes, self.control_cost_bytes);
        self.reset();
    }

    fn reset(&mut self) {
        self.buffer.clear();
        // One huge record must not cost its memory for ever.
        let usual_bytes = 2 * GROUP_BYTES_MAX as usize;
        if self.buffer.capacity() > usual_bytes {
            self.buffer.shrink_to(usual_bytes);
        }
        (self.data_cost_bytes, self.control_cost_bytes, self.n_publishes) = (0, 0, 0);
        self.n_records = [0; RecordKind::ALL.len()];
    }
}
