//! Who may come in, and what they may do then.
//!
//! The [`Gatekeeper`] is the port: it knows the credentials, and answers a CONNECT with a [`Grant`]
//! or with why not. What a grant allows is decided here, without asking anyone.

use std::fmt;
use std::pin::Pin;

use bellwire_model::{ClientId, TopicFilter};

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

/// What an admitted client may do; quick to clone.
#[derive(Clone, Debug)]
pub struct Grant(());

impl Grant {
    /// Everything: for who needs no credentials.
    #[must_use]
    pub const fn everything() -> Self {
        Self(())
    }

    /// Whether it may publish on `topic`, a valid topic name.
    #[must_use]
    pub const fn may_publish(&self, _topic: &str) -> bool {
        true
    }

    /// Whether it may subscribe to `filter`; of a shared subscription, the filter behind the group.
    #[must_use]
    pub const fn may_subscribe(&self, _filter: &TopicFilter) -> bool {
        true
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
