//! The gatekeeper of a service with credentials: admits by what is in memory, registers new devices
//! through a port, counts and logs who is refused.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use bellwire_model::{ClientId, Clock};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::acl::Acl;
use super::directory::{Changes, Directory, Reason, Registration, Verdict};
use super::metrics::AccessMetrics;
use super::principal::{Principal, Subject};
use super::{Admission, Gatekeeper, Grant, Hello};
use crate::refusals::{Penalty, Refusals, Say};

/// The longest piece of what a stranger says that a log line has, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// Why a device was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRegistered {
    /// The token does not do it (any more), or the device has another secret.
    Refused,
    /// It cannot be kept now.
    Unavailable,
}

/// Keeps new devices: the port that [`Guard`] needs.
pub trait Registrar: std::fmt::Debug + Send + Sync + 'static {
    /// Keeps a device, or finds it kept with the same secret. Durable when it returns.
    ///
    /// # Errors
    /// [`NotRegistered`].
    ///
    /// # Cancel safety
    /// Dropped, the device may be registered or not: asked again, the answer is right.
    fn register<'a>(
        &'a self,
        registration: &'a Registration,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotRegistered>> + Send + 'a>>;
}

/// Admits clients by the credentials in memory. [`Guard::apply`] puts them there; before the first
/// time nobody is admitted.
#[derive(Debug)]
pub struct Guard {
    directory: RwLock<Directory>,
    refusals: Mutex<Refusals>,
    acl: Arc<Acl>,
    registrar: Arc<dyn Registrar>,
    clock: Arc<dyn Clock>,
    metrics: AccessMetrics,
}

impl Guard {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(
        acl: Arc<Acl>,
        registrar: Arc<dyn Registrar>,
        clock: Arc<dyn Clock>,
        metrics: AccessMetrics,
    ) -> Self {
        Self {
            directory: RwLock::default(),
            refusals: Mutex::new(Refusals::of_connects(Instant::now().into_std())),
            acl,
            registrar,
            clock,
            metrics,
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes changes up. Gives whose connections have to go:
    /// [`BrokerHandle::disconnect`](crate::BrokerHandle::disconnect) closes them.
    #[must_use]
    pub fn apply(&self, changes: Changes) -> Vec<Principal> {
        let mut directory = self.write();
        let gone = directory.apply(changes);
        self.count(&directory);
        gone
    }

    fn count(&self, directory: &Directory) {
        self.metrics.accounts.set(i64::try_from(directory.n_accounts()).unwrap_or(i64::MAX));
    }

    fn judge(&self, hello: &Hello<'_>) -> Verdict {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = &hello.peer.certificate {
            let verdict = directory.judge_certificate(device, hello.user);
            drop(directory);
            return match verdict {
                Verdict::Certified(device) => self.write().certify(&device),
                verdict => verdict,
            };
        }
        match (hello.user, hello.password) {
            (Some(user), Some(password)) => directory.judge(user, password, self.clock.now()),
            _ => Verdict::Refused(Reason::NoCredentials),
        }
    }

    fn grant(&self, subject: Arc<Subject>) -> Grant {
        Grant::ruled(Arc::clone(&self.acl), subject)
    }

    async fn register(&self, hello: &Hello<'_>, registration: Registration) -> Admission {
        match self.registrar.register(&registration).await {
            Ok(()) => {}
            Err(NotRegistered::Refused) => {
                return self.refuse(hello, Reason::ProvisioningRefused).await;
            }
            Err(NotRegistered::Unavailable) => {
                return self.refuse(hello, Reason::Unavailable).await;
            }
        }
        info!(
            device.id = %registration.device, peer = %hello.peer,
            "Registered `{}` by the provisioning token `{}`.", registration.device, registration.token
        );
        let mut directory = self.write();
        directory.add_registered(registration);
        self.count(&directory);
        drop(directory);
        match self.judge(hello) {
            Verdict::Admitted(subject) => Ok(self.grant(subject)),
            // Revoked in the meantime.
            _ => Err(Reason::Revoked.denied()),
        }
    }

    /// Counts and logs a refusal; the answer waits for whoever is refused too often.
    async fn refuse(&self, hello: &Hello<'_>, reason: Reason) -> Admission {
        self.metrics.refused(reason).inc();
        let penalty = self.penalty(hello);
        log(hello, reason, penalty);
        if penalty.delay > Duration::ZERO {
            sleep(penalty.delay).await;
        }
        Err(reason.denied())
    }

    fn penalty(&self, hello: &Hello<'_>) -> Penalty {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.refused(hello.peer.address.ip(), Instant::now().into_std())
    }
}

/// Says who was refused, as far as the log shall hear of it.
fn log(hello: &Hello<'_>, reason: Reason, penalty: Penalty) {
    let client = shown(hello.client.map_or("", ClientId::as_str));
    let user = shown(hello.user.unwrap_or_default());
    let (peer, reason) = (hello.peer.address, reason.label());
    match penalty.say {
        Say::One => info!(
            client.id = %client, %user, %peer, reason,
            "Refused a client as {user} from {peer} ({reason})."
        ),
        Say::Many => warn!(
            client.id = %client, %user, %peer, reason,
            "Refused {} clients from {} within a minute, the last as {user} ({reason}): answers \
             to more of them wait, and are not logged.",
            penalty.n_refused, peer.ip()
        ),
        Say::Nothing => debug!(client.id = %client, %user, %peer, reason, "Refused a client."),
    }
}

/// A piece of what a stranger says, quoted and without control characters.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

impl Gatekeeper for Guard {
    fn admit<'a>(
        &'a self,
        hello: Hello<'a>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>> {
        Box::pin(async move {
            match self.judge(&hello) {
                Verdict::Admitted(subject) => Ok(self.grant(subject)),
                Verdict::Register(registration) => self.register(&hello, registration).await,
                Verdict::Refused(reason) => self.refuse(&hello, reason).await,
                // [`Guard::judge`] has made an entry of it.
                Verdict::Certified(_) => self.refuse(&hello, Reason::Unavailable).await,
            }
        })
    }
}

#[cfg(test)]
mod tests;
