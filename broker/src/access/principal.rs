//! Who a client is, once that is proven, and for which devices it speaks.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwire_model::{ClientId, DeviceId, ServiceName};

use super::glob::DevicePattern;

/// Who a client is. Connections of one principal take sessions over from one another by the client
/// identifier; each principal has its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Nobody in particular: where credentials are not asked for.
    Anyone,
    /// A device; a gateway too.
    Device(DeviceId),
    /// A service account.
    Service(ServiceName),
}

impl Principal {
    /// Its name, as the user name of CONNECT has it; none for [`Principal::Anyone`].
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Anyone => None,
            Self::Device(device) => Some(device.as_str()),
            Self::Service(name) => Some(name.as_str()),
        }
    }
}

impl Principal {
    /// How the session is called that it has under this client identifier. No two principals have
    /// one of the same name; of those without credentials it is the identifier itself, as in
    /// sessions from before there were any. `None` if it gets too long.
    pub(crate) fn session_of(&self, client: &ClientId) -> Option<ClientId> {
        let kind = match self {
            Self::Anyone => return Some(client.clone()),
            Self::Device(_) => "device",
            Self::Service(_) => "service",
        };
        // No name has a `/`.
        let name = self.name().unwrap_or_default();
        ClientId::new(&format!("{kind}/{name}/{client}")).ok()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Device(device) => write!(f, "device `{device}`"),
            Self::Service(name) => write!(f, "service account `{name}`"),
        }
    }
}

/// A principal with all that decides what it may do.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) principal: Principal,
    /// Of a device: others that it speaks for, beside itself.
    pub(super) speaks_for: Box<[DevicePattern]>,
    /// Set when what it was admitted by is not valid any more.
    ended: AtomicBool,
}

impl Subject {
    pub(super) fn new(principal: Principal, speaks_for: Box<[DevicePattern]>) -> Self {
        Self { principal, speaks_for, ended: AtomicBool::new(false) }
    }

    /// Whether it speaks for the device `id`.
    pub(super) fn speaks_for(&self, id: &str) -> bool {
        let Principal::Device(own) = &self.principal else { return false };
        own.as_str() == id || self.speaks_for.iter().any(|pattern| pattern.matches(id))
    }

    /// Takes back whatever was granted to it.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Whether that is taken back.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_principals_have_a_session_of_the_same_name() {
        let client = |text: &str| ClientId::new(text).expect("an identifier");
        let device = |text: &str| Principal::Device(DeviceId::new(text).expect("an id"));
        let service = Principal::Service(ServiceName::new("a").expect("a name"));
        let names = [
            device("a").session_of(&client("b/c")),
            device("a").session_of(&client("c")),
            device("b").session_of(&client("c")),
            service.session_of(&client("c")),
            Principal::Anyone.session_of(&client("c")),
        ];
        for (n, name) in names.iter().enumerate() {
            assert!(name.is_some() && !names[..n].contains(name), "{name:?}");
        }
        assert_eq!(names[4], Some(client("c")));
        assert_eq!(device("a").session_of(&client(&"x".repeat(ClientId::BYTES_MAX))), None);
    }
}
