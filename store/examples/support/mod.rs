//! What the benches share.

use bellwire_model::{DeviceId, MetricName, SharedNames};

/// What can go wrong, whatever it is.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The names `device-0…` and `metric-0…`.
pub(crate) fn names(n_devices: u32, n_metrics: u32) -> SharedNames {
    let names = SharedNames::default();
    names.write(|names| {
        for n in 0..n_devices {
            let id = DeviceId::new(&format!("device-{n}")).expect("a valid name");
            names.add_device(&id).expect("room for it");
        }
        for n in 0..n_metrics {
            let name = MetricName::new(&format!("metric-{n}")).expect("a valid name");
            names.add_metric(&name).expect("room for it");
        }
    });
    names
}
