//! What the store counts about itself.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::shelf::Cleared;

/// Seconds, from a millisecond to half a minute.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How an attempt to write a batch ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// Committed, and we saw it.
    Committed,
    /// Committed, as a later look at the position showed: the answer had been lost.
    FoundCommitted,
    /// To be tried again.
    Transient,
    /// Refused by the database for what is in it.
    Refused,
    /// The database takes none.
    Unusable,
    /// Another writer has the log.
    Fenced,
    /// The database is elsewhere.
    Diverged,
}

impl Ending {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Committed, "committed"),
        (Self::FoundCommitted, "found_committed"),
        (Self::Transient, "transient"),
        (Self::Refused, "refused"),
        (Self::Unusable, "unusable"),
        (Self::Fenced, "fenced"),
        (Self::Diverged, "diverged"),
    ];
}

/// What kind of row was written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowKind {
    Reading,
    Quarantined,
    Transition,
    Ledger,
    Command,
    Audit,
}

/// The API's queries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QueryKind {
    Readings,
    Buckets,
    Devices,
    Alerts,
    Transitions,
    Quarantine,
    Ledger,
    Status,
    Commands,
    Audit,
}

const ROW_KINDS: [&str; 6] = ["reading", "quarantined", "transition", "ledger", "command", "audit"];
const QUERY_KINDS: [&str; 10] = [
    "readings",
    "buckets",
    "devices",
    "alerts",
    "transitions",
    "quarantine",
    "ledger",
    "status",
    "commands",
    "audit",
];

/// What the store counts about itself. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    writes: [IntCounter; 7],
    rows: [IntCounter; 6],
    queries: [Histogram; 10],
    query_errors: [IntCounter; 10],
    pub(crate) write_seconds: Histogram,
    pub(crate) position_bytes: IntGauge,
    pub(crate) connections: IntCounter,
    pub(crate) compacted: IntCounter,
    pub(crate) compact_seconds: Histogram,
    pub(crate) probes: IntCounter,
    cleared: [IntCounter; 2],
    pub(crate) server_starts: IntCounter,
}

impl Metrics {
    /// Makes them known to `registry`.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let writes = IntCounterVec::new(
            Opts::new("bellwire_store_writes_total", "Batches offered to the database, by ending."),
            &["ending"],
        )?;
        let rows = IntCounterVec::new(
            Opts::new("bellwire_store_rows_total", "Rows committed, by kind."),
            &["kind"],
        )?;
        let queries = HistogramVec::new(
            HistogramOpts::new("bellwire_store_query_seconds", "Time of the API's queries.")
                .buckets(SECONDS.to_vec()),
            &["query"],
        )?;
        let query_errors = IntCounterVec::new(
            Opts::new("bellwire_store_query_errors_total", "Queries of the API that failed."),
            &["query"],
        )?;
        let cleared = IntCounterVec::new(
            Opts::new(
                "bellwire_store_quarantine_cleared_total",
                "Quarantined payloads that were dropped, by what they were beyond: age or size.",
            ),
            &["by"],
        )?;
        registry.register(Box::new(cleared.clone()))?;
        registry.register(Box::new(writes.clone()))?;
        registry.register(Box::new(rows.clone()))?;
        registry.register(Box::new(queries.clone()))?;
        registry.register(Box::new(query_errors.clone()))?;
        Ok(Self {
            writes: Ending::ALL.map(|(_, label)| writes.with_label_values(&[label])),
            rows: ROW_KINDS.map(|label| rows.with_label_values(&[label])),
            queries: QUERY_KINDS.map(|label| queries.with_label_values(&[label])),
            query_errors: QUERY_KINDS.map(|label| query_errors.with_label_values(&[label])),
            write_seconds: write_seconds(registry)?,
            position_bytes: position_bytes(registry)?,
            connections: counter(
                registry,
                "bellwire_store_writer_connections_total",
                "Connections the writer has made; more than one means that it lost some.",
            )?,
            compacted: counter(
                registry,
                "bellwire_store_compacted_rows_total",
                "Fresh readings carried over, sorted, to where a device's lie together.",
            )?,
            compact_seconds: compact_seconds(registry)?,
            probes: counter(
                registry,
                "bellwire_store_probes_total",
                "Parts of refused batches tried, and undone, to find what the database refuses.",
            )?,
            cleared: ["age", "size"].map(|label| cleared.with_label_values(&[label])),
            server_starts: counter(
                registry,
                "bellwire_store_server_starts_total",
                "Times the managed PostgreSQL was started.",
            )?,
        })
    }

    pub(crate) fn count_write(&self, ending: Ending) {
        self.writes[ending as usize].inc();
    }

    pub(crate) fn count_cleared(&self, cleared: Cleared) {
        let [by_age, by_size] = &self.cleared;
        by_age.inc_by(cleared.by_age);
        by_size.inc_by(cleared.by_size);
    }

    pub(crate) fn count_rows(&self, kind: RowKind, n_rows: usize) {
        self.rows[kind as usize].inc_by(n_rows as u64);
    }

    pub(crate) fn query(&self, kind: QueryKind) -> (&Histogram, &IntCounter) {
        (&self.queries[kind as usize], &self.query_errors[kind as usize])
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn write_seconds(registry: &Registry) -> Result<Histogram, prometheus::Error> {
    let histogram = Histogram::with_opts(
        HistogramOpts::new("bellwire_store_write_seconds", "Time of each committed transaction.")
            .buckets(SECONDS.to_vec()),
    )?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn compact_seconds(registry: &Registry) -> Result<Histogram, prometheus::Error> {
    let histogram = Histogram::with_opts(
        HistogramOpts::new(
            "bellwire_store_compact_seconds",
            "Time of each run of the compactor that carried readings over.",
        )
        .buckets(SECONDS.to_vec()),
    )?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn position_bytes(registry: &Registry) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(
        "bellwire_store_position_bytes",
        "How far into the log the database is: the position of the last commit.",
    )?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_begins_with_bellwire_and_is_there_from_the_start() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("names are free");
        metrics.count_write(Ending::Diverged);
        let families = registry.gather();
        assert_eq!(families.len(), 12);
        for family in families {
            assert!(family.name().starts_with("bellwire_store_"), "{}", family.name());
            assert!(!family.get_metric().is_empty(), "{}", family.name());
        }
        assert_eq!(metrics.writes[6].get(), 1);
    }
}
