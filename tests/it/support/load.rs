//! A fleet that runs beside a test, and is held against the database when it ends.

use bellwire_fleet::{
    Bound, Driver, Faults, FleetConfig, FleetError, FleetReport, Progress, Protocol, Surroundings,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::service::{PATIENCE, Service, spawn};
use crate::journey::{around, check_audits};

/// Devices that publish until they are told to stop, with things going wrong.
pub(crate) struct Load {
    prefix: String,
    stop: CancellationToken,
    progress: watch::Receiver<Progress>,
    running: JoinHandle<Result<FleetReport, FleetError>>,
}

impl Load {
    /// Begins, with `rate` publishes per second of devices whose names begin with `prefix`.
    pub(crate) fn start(service: &Service, prefix: &str, rate: f64) -> Self {
        Self::run(Self::config(service, prefix, rate))
    }

    /// What such a fleet is.
    pub(crate) fn config(service: &Service, prefix: &str, rate: f64) -> FleetConfig {
        FleetConfig {
            address: service.mqtt(),
            devices: 20,
            connections: 10,
            prefix: prefix.to_owned(),
            driver: Driver::Raw,
            protocol: Protocol::V5,
            rate: Some(rate),
            bound: Bound::Duration(PATIENCE * 100),
            faults: Faults {
                reconnect: 0.0005,
                duplicate: 0.02,
                bad_payload: 0.01,
                ..Faults::default()
            },
            patience: PATIENCE * 2,
            drain: PATIENCE,
            ..FleetConfig::default()
        }
    }

    /// Begins with this fleet.
    pub(crate) fn run(config: FleetConfig) -> Self {
        let prefix = config.prefix.clone();
        let (sender, progress) = watch::channel(Progress::default());
        let around = Surroundings { progress: Some(sender), ..around() };
        let stop = around.stop.clone();
        let running = spawn(bellwire_fleet::run(config, around));
        Self { prefix, stop, progress, running }
    }

    /// How many publishes are acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.progress.borrow().acknowledged
    }

    /// Waits until `n` more publishes are acknowledged than now.
    pub(crate) async fn goes_on(&mut self, n: u64) {
        let end = self.progress.borrow().acknowledged + n;
        let mut enough = end - n;
        while enough < end {
            enough = end.min(enough + 10_000);
            let going = self.progress.wait_for(|progress| progress.acknowledged >= enough);
            timeout(PATIENCE, going).await.expect("publishes are acknowledged").unwrap();
        }
    }

    /// Ends it and holds what it was promised against the database and the accounts.
    pub(crate) async fn finish(self, service: &Service) -> FleetReport {
        self.stop.cancel();
        let report = self.running.await.unwrap().unwrap();
        assert_eq!((report.gave_up, report.unsettled), (0, 0), "everything is acknowledged");
        let url = service.database_url();
        let found = bellwire_fleet::verify_within(&url, &report.acks, PATIENCE).await.unwrap();
        assert!(found.is_exact(), "{found}");
        println!("{found}");
        check_audits(service, &self.prefix, &report).await;
        report
    }
}
