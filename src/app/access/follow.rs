//! Takes up what changes in the database's credentials: looks every second for a new revision, which
//! is one row, and reads what is newer. After an outage it reads all of them.

use std::sync::Arc;
use std::time::Duration;

use bellwire_broker::BrokerHandle;
use bellwire_broker::access::{Changes, Guard, Principal, Scope};
use bellwire_store::{AccessChanges, AccessStore};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::convert;
use super::file::{Credentials, CredentialsFile};
use crate::app::reload::Looked;

/// How often it looks: what is revoked is out within two of these.
const EVERY: Duration = Duration::from_secs(1);
/// Of the time, at most one part in so many goes into writing the file, however many devices there are
/// and however often they change.
const WRITES_REST: u32 = 10;

/// Keeps the gatekeeper and the file up to date.
#[derive(Debug)]
pub(super) struct Follower {
    store: Arc<AccessStore>,
    guard: Arc<Guard>,
    file: CredentialsFile,
    known: Credentials,
    /// Up to where the database's changes are known; `None`: read all.
    revision: Option<i64>,
    /// From when on the file may be written again, if it has to be.
    unwritten: Option<Instant>,
    rest_until: Instant,
    is_well: bool,
}

impl Follower {
    pub(super) fn new(store: Arc<AccessStore>, guard: Arc<Guard>, file: CredentialsFile) -> Self {
        Self {
            store,
            guard,
            file,
            known: Credentials::default(),
            revision: None,
            unwritten: None,
            rest_until: Instant::now(),
            is_well: true,
        }
    }

    /// Begins with what the file has, if there is one.
    pub(super) fn load_file(&mut self) {
        match self.file.read() {
            Ok(None) => {}
            Ok(Some(credentials)) => {
                self.known = credentials;
                // Nobody is connected yet.
                let _ = self.guard.apply(self.all());
                self.revision = None;
            }
            Err(error) => warn!(
                %error,
                "Cannot use {}: credentials are known once the database answers.",
                self.file.path().display()
            ),
        }
    }

    /// Whether it has nothing to admit anybody by, neither from the file nor from the database.
    pub(super) fn knows_nobody(&self) -> bool {
        self.revision.is_none() && self.known == Credentials::default()
    }

    fn all(&self) -> Changes {
        let rows: Vec<_> = self.known.accounts.values().cloned().collect();
        Changes {
            scope: Scope::All,
            accounts: convert::accounts(&rows),
            provisioning: convert::provisioning(&self.known.provisioning),
        }
    }

    /// Asks the database once; gives whose connections have to go, and what came of it.
    pub(super) async fn look(&mut self) -> (Vec<Principal>, Looked) {
        match self.store.changes(self.revision).await {
            Ok(None) => {
                self.is_well = true;
                (Vec::new(), Ok(None))
            }
            Ok(Some(changes)) => {
                self.is_well = true;
                self.take(changes)
            }
            Err(error) => {
                // What was changed meanwhile, in another database perhaps, is read whole.
                self.revision = None;
                let away = error.is_transient() || error.is_unavailable();
                if away || !self.is_well {
                    // *Keep* says that the database is away.
                    debug!(error = &error as &dyn std::error::Error, "No news of credentials.");
                } else {
                    self.is_well = false;
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "Changes of credentials are not taken up; those that are known stay valid."
                    );
                }
                let reason = crate::app::chain(&error);
                (Vec::new(), Err(format!("Credentials that are known stay valid: {reason}.")))
            }
        }
    }

    fn take(&mut self, changes: AccessChanges) -> (Vec<Principal>, Looked) {
        let AccessChanges { is_whole, revision, accounts, provisioning } = changes;
        self.revision = Some(revision);
        let scope = if is_whole { Scope::All } else { Scope::Changed };
        let gone = self.guard.apply(Changes {
            scope,
            accounts: convert::accounts(&accounts),
            provisioning: convert::provisioning(&provisioning),
        });
        let mut known = Credentials { accounts: Default::default(), provisioning };
        if !is_whole {
            known.accounts = std::mem::take(&mut self.known.accounts);
        }
        known.accounts.extend(accounts.into_iter().map(|row| (row.name.clone(), row)));
        if is_whole && known == self.known {
            return (gone, Ok(None));
        }
        self.known = known;
        self.unwritten = Some(self.rest_until);
        (gone, Ok(Some(format!("{} accounts", self.known.accounts.len()))))
    }

    /// Goes on until `shutdown`, closing connections that lose their right. Whoever asks for it is told
    /// what a look at once has brought.
    pub(super) async fn run(
        mut self,
        broker: BrokerHandle,
        mut asked: mpsc::Receiver<oneshot::Sender<Looked>>,
        shutdown: CancellationToken,
    ) {
        let mut pulse = interval(EVERY);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asker = tokio::select! {
                () = shutdown.cancelled() => break,
                _ = pulse.tick() => None,
                Some(asker) = asked.recv() => Some(asker),
            };
            if self.unwritten.is_some_and(|from| from <= Instant::now()) {
                self.write().await;
            }
            let (gone, looked) = tokio::select! {
                () = shutdown.cancelled() => break,
                looked = self.look() => looked,
            };
            let n_closed = broker.disconnect(&gone);
            if n_closed > 0 {
                info!("Closed {n_closed} connections: what they came in by is not valid any more.");
            }
            if let Some(asker) = asker {
                // Whoever asked may have gone.
                let _ = asker.send(looked);
            }
            if self.unwritten.is_some_and(|from| from <= Instant::now()) {
                self.write().await;
            }
        }
        if self.unwritten.is_some() {
            self.write().await;
        }
    }

    /// Writes the file.
    async fn write(&mut self) {
        let begun = Instant::now();
        let (file, known) = (self.file.clone(), self.known.clone());
        let written = tokio::task::spawn_blocking(move || file.write(&known)).await;
        self.rest_until = Instant::now() + begun.elapsed() * WRITES_REST;
        self.unwritten = None;
        match written.map_err(std::io::Error::other) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => {
                self.unwritten = Some(self.rest_until.max(Instant::now() + EVERY));
                warn!(
                    %error,
                    "Cannot write {}: a start without the database would know older credentials.",
                    self.file.path().display()
                );
            }
        }
    }
}
