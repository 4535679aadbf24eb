//! Measuring the service from outside: as another process, by its own metrics, on a screen.

pub(crate) mod child;
pub(crate) mod crowd;
pub(crate) mod mosquitto;
pub(crate) mod process;
pub(crate) mod rumqttd;
pub(crate) mod scrape;
pub(crate) mod screen;

use std::time::Duration;

/// Milliseconds with microseconds behind the point.
#[must_use]
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The two quantiles that people ask for, in milliseconds.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Quantiles {
    /// Half are no longer than this.
    pub(crate) p50: f64,
    /// 99 of 100 are no longer than this.
    pub(crate) p99: f64,
}

impl Quantiles {
    /// Of a histogram; absent if it is empty.
    #[must_use]
    pub(crate) fn of(histogram: &bellwire_fleet::Histogram) -> Option<Self> {
        let at = |per_mille| histogram.quantile(per_mille).map(millis);
        Some(Self { p50: at(500)?, p99: at(990)? })
    }
}
