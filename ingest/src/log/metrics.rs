//! What the log counts of itself.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::Held;
use super::record::RecordKind;

/// The log's metrics; clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    records: [IntCounter; RecordKind::ALL.len()],
    /// `bellwire_log_appended_publishes_total`: publishes made durable.
    pub publishes: IntCounter,
    /// `bellwire_log_appended_bytes_total`: bytes of frames made durable.
    pub bytes: IntCounter,
    /// `bellwire_log_rejected_records_total`: records too long to be taken.
    pub rejected: IntCounter,
    /// `bellwire_log_group_records`: records that shared a sync.
    pub group_records: Histogram,
    /// `bellwire_log_sync_seconds`: duration of an fdatasync.
    pub sync_seconds: Histogram,
    /// `bellwire_log_queue_bytes`: bytes in memory on their way to the disk.
    pub queue_bytes: IntGauge,
    /// `bellwire_log_bytes`: bytes of records on disk.
    pub log_bytes: IntGauge,
    /// `bellwire_log_bytes_max`: how many there may be.
    pub log_bytes_max: IntGauge,
    /// `bellwire_log_disk_free_bytes`: free on the log's disk, as of the last look.
    pub disk_free_bytes: IntGauge,
    /// `bellwire_log_segments`: segment files.
    pub segments: IntGauge,
    /// `bellwire_log_recovery_cut_bytes`: bytes cut off the end at start-up.
    pub recovery_cut_bytes: IntGauge,
    held: [IntGauge; 3],
}

impl Metrics {
    /// Makes the metrics and adds them to `registry`.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let records = IntCounterVec::new(
            Opts::new("bellwire_log_appended_records_total", "Records made durable."),
            &["kind"],
        )?;
        registry.register(Box::new(records.clone()))?;
        let held = IntGaugeVec::new(
            Opts::new("bellwire_log_held", "1 beside what holds appends back at present."),
            &["reason"],
        )?;
        registry.register(Box::new(held.clone()))?;
        let gauge = |name, help| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name, help| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let histogram = |name, help, buckets| -> Result<Histogram, prometheus::Error> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let metrics = Self {
            records: RecordKind::ALL.map(|kind| records.with_label_values(&[kind.label()])),
            publishes: counter("bellwire_log_appended_publishes_total", "Publishes made durable.")?,
            bytes: counter("bellwire_log_appended_bytes_total", "Bytes of frames made durable.")?,
            rejected: counter(
                "bellwire_log_rejected_records_total",
                "Records too long for the log.",
            )?,
            group_records: histogram(
                "bellwire_log_group_records",
                "Records that shared one sync.",
                prometheus::exponential_buckets(1.0, 4.0, 9)?,
            )?,
            sync_seconds: histogram(
                "bellwire_log_sync_seconds",
                "Duration of an fdatasync.",
                SYNC_BUCKETS_SECONDS.to_vec(),
            )?,
            queue_bytes: gauge(
                "bellwire_log_queue_bytes",
                "Bytes in memory on their way to the disk.",
            )?,
            log_bytes: gauge("bellwire_log_bytes", "Bytes of records on disk.")?,
            log_bytes_max: gauge(
                "bellwire_log_bytes_max",
                "Bytes of records on disk at which devices are held back.",
            )?,
            disk_free_bytes: gauge(
                "bellwire_log_disk_free_bytes",
                "Bytes free on the log's disk, looked up once a second while something comes in; 0 before.",
            )?,
            segments: gauge("bellwire_log_segments", "Segment files of the log.")?,
            recovery_cut_bytes: gauge(
                "bellwire_log_recovery_cut_bytes",
                "Bytes cut off the log's end at start-up: a write that was never acknowledged.",
            )?,
            held: ["none", "full", "disk"].map(|reason| held.with_label_values(&[reason])),
        };
        metrics.set_held(None);
        Ok(metrics)
    }

    /// The counter of records of `kind`.
    #[must_use]
    pub fn records(&self, kind: RecordKind) -> &IntCounter {
        &self.records[kind.index()]
    }

    pub(super) fn set_held(&self, held: Option<Held>) {
        for (gauge, reason) in self.held.iter().zip([None, Some(Held::Full), Some(Held::Disk)]) {
            gauge.set(i64::from(reason == held));
        }
    }
}

/// From a fast NVMe's fdatasync to a disk that is about to fail.
const SYNC_BUCKETS_SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_5, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 5.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_there_from_the_start() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("fresh registry");
        metrics.records(RecordKind::Rules).inc();
        let families = registry.gather();
        let n_children = |name: &str| {
            families.iter().find(|family| family.name() == name).map(|f| f.get_metric().len())
        };
        let n_kinds = RecordKind::ALL.len();
        assert_eq!(n_children("bellwire_log_appended_records_total"), Some(n_kinds));
        assert_eq!(n_children("bellwire_log_held"), Some(3));
        assert!(Metrics::register(&registry).is_err());
    }
}
