//! What *judge* and *keep* count; the log counts for itself.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use bellwire_model::{RejectReason, Timestamp};

use crate::group::{Entry, Fate, Group};
use crate::ports::Phase;

/// From 1 ms to 60 s: what people and batches wait for.
const LATENCY_BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Counters and gauges of both readers of the log.
#[derive(Clone, Debug)]
pub struct Metrics {
    judged_publishes: [IntCounter; 3],
    quarantined: Vec<IntCounter>,
    judged_readings: IntCounter,
    transitions: IntCounter,
    judge_latency: Histogram,
    judge_lag: IntGauge,
    kept_readings: IntCounter,
    kept_batches: IntCounter,
    keep_retries: IntCounter,
    keep_from_disk: IntCounter,
    keep_lag: IntGauge,
    keep_seconds: Histogram,
    keep_readings_per_batch: Histogram,
    stored_latency: Histogram,
    snapshots: IntCounter,
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
}

impl Metrics {
    /// Makes them and registers them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let fates = IntCounterVec::new(
            Opts::new(
                "bellwire_judged_publishes_total",
                "Publishes judged, by what became of them.",
            ),
            &["fate"],
        )?;
        let quarantined = IntCounterVec::new(
            Opts::new("bellwire_quarantined_total", "Payloads quarantined, by reason."),
            &["reason"],
        )?;
        registry.register(Box::new(fates.clone()))?;
        registry.register(Box::new(quarantined.clone()))?;
        let counter = |name, help| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let seconds = |name, help, buckets: &[f64]| {
            let histogram = histogram(name, help, buckets)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        Ok(Self {
            judged_publishes: ["stored", "duplicate", "quarantined"]
                .map(|f| fates.with_label_values(&[f])),
            quarantined: RejectReason::ALL
                .iter()
                .map(|r| quarantined.with_label_values(&[r.label()]))
                .collect(),
            judged_readings: counter("bellwire_judged_readings_total", "Readings judged.")?,
            transitions: counter("bellwire_transitions_total", "Alert transitions decided.")?,
            judge_latency: seconds(
                "bellwire_judge_latency_seconds",
                "From receipt to decision, of records with transitions.",
                &LATENCY_BUCKETS,
            )?,
            judge_lag: gauge("bellwire_judge_lag_bytes", "Durable log that is not judged yet.")?,
            kept_readings: counter(
                "bellwire_kept_readings_total",
                "Readings committed to the database.",
            )?,
            kept_batches: counter(
                "bellwire_kept_batches_total",
                "Transactions committed to the database.",
            )?,
            keep_retries: counter(
                "bellwire_keep_retries_total",
                "Batches that must be given to the database again.",
            )?,
            keep_from_disk: counter(
                "bellwire_keep_disk_bytes_total",
                "Log that keep had to read from disk because it was behind.",
            )?,
            keep_lag: gauge(
                "bellwire_keep_lag_bytes",
                "Judged log that is not in the database yet.",
            )?,
            keep_seconds: seconds(
                "bellwire_keep_batch_seconds",
                "Duration of a transaction.",
                &LATENCY_BUCKETS,
            )?,
            keep_readings_per_batch: seconds(
                "bellwire_keep_batch_readings",
                "Readings in a transaction.",
                &[1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0],
            )?,
            stored_latency: seconds(
                "bellwire_stored_latency_seconds",
                "From receipt of a publish to its commit in the database.",
                &LATENCY_BUCKETS,
            )?,
            snapshots: counter("bellwire_snapshots_total", "Snapshots of judge's state written.")?,
        })
    }

    pub(crate) fn judged(&self, group: &Group, phase: Phase, now: Timestamp, lag_bytes: u64) {
        self.judge_lag.set(i64::try_from(lag_bytes).unwrap_or(i64::MAX));
        if phase == Phase::Recovery {
            return;
        }
        let mut fates = [0; 3];
        group.entries.iter().for_each(|entry| fates[slot(entry)] += 1);
        for (counter, n) in self.judged_publishes.iter().zip(fates) {
            counter.inc_by(n);
        }
        for quarantined in &group.quarantined {
            self.quarantined[quarantined.reason as usize].inc();
        }
        self.judged_readings.inc_by(group.output.readings.len() as u64);
        self.transitions.inc_by(group.transitions.len() as u64);
        for transition in &group.transitions {
            self.judge_latency.observe(now.since(transition.received_at).as_secs_f64());
        }
    }

    pub(crate) fn kept(
        &self,
        n_readings: usize,
        entries: &[Entry],
        started: Timestamp,
        now: Timestamp,
    ) {
        self.kept_batches.inc();
        self.kept_readings.inc_by(n_readings as u64);
        self.keep_seconds.observe(now.since(started).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float")]
        self.keep_readings_per_batch.observe(n_readings as f64);
        for entry in entries {
            self.stored_latency.observe(now.since(entry.received_at).as_secs_f64());
        }
    }

    pub(crate) fn keep_lag(&self, lag_bytes: u64) {
        self.keep_lag.set(i64::try_from(lag_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn keep_read_from_disk(&self, n_bytes: u64) {
        self.keep_from_disk.inc_by(n_bytes);
    }

    pub(crate) fn keep_retried(&self) {
        self.keep_retries.inc();
    }

    pub(crate) fn snapshot_written(&self) {
        self.snapshots.inc();
    }
}

const fn slot(entry: &Entry) -> usize {
    match entry.fate {
        Fate::Stored => 0,
        Fate::Duplicate => 1,
        Fate::Quarantined => 2,
    }
}
