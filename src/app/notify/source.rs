//! Transitions for sending: the database's up to where the journal begins, then the journal's. While the
//! database is away, what only it has is waited for, never passed over.

use std::sync::Arc;

use bellwire_api::ports::Place as ApiPlace;
use bellwire_ingest::journal::{Follower, Journal};
use bellwire_model::{Alert, DeviceId, LogId, SharedRegistry, Transition};
use bellwire_notify::{Place, Source, SourceError};
use bellwire_store::{Error, Queries};
use tokio::sync::watch;

use super::super::rules::SharedRules;
use super::super::spine::Spine;

/// Where transitions come from.
#[derive(Debug)]
pub(super) struct Transitions {
    log: LogId,
    journal: Arc<Journal>,
    follower: Follower,
    queries: Queries,
    labelling: Labelling,
    rung: watch::Receiver<()>,
}

impl Transitions {
    pub(super) fn new(spine: &Spine, queries: Queries) -> Self {
        Self {
            log: spine.log().id(),
            journal: spine.journal(),
            follower: Follower::default(),
            queries,
            labelling: Labelling::new(spine),
            rung: spine.transitions(),
        }
    }

    /// What lies before the journal's beginning.
    async fn before(
        &self,
        from: ApiPlace,
        begin: ApiPlace,
        limit: usize,
    ) -> Result<Vec<Transition>, SourceError> {
        match self.queries.transitions_after(from.cursor(self.log), limit).await {
            Ok(Some(mut rows)) => {
                rows.retain(|transition| ApiPlace::of(transition) < begin);
                Ok(rows)
            }
            // A database that does not know this log is not the one that has them.
            Ok(None) => Err(SourceError::Away),
            Err(error) => Err(source_error(error)),
        }
    }

    /// The journal's; `None` if it has been trimmed beyond `from`.
    async fn newer(
        &mut self,
        from: ApiPlace,
        limit: usize,
    ) -> Result<Option<Vec<Transition>>, SourceError> {
        let journal = Arc::clone(&self.journal);
        let mut follower = std::mem::take(&mut self.follower);
        let reading = tokio::task::spawn_blocking(move || {
            let found = journal.follow(&mut follower, (from.position, from.ordinal), limit);
            (follower, found)
        });
        let (follower, found) = reading.await.map_err(|error| SourceError::Failed(error.into()))?;
        self.follower = follower;
        found.map_err(|error| SourceError::Failed(error.into()))
    }
}

fn source_error(error: Error) -> SourceError {
    if error.is_transient() || error.is_unavailable() {
        SourceError::Away
    } else {
        SourceError::Failed(error.into())
    }
}

impl Source for Transitions {
    async fn read(&mut self, from: Place, limit: usize) -> Result<Vec<Transition>, SourceError> {
        let from = ApiPlace { position: from.position, ordinal: from.ordinal };
        loop {
            let begin = ApiPlace { position: self.journal.begin(), ordinal: 0 };
            let mut found = Vec::new();
            if from < begin {
                found = self.before(from, begin, limit).await?;
            }
            if found.len() < limit {
                let newer = self.newer(from.max(begin), limit - found.len()).await?;
                let Some(newer) = newer else { continue };
                found.extend(newer);
            }
            for transition in &mut found {
                let alert = transition.alert.clone();
                transition.alert = self.labelling.with_labels(alert);
            }
            return Ok(found);
        }
    }

    async fn changed(&mut self) {
        if self.rung.changed().await.is_err() {
            // Judge has ended: there will be no more.
            std::future::pending::<()>().await;
        }
    }
}

/// Gives alerts their device's labels where they come without.
#[derive(Debug)]
pub(super) struct Labelling {
    rules: SharedRules,
    registry: SharedRegistry,
}

impl Labelling {
    pub(super) fn new(spine: &Spine) -> Self {
        Self { rules: spine.rules(), registry: spine.registry().clone() }
    }

    pub(super) fn with_labels(&self, mut alert: Alert) -> Alert {
        if alert.labels.is_none()
            && let Ok(device) = DeviceId::new(alert.device.as_str())
        {
            let labels = self.rules.load().labels_of(&device, &self.registry.read());
            alert.labels = Some(Arc::new(labels));
        }
        alert
    }
}
