//! `/healthz`, `/readyz`, `/metrics`: for what watches us.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, TextEncoder};
use serde::Serialize;

use crate::app::App;
use crate::ports::HealthStatus;
use crate::problem::Problem;

/// `GET /healthz`: the process lives and answers. Nothing else is asked: restarting us does not
/// bring a database back.
pub(crate) async fn alive() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, r#"{"status":"ok"}"#).into_response()
}

/// `GET /readyz`: 200 while the service does its work, `degraded` included; 503 when not.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Check<'a> {
        name: &'a str,
        status: &'static str,
        detail: &'a str,
    }
    #[derive(Serialize)]
    struct Database<'a> {
        mode: &'static str,
        postgresql: &'a str,
        timescaledb: Option<&'a str>,
        schema: u32,
    }
    #[derive(Serialize)]
    struct Readiness<'a> {
        status: &'static str,
        checks: Vec<Check<'a>>,
        database: Option<Database<'a>>,
        version: &'static str,
    }
    let found = app.ports.health.readiness();
    let checks = found
        .checks
        .iter()
        .map(|it| Check { name: it.name, status: it.status.label(), detail: &it.detail })
        .collect();
    let status = match found.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let database = found.database.as_ref().map(|it| Database {
        mode: it.mode,
        postgresql: &it.postgresql,
        timescaledb: it.timescaledb.as_deref(),
        schema: it.schema,
    });
    let version = env!("CARGO_PKG_VERSION");
    let body = Readiness { status: found.status.label(), checks, database, version };
    (status, Json(body)).into_response()
}

/// `GET /metrics`: Prometheus' text format.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let mut text = Vec::with_capacity(64 * 1024);
    let encoder = TextEncoder::new();
    encoder.encode(&app.registry.gather(), &mut text).map_err(|_| {
        let detail = "The metrics cannot be shown.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })?;
    Ok(([(header::CONTENT_TYPE, encoder.format_type())], text).into_response())
}
