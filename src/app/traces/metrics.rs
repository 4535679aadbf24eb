//! What is counted of traces. The names are there without an endpoint too.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) exported: IntCounter,
    /// The queue was full.
    pub(super) queue_full: IntCounter,
    /// The collector did not take it.
    pub(super) refused: IntCounter,
    /// It waited when the service stopped.
    pub(super) stopped: IntCounter,
}

impl Metrics {
    /// # Errors
    /// If one of the names is taken.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let exported =
            IntCounter::new("bellwire_traces_exported_total", "Spans that a collector has taken.")?;
        let dropped = IntCounterVec::new(
            Opts::new(
                "bellwire_traces_dropped_total",
                "Spans that no collector will have, and why: the queue was full, the collector refused \
                 them, or the service stopped.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(exported.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        Ok(Self {
            exported,
            queue_full: dropped.with_label_values(&["queue_full"]),
            refused: dropped.with_label_values(&["refused"]),
            stopped: dropped.with_label_values(&["stopped"]),
        })
    }
}
