//! Who may come in over MQTT: the gatekeeper with the credentials of the database, which it has in
//! memory and, for starts without the database, in a file.

mod convert;
mod file;
mod follow;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwire_broker::BrokerHandle;
use bellwire_broker::access::{
    AccessMetrics, Acl, Anyone, Gatekeeper, Guard, NotRegistered, OpenDoor, Registrar,
    Registration, rules,
};
use bellwire_model::Clock;
use bellwire_store::{AccessStore, Database, Registered, StoredHash};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::file::CredentialsFile;
use self::follow::Follower;
use super::reload::Looked;
use super::{Common, Running};
use crate::config::ConfigError;

/// How long a start waits for the database's credentials where the file has some: devices wait too.
const PATIENCE: Duration = Duration::from_secs(3);

/// The gatekeeper, and what keeps it up to date.
#[derive(Debug)]
pub(super) struct Door {
    gatekeeper: Arc<dyn Gatekeeper>,
    follower: Option<Follower>,
}

impl Door {
    /// The gatekeeper that the configuration wants, with the credentials that can be had now.
    ///
    /// # Errors
    /// [`ConfigError`] about the rules.
    pub(super) async fn open(common: &Common, database: &Arc<Database>) -> anyhow::Result<Self> {
        let rules = rules(&common.config.acl).map_err(ConfigError::Value)?;
        let metrics = AccessMetrics::register(&common.registry)?;
        if common.config.insecure {
            let gatekeeper: Arc<dyn Gatekeeper> = if rules.is_empty() {
                Arc::new(OpenDoor)
            } else {
                Arc::new(Anyone::under(Arc::new(Acl::open(rules))))
            };
            return Ok(Self { gatekeeper, follower: None });
        }
        let store = Arc::new(database.access());
        let keeper =
            Arc::new(Keeper { store: Arc::clone(&store), clock: Arc::clone(&common.clock) });
        let acl = Arc::new(Acl::strict(rules));
        let guard = Arc::new(Guard::new(acl, keeper, Arc::clone(&common.clock), metrics));
        let file = CredentialsFile::in_dir(&common.data_dir);
        let mut follower = Follower::new(store, Arc::clone(&guard), file);
        follower.load_file();
        // A database that is away is waited for by *keep*; here only as long as devices wait gladly.
        if tokio::time::timeout(PATIENCE, follower.look()).await.is_err() {
            debug!("No credentials from the database yet.");
        }
        if follower.knows_nobody() {
            warn!("No credentials are known until the database answers: no device can connect.");
        }
        Ok(Self { gatekeeper: guard, follower: Some(follower) })
    }

    pub(super) fn gatekeeper(&self) -> Arc<dyn Gatekeeper> {
        Arc::clone(&self.gatekeeper)
    }

    /// From now on changes in the database are taken up, and connections that lose their right are
    /// closed.
    pub(super) fn follow(self, common: &Common, broker: BrokerHandle) -> Option<(Running, Asking)> {
        let follower = self.follower?;
        // Who asks waits for the answer: there is one at a time.
        let (asking, asked) = mpsc::channel(1);
        let token = CancellationToken::new();
        let task = common.tracker.spawn(follower.run(broker, asked, token.clone()));
        Some(((token, task), Asking(asking)))
    }
}

/// Has the credentials read at once.
#[derive(Clone, Debug)]
pub(super) struct Asking(mpsc::Sender<oneshot::Sender<Looked>>);

impl Asking {
    /// Waits until the database has been asked what is new.
    pub(super) async fn look(&self) -> Looked {
        let (answer, answered) = oneshot::channel();
        // Where nobody answers, the service stops.
        match self.0.send(answer).await {
            Ok(()) => answered.await.unwrap_or(Ok(None)),
            Err(_) => Ok(None),
        }
    }
}

/// Keeps new devices in the database.
#[derive(Debug)]
struct Keeper {
    store: Arc<AccessStore>,
    clock: Arc<dyn Clock>,
}

impl Registrar for Keeper {
    fn register<'a>(
        &'a self,
        registration: &'a Registration,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotRegistered>> + Send + 'a>> {
        Box::pin(async move {
            let Registration { token, device, secret } = registration;
            let hash = StoredHash(*secret.as_bytes());
            match self.store.register(token, device, hash, self.clock.now()).await {
                Ok(Registered::Yes) => Ok(()),
                Ok(Registered::No) => Err(NotRegistered::Refused),
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "A device is not registered.");
                    Err(NotRegistered::Unavailable)
                }
            }
        })
    }
}
