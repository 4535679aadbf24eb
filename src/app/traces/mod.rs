//! Traces for OpenTelemetry: what happened goes into a bounded queue, from which one task makes spans and
//! sends them. Without an endpoint there is none of it, and whoever could tell something asks one `Option`.

mod collector;
mod event;
mod exporter;
mod ids;
mod metrics;
mod otlp;
mod spans;
#[cfg(test)]
mod tests;
mod tracer;

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::LogId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Common, Running};
use crate::config::{ConfigError, TracesSection};
use collector::Collector;
use exporter::{Exporter, Mood};
use ids::Sample;
use metrics::Metrics;
pub(super) use tracer::{Tracer, Writes};

/// How long what waits may take to be sent at the end, unless shutdown has less.
const LAST: Duration = Duration::from_secs(3);

/// Traces, if there is somewhere to send them.
#[derive(Debug)]
pub(super) struct Traces {
    running: Option<Running>,
}

impl Traces {
    /// Begins to send them. Nobody waits for the collector.
    ///
    /// # Errors
    /// If what the configuration names cannot be used.
    pub(super) fn start(common: &Common, log: LogId) -> anyhow::Result<(Self, Option<Tracer>)> {
        let metrics = Metrics::register(&common.registry)?;
        let section = &common.config.traces;
        let Some(endpoint) = &section.endpoint else { return Ok((Self { running: None }, None)) };
        let (sender, queue) = mpsc::channel(section.queue_max);
        let collector = Collector::new(section, endpoint, log).map_err(ConfigError::Value)?;
        let clock = Arc::clone(&common.clock);
        let tracer = Tracer::new(sender, Sample::new(section.sample), clock, metrics.clone());
        let address = collector.address();
        let exporter =
            Exporter { queue, collector, log, metrics, spans: Vec::new(), mood: Mood::Well };
        let token = CancellationToken::new();
        let last = LAST.min(common.config.shutdown_grace());
        let task = common.tracker.spawn(exporter.run(token.clone(), last));
        info!("Traces are sent to {address}.");
        Ok((Self { running: Some((token, task)) }, Some(tracer)))
    }

    /// Ends it: what waits gets a few seconds.
    pub(super) async fn stop(self) {
        if let Some(running) = self.running {
            super::finish("sending of traces", running).await;
        }
    }
}

/// Says which file that the section names cannot be used.
///
/// # Errors
/// The first, with its key.
pub(super) fn check_files(section: &TracesSection) -> Result<(), ConfigError> {
    faults(section).next().map_or(Ok(()), Err)
}

/// What is wrong with the files that the section names, each with its key.
pub(super) fn faults(section: &TracesSection) -> impl Iterator<Item = ConfigError> {
    let headers = section.headers_file.as_deref().map(collector::read_headers);
    let headers = headers.and_then(Result::err);
    let authorities =
        section.ca_file.as_deref().map(|path| bellwire_notify::tls::client(Some(path)));
    let authorities = authorities.and_then(Result::err).map(|error| format!("traces.{error}"));
    headers.into_iter().chain(authorities).map(ConfigError::Value)
}
