//! Database → log: payloads from quarantine that can be read now are records once more; and what a payload
//! would come to under other mappings.
//!
//! It is tried first what would come of each, so that the log gets only what leaves quarantine. *Judge*
//! decides all the same: a payload that was replayed meanwhile comes to nothing.

use std::sync::Arc;
use std::time::Duration;

use bellwire_api::ports::{
    Left, LeftReason, MappingMistake, MappingTrial, QuarantineQuery, ReplayMode, Replayed, Shelf,
    ShelfError, ShelfFuture, TrialReading, TriedMapping,
};
use bellwire_ingest::log::{Entry, Log, Replay};
use bellwire_ingest::mapping::{MappingError, Mappings};
use bellwire_ingest::policy::SharedTerms;
use bellwire_ingest::replay::try_replay;
use bellwire_ingest::trial::{self, Reader, TriedReading};
use bellwire_model::{LogPosition, Outcome};
use bellwire_store::{QuarantineRow, Queries};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{durably, history};

/// How long a client waits for room in the log, and for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads quarantined payloads again.
#[derive(Debug)]
pub(super) struct Replayer {
    queries: Queries,
    log: Arc<dyn Log>,
    terms: SharedTerms,
}

impl Replayer {
    /// One that takes payloads from `queries` and gives them to `log`, if they can be read by the
    /// latest of `terms`.
    pub(super) fn new(queries: Queries, log: Arc<dyn Log>, terms: &SharedTerms) -> Self {
        Self { queries, log, terms: terms.clone() }
    }

    async fn run(&self, query: QuarantineQuery, mode: ReplayMode) -> Result<Replayed, ShelfError> {
        let page = history::quarantine_page(&self.queries, query).await?;
        let mut done = Replayed { next: page.next, ..Replayed::default() };
        let mut pending = Vec::new();
        // In the order they came.
        for row in page.rows.into_iter().rev() {
            match self.read(row) {
                Ok((replay, n_readings)) => {
                    done.n_payloads += 1;
                    done.n_readings += u64::from(n_readings);
                    if mode == ReplayMode::Replay {
                        pending.push(self.append(&replay).await?);
                    }
                }
                Err(left) => done.left.push(*left),
            }
        }
        for outcome in pending {
            match timeout(PATIENCE, outcome).await {
                Ok(Ok(Outcome::Durable)) => {}
                _ => return Err(ShelfError::Later),
            }
        }
        Ok(done)
    }

    /// A payload that can be read, and how many readings that would store.
    fn read(&self, row: QuarantineRow) -> Result<(Replay, u32), Box<Left>> {
        let QuarantineRow { log, seen_at, quarantined } = row;
        let left = |quarantined, reason| Box::new(Left { quarantined, reason });
        if log != self.log.id() {
            return Err(left(quarantined, LeftReason::AnotherLog));
        }
        let Some(kept) = quarantined.kept.clone() else {
            return Err(left(quarantined, LeftReason::NotNoted));
        };
        let replay = Replay {
            seen_at,
            place: (quarantined.position, quarantined.ordinal),
            received_at: quarantined.received_at,
            device: quarantined.device.clone(),
            kept,
            topic: quarantined.topic.clone(),
            payload: quarantined.payload.clone(),
        };
        let terms = self.terms.at(LogPosition(u64::MAX));
        match try_replay(&replay, &terms, self.terms.nodes()) {
            Ok(n_readings) => Ok((replay, n_readings)),
            Err(fault) => {
                let reason = LeftReason::Unreadable { reason: fault.reason, detail: fault.detail };
                Err(left(quarantined, reason))
            }
        }
    }

    async fn append(&self, replay: &Replay) -> Result<oneshot::Receiver<Outcome>, ShelfError> {
        let (receipt, outcome) = durably::receipt();
        let entry = Entry::replay(replay).with_receipt(receipt);
        timeout(PATIENCE, self.log.append(entry)).await.map_err(|_| ShelfError::Later)?;
        Ok(outcome)
    }
}

impl Shelf for Replayer {
    fn replay(&self, query: QuarantineQuery, mode: ReplayMode) -> ShelfFuture<'_> {
        Box::pin(self.run(query, mode))
    }

    fn try_mapping(&self, wanted: &MappingTrial) -> Result<TriedMapping, Vec<MappingMistake>> {
        let terms = self.terms.at(LogPosition(u64::MAX));
        let mappings = match &wanted.toml {
            None => terms.mappings,
            Some(text) => Mappings::parse(text)
                .map(Arc::new)
                .map_err(|errors| errors.into_iter().map(mistake).collect::<Vec<_>>())?,
        };
        let publish = (&*wanted.topic, &*wanted.payload);
        let tried = trial::try_publish(&mappings, terms.policy, publish, wanted.received_at);
        Ok(TriedMapping {
            read_by: match tried.reader {
                Reader::Nobody => None,
                Reader::Builtin => Some("built in".to_owned()),
                Reader::Mapping(pattern) => Some(pattern),
            },
            readings: tried.readings.into_iter().map(reading).collect(),
            presence: tried.presence,
            labels: tried.labels,
            fault: tried.fault.map(|fault| (fault.reason, fault.detail)),
        })
    }
}

fn mistake(MappingError { line, column, message, help }: MappingError) -> MappingMistake {
    MappingMistake { line, column, message, help }
}

fn reading(TriedReading { device, metric, at, value, .. }: TriedReading) -> TrialReading {
    TrialReading { device, metric, at, value }
}
