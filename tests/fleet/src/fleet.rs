//! A run of the fleet: its connections made, driven in one task, and added up.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::link::Link;
use crate::load::{Load, Plan};
use crate::pace::Pace;
use crate::source::Source;
use crate::tally::Tally;
use crate::terms::{Ended, LinkSettings, Refill, Shared};
use crate::{
    AckLog, Driver, FleetConfig, FleetError, Histogram, LinkError, Progress, Surroundings, rumqtt,
};

/// How many connections are being made at one time.
const CONNECTING_MAX: usize = 64;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What a run has done.
#[derive(Clone, Debug, Default)]
pub struct FleetReport {
    /// Its counts, and how long it took from when all connections stood to the last
    /// acknowledgement.
    pub progress: Progress,
    /// Per device, what was published and acknowledged.
    pub acks: AckLog,
    /// From a publish's first sending to its acknowledgement.
    pub ack_latency: Histogram,
    /// Connections that ended with publishes on their way.
    pub unsettled: u64,
    /// Connections that gave up because the service was away longer than patience lasts.
    pub gave_up: u64,
}

/// Runs a fleet to its end, all in this one future: give it a task or a thread of its own.
///
/// # Errors
/// [`FleetError::Config`] if a setting makes no sense, [`FleetError::Connect`] if some connection
/// was not made in the first place. A connection lost later is made again; if it cannot be, the
/// report says so.
///
/// # Cancel safety
/// Not cancel safe: the account would be lost. Cancel `surroundings.stop` instead.
pub async fn run(
    config: FleetConfig,
    surroundings: Surroundings,
) -> Result<FleetReport, FleetError> {
    config.check()?;
    let config = FleetConfig { connections: config.connections.min(config.devices), ..config };
    let plan = Plan::new(&config, surroundings.published.clone());
    let loads = (0..config.connections)
        .map(|at| {
            let pace = |rate| Pace::new(rate, config.connections, at, config.in_flight.div_ceil(2));
            Load::new(&config, &plan, at, config.rate.map(pace))
        })
        .collect::<Result<Vec<_>, FleetError>>()?;
    match config.driver {
        Driver::Raw => {
            let settings = (1..).map(|number| raw_settings(&config, number));
            run_connected(settings.zip(loads).collect(), &config.address, &surroundings).await
        }
        Driver::Rumqttc => {
            let shared = Shared::new(&surroundings);
            let running = rumqtt::run(&config, &shared, loads);
            with_progress(running, &shared.tally, &surroundings).await
        }
    }
}

fn raw_settings(config: &FleetConfig, number: u32) -> LinkSettings {
    LinkSettings {
        address: config.address.as_str().into(),
        client_id: client_id(config, number),
        login: config.login.clone(),
        protocol: config.protocol,
        qos: config.qos,
        in_flight: config.in_flight,
        refill: if config.rate.is_some() { Refill::AnyRoom } else { Refill::HalfFree },
        patience: Some(config.patience),
        drain: config.drain,
    }
}

/// Drives connections to their end. All stand before the first publishes, so that a rate is one of
/// the whole fleet.
///
/// # Errors
/// [`FleetError::Connect`] if one of them cannot be made.
pub(crate) async fn run_connected<S: Source>(
    parts: Vec<(LinkSettings, S)>,
    address: &str,
    surroundings: &Surroundings,
) -> Result<FleetReport, FleetError> {
    let shared = Shared::new(surroundings);
    let running = async {
        let mut connecting = futures_util::stream::iter(parts)
            .map(|(settings, source)| {
                let mut link = Link::new(settings, shared.clone(), source);
                async move {
                    let reached = link.reach().await;
                    (link, reached)
                }
            })
            .buffer_unordered(CONNECTING_MAX);
        let mut standing = Vec::new();
        while let Some((link, reached)) = connecting.next().await {
            match reached {
                Ok(stream) => standing.push((link, Some(stream))),
                Err(None) => standing.push((link, None)),
                Err(Some(source)) => {
                    return Err(FleetError::Connect { address: address.to_owned(), source });
                }
            }
        }
        Ok(drive(standing, &shared).await)
    };
    with_progress(running, &shared.tally, surroundings).await
}

/// Drives connections to their end, each beginning at once and publishing when it is connected.
pub(crate) async fn run_unconnected<S: Source>(
    parts: Vec<(LinkSettings, S)>,
    surroundings: &Surroundings,
) -> FleetReport {
    let shared = Shared::new(surroundings);
    let links = parts.into_iter().map(|(settings, source)| {
        let link = Link::new(settings, shared.clone(), source);
        (link, None)
    });
    with_progress(drive(links.collect(), &shared), &shared.tally, surroundings).await
}

/// What a connection calls itself: the device's name if it has one of its own.
pub(crate) fn client_id(config: &FleetConfig, number: u32) -> String {
    if config.connections == config.devices {
        format!("{}-{number:05}", config.prefix)
    } else {
        format!("{}-gateway-{number:05}", config.prefix)
    }
}

/// Runs connections to their end and adds up what they have done.
async fn drive<S: Source>(
    links: Vec<(Link<S>, Option<TcpStream>)>,
    shared: &Shared,
) -> FleetReport {
    let began = shared.moment();
    let mut running: FuturesUnordered<_> = links
        .into_iter()
        .map(|(mut link, stream)| async move {
            link.source_mut().begin(began);
            let ended = link.run(stream).await;
            (link.into_source(), ended)
        })
        .collect();
    let mut report = FleetReport::default();
    while let Some((source, ended)) = running.next().await {
        report.take_in(source, ended);
    }
    report.close(shared, began.instant);
    report
}

impl FleetReport {
    /// Takes in what one connection has done.
    pub(crate) fn take_in(&mut self, source: impl Source, ended: Ended) {
        for (device, acks) in source.into_accounts() {
            self.acks.insert(device, acks);
        }
        match ended {
            Ended::Finished => {}
            Ended::Unsettled => self.unsettled += 1,
            Ended::GaveUp(error) => {
                let error: &LinkError = &error;
                tracing::warn!(%error, "A connection gave up: {error}.");
                self.gave_up += 1;
            }
        }
    }

    /// Takes the counts in at the end of a run that began at `began`.
    pub(crate) fn close(&mut self, shared: &Shared, began: Instant) {
        let mut counts = shared.tally.lock();
        counts.progress.elapsed = began.elapsed();
        self.progress = counts.progress;
        self.ack_latency = std::mem::take(&mut counts.ack_latency);
    }
}

/// Drives a run and tells how it goes, to whoever listens.
async fn with_progress<T>(
    driving: impl Future<Output = T>,
    tally: &Tally,
    surroundings: &Surroundings,
) -> T {
    let Some(listener) = &surroundings.progress else { return driving.await };
    let began = Instant::now();
    let mut driving = std::pin::pin!(driving);
    let mut every = tokio::time::interval(PROGRESS_EVERY);
    let tell = || {
        let progress = Progress { elapsed: began.elapsed(), ..tally.lock().progress };
        listener.send_replace(progress);
    };
    loop {
        tokio::select! {
            result = &mut driving => {
                tell();
                return result;
            }
            _ = every.tick() => tell(),
        }
    }
}
