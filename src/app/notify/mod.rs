//! Sending: connects transitions, channels and their files, and shows them to the API.

mod port;
mod source;

use bellwire_api::ports::{Check, HealthStatus};
use bellwire_notify::{Beginning, ChannelState, Handle, Metrics, Notifier, Parts, Place};
use bellwire_notify::{config::ChannelConfig, config::RouteConfig, dispatch::News};
use bellwire_store::Database;
use tokio_util::sync::CancellationToken;

use super::spine::Spine;
use super::{Common, Running};
use crate::config::ConfigError;
pub(super) use port::ChannelPort;
use source::Transitions;

/// The folder of what was told to whom, in the data directory.
const DIR: &str = "outbox";

/// Sending, if there is a channel.
#[derive(Debug)]
pub(super) struct Sending {
    running: Option<Running>,
    handle: Option<Handle>,
}

/// Says which file of a channel cannot be used, before anything starts.
///
/// # Errors
/// The first, with its key.
pub(super) fn check_files(
    channels: &[ChannelConfig],
    routes: &[RouteConfig],
) -> Result<(), ConfigError> {
    bellwire_notify::config::check(channels, routes)
        .and_then(|()| bellwire_notify::config::look(channels))
        .map_err(ConfigError::Value)
}

impl Sending {
    /// Begins to send. Nobody waits for a receiver.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub(super) fn start(
        common: &Common,
        spine: &Spine,
        database: &Database,
    ) -> anyhow::Result<Self> {
        let dir = common.data_dir.join(DIR);
        // Registered in any case: what watches us finds the names.
        let metrics = Metrics::register(&common.registry)?;
        if common.config.channel.is_empty() {
            bellwire_notify::forget(&dir)?;
            return Ok(Self { running: None, handle: None });
        }
        let parts = Parts {
            dir,
            channels: common.config.channel.clone(),
            routes: common.config.route.clone(),
            public_url: common.config.public_url.clone(),
            log: spine.log().id(),
            source: Transitions::new(spine, database.queries()?),
            beginning: beginning(common, spine),
            clock: std::sync::Arc::clone(&common.clock),
            metrics,
            witness: common.tracer.clone().map(|tracer| std::sync::Arc::new(tracer) as _),
        };
        let (notifier, handle) = Notifier::open(parts)?;
        let token = CancellationToken::new();
        let task = common.tracker.spawn(notifier.run(token.clone()));
        Ok(Self { running: Some((token, task)), handle: Some(handle) })
    }

    /// What the API and the health of the service ask.
    pub(super) fn handle(&self) -> Option<Handle> {
        self.handle.clone()
    }

    /// Ends it: what is on its way gets a few seconds.
    pub(super) async fn stop(self) {
        if let Some(running) = self.running {
            super::finish("sending", running).await;
        }
    }
}

/// What fires now, and what comes behind that.
fn beginning(common: &Common, spine: &Spine) -> Beginning {
    let now = common.clock.now();
    let Some((next, alerts)) = spine.hub().present() else {
        return Beginning {
            place: Place { position: spine.log().durable().end, ordinal: 0 },
            alerts: Vec::new(),
        };
    };
    let labelled = source::Labelling::new(spine);
    let alerts =
        alerts.iter().map(|alert| News::now(&labelled.with_labels((**alert).clone()), now));
    Beginning {
        place: Place { position: next.position, ordinal: next.ordinal },
        alerts: alerts.collect(),
    }
}

/// How the channels are, as `/readyz` shows it; nothing if there is none.
pub(super) fn check(handle: Option<&Handle>) -> Option<Check> {
    let handle = handle?;
    let channels = handle.channels();
    let mut faults: Vec<String> = channels
        .iter()
        .filter_map(|channel| {
            let name = &channel.name;
            let why = channel.last_error.as_ref().map_or("", |(_, why)| why);
            match channel.state {
                ChannelState::Idle | ChannelState::Ok => None,
                ChannelState::Failing => Some(format!("`{name}` fails: {why}")),
                ChannelState::Rejecting => Some(format!("`{name}` does not take messages: {why}")),
            }
        })
        .collect();
    faults.extend(handle.unsaved().map(|why| format!("what was told cannot be kept: {why}")));
    let status = if faults.is_empty() { HealthStatus::Ok } else { HealthStatus::Degraded };
    let detail =
        if faults.is_empty() { format!("{} channels", channels.len()) } else { faults.join("; ") };
    Some(Check { name: "channels", status, detail })
}
