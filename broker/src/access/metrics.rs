//! What is counted about who comes in.

use prometheus::{
    IntCounter, IntGauge, Opts, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};

use super::directory::Reason;

/// Counters of admission; clones count into the same ones.
#[derive(Clone, Debug)]
pub struct AccessMetrics {
    pub(super) accounts: IntGauge,
    refused: Vec<IntCounter>,
}

impl AccessMetrics {
    /// Makes the metrics and adds them to `registry`.
    ///
    /// # Errors
    /// If `registry` has one of the names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused = register_int_counter_vec_with_registry!(
            Opts::new(
                "bellwire_mqtt_connects_refused_total",
                "CONNECT packets refused because of who sent them, by why."
            ),
            &["reason"],
            registry
        )?;
        let accounts = register_int_gauge_with_registry!(
            "bellwire_access_accounts",
            "Devices and service accounts with credentials, revoked ones included.",
            registry
        )?;
        let refused =
            Reason::ALL.map(|reason| refused.with_label_values(&[reason.label()])).to_vec();
        Ok(Self { accounts, refused })
    }

    /// The counter of CONNECTs refused like this.
    pub(super) fn refused(&self, reason: Reason) -> &IntCounter {
        &self.refused[reason as usize]
    }
}
