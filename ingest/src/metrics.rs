//! What *judge* and *keep* count; the log counts for itself.

use prometheus::local::LocalHistogram;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use bellwire_model::{RejectReason, Timestamp};

use crate::decode::Span;
use crate::group::{Entry, Fate, Group};
use crate::ports::Phase;

/// From 1 ms to 60 s: what people and batches wait for.
const LATENCY_BUCKETS: [f64; 21] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.007, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075,
    0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// From 100 ms, what a network takes, to a week, what a device may store.
const LATENESS_BUCKETS: [f64; 12] =
    [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];

/// Counters and gauges of both readers of the log.
#[derive(Clone, Debug)]
pub struct Metrics {
    judged_publishes: [IntCounter; 4],
    quarantined: Vec<IntCounter>,
    judged_readings: IntCounter,
    judge_latency: Histogram,
    judge_lag: IntGauge,
    lateness: Histogram,
    skewed: IntGauge,
    clock_steps: IntCounter,
    labels_refused: IntCounter,
    lost: IntCounter,
    keep: KeepMetrics,
    snapshots: IntCounter,
}

/// What *keep* counts.
#[derive(Clone, Debug)]
struct KeepMetrics {
    readings: IntCounter,
    batches: IntCounter,
    retries: IntCounter,
    from_disk: IntCounter,
    lag: IntGauge,
    seconds: Histogram,
    readings_per_batch: Histogram,
    stored_latency: Histogram,
}

impl KeepMetrics {
    fn register(new: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            readings: new
                .counter("bellwire_kept_readings_total", "Readings committed to the database.")?,
            batches: new.counter(
                "bellwire_kept_batches_total",
                "Transactions committed to the database.",
            )?,
            retries: new.counter(
                "bellwire_keep_retries_total",
                "Tries after which a batch must be given to the database again.",
            )?,
            from_disk: new.counter(
                "bellwire_keep_disk_bytes_total",
                "Log that keep had to read from disk because it was behind.",
            )?,
            lag: new
                .gauge("bellwire_keep_lag_bytes", "Judged log that is not in the database yet.")?,
            seconds: new.histogram(
                "bellwire_keep_batch_seconds",
                "Duration of a transaction.",
                &LATENCY_BUCKETS,
            )?,
            readings_per_batch: new.histogram(
                "bellwire_keep_batch_readings",
                "Readings in a transaction.",
                &[1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0],
            )?,
            stored_latency: new.histogram(
                "bellwire_stored_latency_seconds",
                "From receipt of a publish to its commit in the database.",
                &LATENCY_BUCKETS,
            )?,
        })
    }
}

/// Makes metrics and registers each at once.
struct Registrar<'a>(&'a Registry);

impl Registrar<'_> {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        let histogram =
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
        self.0.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }
}

impl Metrics {
    /// Makes them and registers them.
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let new = Registrar(registry);
        let fates = new.counters(
            "bellwire_judged_publishes_total",
            "Publishes judged, by what became of them.",
            "fate",
        )?;
        let quarantined = new.counters(
            "bellwire_quarantined_total",
            "Payloads quarantined, by reason.",
            "reason",
        )?;
        let seconds = |name, help| new.histogram(name, help, &LATENCY_BUCKETS);
        Ok(Self {
            judged_publishes: ["stored", "duplicate", "quarantined", "replayed"]
                .map(|fate| fates.with_label_values(&[fate])),
            quarantined: RejectReason::ALL
                .iter()
                .map(|reason| quarantined.with_label_values(&[reason.label()]))
                .collect(),
            judged_readings: new.counter("bellwire_judged_readings_total", "Readings judged.")?,
            judge_latency: seconds(
                "bellwire_judge_latency_seconds",
                "From receipt to decision, of records with transitions.",
            )?,
            judge_lag: new
                .gauge("bellwire_judge_lag_bytes", "Durable log that is not judged yet.")?,
            lateness: new.histogram(
                "bellwire_ingest_lateness_seconds",
                "From a reading's own time to its receipt, per instant of a payload with a time; \
                 0 if it is ahead.",
                &LATENESS_BUCKETS,
            )?,
            skewed: new.gauge(
                "bellwire_devices_clock_skewed",
                "Devices whose clock is off by more than ingest.time.skew_max_secs.",
            )?,
            clock_steps: new.counter(
                "bellwire_clock_steps_total",
                "Devices' clocks that were found to have been set.",
            )?,
            labels_refused: new.counter(
                "bellwire_registry_refused_total",
                "Changes of labels that were refused: no room, or too often.",
            )?,
            lost: new.counter(
                "bellwire_sparkplug_lost_total",
                "Messages of Sparkplug's edge nodes that were lost, by their counters.",
            )?,
            keep: KeepMetrics::register(&new)?,
            snapshots: new
                .counter("bellwire_snapshots_total", "Snapshots of judge's state written.")?,
        })
    }

    pub(crate) fn judged(&self, group: &Group, phase: Phase, now: Timestamp, lag_bytes: u64) {
        self.judge_lag.set(i64::try_from(lag_bytes).unwrap_or(i64::MAX));
        if phase == Phase::Recovery {
            return;
        }
        let mut fates = [0; 4];
        group.entries.iter().for_each(|entry| fates[slot(entry)] += 1);
        for (counter, n) in self.judged_publishes.iter().zip(fates) {
            counter.inc_by(n);
        }
        for quarantined in &group.quarantined {
            self.quarantined[quarantined.reason as usize].inc();
        }
        self.judged_readings.inc_by(group.output.readings.len() as u64);
        self.clock_steps.inc_by(group.clock_steps);
        self.labels_refused.inc_by(group.n_labels_refused);
        self.lost.inc_by(group.n_lost);
        for transition in &group.transitions {
            self.judge_latency.observe(now.since(transition.received_at).as_secs_f64());
        }
    }

    /// What *judge* counts lateness with.
    pub(crate) fn lateness(&self) -> Lateness {
        Lateness(self.lateness.local())
    }

    pub(crate) fn skewed(&self, n_devices: usize) {
        self.skewed.set(i64::try_from(n_devices).unwrap_or(i64::MAX));
    }

    pub(crate) fn kept(
        &self,
        n_readings: usize,
        entries: &[Entry],
        started: Timestamp,
        now: Timestamp,
    ) {
        self.keep.batches.inc();
        self.keep.readings.inc_by(n_readings as u64);
        self.keep.seconds.observe(now.since(started).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float")]
        self.keep.readings_per_batch.observe(n_readings as f64);
        for entry in entries {
            self.keep.stored_latency.observe(now.since(entry.received_at).as_secs_f64());
        }
    }

    pub(crate) fn keep_lag(&self, lag_bytes: u64) {
        self.keep.lag.set(i64::try_from(lag_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn keep_read_from_disk(&self, n_bytes: u64) {
        self.keep.from_disk.inc_by(n_bytes);
    }

    /// Publishes that the database refused went to quarantine.
    pub(crate) fn keep_quarantined(&self, n_publishes: u64) {
        self.quarantined[RejectReason::RefusedByDatabase as usize].inc_by(n_publishes);
    }

    pub(crate) fn keep_retried(&self) {
        self.keep.retries.inc();
    }

    pub(crate) fn snapshot_written(&self) {
        self.snapshots.inc();
    }
}

/// Counts without atomics, for one thread; [`Lateness::flush`] shows what was counted.
#[derive(Debug)]
pub(crate) struct Lateness(LocalHistogram);

impl Lateness {
    /// Counts the instants of a record; those without a time of their own are at receive time.
    pub(crate) fn observe(&self, received_at: Timestamp, spans: &[Span]) {
        for span in spans.iter().filter(|span| span.at != received_at) {
            self.0.observe(received_at.since(span.at).as_secs_f64());
        }
    }

    pub(crate) fn flush(&self) {
        self.0.flush();
    }
}

const fn slot(entry: &Entry) -> usize {
    match entry.fate {
        Fate::Stored => 0,
        Fate::Duplicate => 1,
        Fate::Quarantined => 2,
        // *Judge* does not know of what the database refuses.
        Fate::Replayed | Fate::Left => 3,
    }
}
