//! Request handlers, by what they answer about.

pub(crate) mod alerts;
pub(crate) mod body;
pub(crate) mod commands;
pub(crate) mod devices;
pub(crate) mod health;
pub(crate) mod latest;
pub(crate) mod quarantine;
pub(crate) mod readings;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod telemetry;

use axum::extract::FromRequestParts;
use axum::extract::Path;
use axum::http::request::Parts;
use bellwire_model::DeviceId;

use crate::app::no_such_device;
use crate::problem::Problem;

/// The device that a path names.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) DeviceId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path(name)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(no_such_device("(not UTF-8)"));
        };
        // What is no device's name is not the name of a device we know.
        DeviceId::new(&name).map(Self).map_err(|_| no_such_device(&name))
    }
}
