//! Counts a connection that is not read from, as long as that lasts.

use prometheus::IntGauge;

/// One connection in a gauge; dropped, it is out of it.
#[derive(Debug)]
pub(super) struct Held(IntGauge);

impl Held {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
