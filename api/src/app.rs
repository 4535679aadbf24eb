//! What every request handler shares.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Clock, DeviceId};
use prometheus::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auditing::Flood;
use crate::auth::gate::Gate;
use crate::auth::within::Scopes;
use crate::config::Config;
use crate::guard::once::Answered;
use crate::guard::rate::Rates;
use crate::live::hub::Hub;
use crate::metrics::Metrics;
use crate::ports::{DeviceInfo, History, PortFuture, Ports};
use crate::problem::Problem;
use crate::request_id::RequestIds;
use crate::sources::Sources;

/// What every request handler shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) hub: Arc<Hub>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tracker: TaskTracker,
    /// Names for requests.
    pub(crate) request_ids: RequestIds,
    /// How many requests each client may make.
    pub(crate) rates: Rates,
    /// What was answered to requests with keys.
    pub(crate) answered: Answered,
    /// No more requests are taken: connections end when what they have begun is done.
    pub(crate) quiet: CancellationToken,
    /// Requests that may change something, until they are answered.
    pub(crate) acting: TaskTracker,
    /// Places for those of them that are being done.
    pub(crate) places: Arc<Semaphore>,
    /// How many connections each source has.
    pub(crate) sources: Arc<Sources>,
    /// The service stops: live clients are told, polls are answered.
    pub(crate) closing: CancellationToken,
    /// How many may query history at once.
    pub(crate) history_gate: Semaphore,
    /// Places for exports.
    pub(crate) exports: Arc<Semaphore>,
    /// Places for charts that are being made.
    pub(crate) charts: Semaphore,
    /// Who may come in; everybody if absent.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Keeps the audit log from being filled by those who are refused.
    pub(crate) flood: Flood,
    /// What there is for whom.
    pub(crate) scopes: Scopes,
}

/// The most exports at once. Each holds one page of 10,000 rows as text: 0.7 MB of numbers, 11 MB
/// if every one is the longest text. Further ones are sent away with 503.
pub(crate) const EXPORTS_MAX: usize = 16;
/// The most charts that are made at once. Each holds one page, and 2.2 MB at most of what it may
/// show. Further ones wait as long as a query of history may take, then get 503.
pub(crate) const CHARTS_MAX: usize = 16;

impl App {
    /// Asks history, within the limits on how many may and for how long.
    ///
    /// # Errors
    /// A problem if it has no answer in time.
    pub(crate) async fn history<'a, T>(
        &'a self,
        ask: impl FnOnce(&'a dyn History) -> PortFuture<'a, T> + Send,
    ) -> Result<T, Problem> {
        let limit = Duration::from_millis(self.config.history_timeout_ms.get());
        let answer = async {
            let permit = self.history_gate.acquire().await;
            let _permit = permit.expect("the gate is never closed");
            ask(&*self.ports.history).await
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Problem::later(
                "history_timeout",
                "The database did not answer in time: ask for less, or later.",
                5,
            )),
        }
    }

    /// A device that is known.
    ///
    /// # Errors
    /// A problem if it is not.
    pub(crate) fn device(&self, device: &DeviceId) -> Result<DeviceInfo, Problem> {
        self.ports.present.device(device).ok_or_else(|| no_such_device(device.as_str()))
    }
}

/// The problem of a device that is not known.
pub(crate) fn no_such_device(name: &str) -> Problem {
    let name: String = name.chars().take(256).collect();
    Problem::not_found("device_not_found", format!("No device {name:?} has ever published."))
}
