//! The sessions that outlive connections, as the rest of the service sees them: bytes to write down,
//! and to read again before the first connection comes.

use std::sync::Arc;

use bellwire_model::Timestamp;

use crate::config::Config;
use crate::error::Error;
use crate::hub::{Hub, ImageError};
use crate::metrics::Metrics;

/// Bytes that are no sessions: damaged, or from another version.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SessionsError(#[from] ImageError);

/// All sessions of a broker, and what is retained. Clones are of the same ones.
///
/// What changes them goes to the log as [`Delivery::session`](bellwire_model::Delivery::session).
/// Recovery puts an image in place with [`SharedSessions::restore`], and gives the changes of all
/// deliveries since then, in the log's order, to [`SharedSessions::replay`]; some of them may be in
/// the image already.
#[derive(Clone, Debug)]
pub struct SharedSessions {
    pub(crate) hub: Arc<Hub>,
    pub(crate) metrics: Metrics,
}

impl SharedSessions {
    /// None yet.
    ///
    /// # Errors
    /// Those of [`Config::check`].
    pub fn new(config: &Config, metrics: Metrics) -> Result<Self, Error> {
        let hub = Arc::new(Hub::new(&config.limits()?, metrics.clone()));
        Ok(Self { hub, metrics })
    }

    /// Everything that outlives connections. It has what the log had before the call, and perhaps
    /// more, if every receipt of those records is settled.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        self.hub.image()
    }

    /// Puts an image in place; none is empty.
    ///
    /// # Errors
    /// [`SessionsError`].
    pub fn restore(&self, image: &[u8]) -> Result<(), SessionsError> {
        Ok(self.hub.restore(image)?)
    }

    /// Makes changes again.
    ///
    /// # Errors
    /// [`SessionsError`].
    pub fn replay(&self, changes: &[u8]) -> Result<(), SessionsError> {
        Ok(self.hub.replay(changes)?)
    }

    /// All changes were made again: whoever was connected is away from `now` on.
    pub fn recovered(&self, now: Timestamp) {
        self.hub.recovered(now);
    }

    /// How many sessions there are that outlive their connections.
    #[must_use]
    pub fn n_kept(&self) -> usize {
        self.hub.n_kept()
    }
}
