//! Who may come in, and what they may do then.
//!
//! The [`Gatekeeper`] is the port: it knows the credentials, and answers a CONNECT with a [`Grant`]
//! or with why not. What a grant allows is decided here, without asking anyone.
//!
//! [`Guard`] is the gatekeeper of a service with credentials, [`Anyone`] and [`OpenDoor`] are those of
//! one without. What a client may do is the business of the [`Acl`], for the [`Principal`] that it is.

mod acl;
mod contain;
mod directory;
mod entry;
mod glob;
mod guard;
mod metrics;
mod pattern;
mod principal;
mod secret;
#[cfg(test)]
mod table;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bellwire_model::{ClientId, DeviceId, TopicFilter};

pub use self::acl::{Acl, Action, Effect, Rule, Who};
pub use self::directory::{
    Account, Changes, ProvisioningToken, Registration, SECRET_BYTES_MIN, Scope, Standing,
};
pub use self::entry::{AclAction, AclEntry, rules};
pub use self::glob::{DevicePattern, NoDevicePattern};
pub use self::guard::{Guard, NotRegistered, Registrar};
pub use self::metrics::AccessMetrics;
pub use self::pattern::{NoTopicPattern, TopicPattern};
pub use self::principal::Principal;
use self::principal::Subject;
pub use self::secret::{SecretHash, Token, TokenKind};
use crate::peer::Peer;

/// What a client says of itself when it connects.
#[derive(Clone, Copy)]
pub struct Hello<'a> {
    /// Its client identifier; `None` if it asks for one.
    pub client: Option<&'a ClientId>,
    /// The user name.
    pub user: Option<&'a str>,
    /// The password: never logged.
    pub password: Option<&'a [u8]>,
    /// Where it comes from.
    pub peer: &'a Peer,
}

impl fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("client", &self.client)
            .field("user", &self.user)
            .field("password", &self.password.map(|_| "***"))
            .field("peer", &self.peer)
            .finish()
    }
}

/// Why a client may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The user is not known, or the password is not his. MQTT 3.1.1: 4, MQTT 5: 0x86.
    BadCredentials,
    /// He is who he says, and may not connect like this. MQTT 3.1.1: 5, MQTT 5: 0x87.
    NotAuthorized,
    /// It cannot be said now. MQTT 3.1.1: 3, MQTT 5: 0x88.
    Unavailable,
}

/// The answer of a [`Gatekeeper`].
pub type Admission = Result<Grant, Denied>;

/// Knows who may come in: the port this room needs.
pub trait Gatekeeper: fmt::Debug + Send + Sync + 'static {
    /// Decides about a CONNECT. Mostly it is ready at once.
    ///
    /// # Cancel safety
    /// Dropped when the connection ends meanwhile.
    fn admit<'a>(
        &'a self,
        hello: Hello<'a>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>>;
}

/// What the rules say of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribing {
    /// It may be.
    Allowed,
    /// It can match a topic of which no rule speaks, and what no rule speaks of is denied. SUBACK of
    /// MQTT 5: 0x87.
    NotAuthorized,
    /// Rules deny all that it can match. SUBACK of MQTT 5: 0x80, "the Server either does not wish to
    /// reveal the reason or none of the other Reason Codes apply" (3.9.3).
    Denied,
}

/// What an admitted client may do; quick to clone.
#[derive(Clone, Debug)]
pub struct Grant(Rights);

#[derive(Clone, Debug)]
enum Rights {
    Everything,
    Ruled { acl: Arc<Acl>, subject: Arc<Subject> },
}

impl Grant {
    /// Everything: for who needs no credentials.
    #[must_use]
    pub const fn everything() -> Self {
        Self(Rights::Everything)
    }

    /// What `acl` allows `subject`.
    const fn ruled(acl: Arc<Acl>, subject: Arc<Subject>) -> Self {
        Self(Rights::Ruled { acl, subject })
    }

    /// Who the client is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        match &self.0 {
            Rights::Everything => &Principal::Anyone,
            Rights::Ruled { subject, .. } => &subject.principal,
        }
    }

    /// Whether it speaks for `device`: the device itself, a gateway of it, and, where credentials are
    /// not asked for, anyone.
    #[must_use]
    pub fn speaks_for(&self, device: &DeviceId) -> bool {
        match &self.0 {
            Rights::Everything => true,
            Rights::Ruled { subject, .. } => {
                subject.principal == Principal::Anyone || subject.speaks_for(device.as_str())
            }
        }
    }

    /// Whether it may speak for more than the device that it is.
    pub(crate) fn speaks_for_others(&self) -> bool {
        match &self.0 {
            Rights::Everything => true,
            Rights::Ruled { subject, .. } => !subject.speaks_for.is_empty(),
        }
    }

    /// Whether it was taken back since: then the connection has to end. Asked once the hub knows the
    /// principal, so that either this or
    /// [`BrokerHandle::disconnect`](crate::BrokerHandle::disconnect) ends it.
    pub(crate) fn is_taken_back(&self) -> bool {
        match &self.0 {
            Rights::Everything => false,
            Rights::Ruled { subject, .. } => subject.is_ended(),
        }
    }

    /// Whether it may publish on `topic`, a valid topic name.
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        match &self.0 {
            Rights::Everything => true,
            Rights::Ruled { acl, subject } => acl.may_publish(subject, topic),
        }
    }

    /// Whether it may subscribe to `filter`; of a shared subscription, the filter behind the group.
    /// Rules must speak of everything that it can match, and may deny some of it: see
    /// [`Grant::may_receive`].
    #[must_use]
    pub fn subscribing(&self, filter: &TopicFilter) -> Subscribing {
        match &self.0 {
            Rights::Everything => Subscribing::Allowed,
            Rights::Ruled { acl, subject } => acl.subscribing(subject, filter),
        }
    }

    /// [`Grant::subscribing`], where it does not matter why not.
    #[must_use]
    pub fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        self.subscribing(filter) == Subscribing::Allowed
    }

    /// Whether it may be sent messages of `topic`, a valid topic name, that it is subscribed to.
    #[must_use]
    pub fn may_receive(&self, topic: &str) -> bool {
        match &self.0 {
            Rights::Everything => true,
            Rights::Ruled { acl, subject } => acl.may_receive(subject, topic),
        }
    }
}

/// Lets everyone in, with what the rules for everyone allow: where credentials are not asked for.
#[derive(Clone, Debug)]
pub struct Anyone(Grant);

impl Anyone {
    /// Rules about devices and users decide nothing here: nobody has proven to be one.
    #[must_use]
    pub fn under(acl: Arc<Acl>) -> Self {
        let subject = Subject::new(Principal::Anyone, Box::default());
        Self(Grant::ruled(acl, Arc::new(subject)))
    }
}

impl Gatekeeper for Anyone {
    fn admit<'a>(
        &'a self,
        _hello: Hello<'a>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// Lets everyone in, with everything: where credentials are not asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenDoor;

impl Gatekeeper for OpenDoor {
    fn admit<'a>(
        &'a self,
        _hello: Hello<'a>,
    ) -> Pin<Box<dyn Future<Output = Admission> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(Grant::everything())))
    }
}
