//! The port for telemetry that comes over HTTP.

use std::fmt::Debug;
use std::pin::Pin;

use bellwire_model::DeviceId;

/// What one device says: the payload that it would publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Whose.
    pub device: DeviceId,
    /// As it came.
    pub payload: Vec<u8>,
}

/// What a request brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posts {
    /// The client's name for it: the same posts under the same name are taken once.
    pub key: Option<String>,
    /// In order; never none.
    pub posts: Vec<Post>,
}

/// Why posts are not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// There was no room in time, or the service stops; it is not known whether they were taken.
    #[error("the log has no room")]
    Later,
    /// They will never be taken: too large.
    #[error("the log does not take it")]
    Refused,
}

/// What [`Telemetry`] answers with.
pub type TelemetryFuture<'a> =
    Pin<Box<dyn Future<Output = Result<(), TelemetryError>> + Send + 'a>>;

/// Takes telemetry.
pub trait Telemetry: Debug + Send + Sync {
    /// Takes posts; done when they are on disk.
    fn take(&self, posts: Posts) -> TelemetryFuture<'_>;
}
