//! The API's own description, OpenAPI 3.1: `GET /api/v1/openapi.json`.
//!
//! Each file here describes the routes of one kind: what they take, what they answer, and the codes
//! of their problems. Tests hold that the document and the router have the same routes, that the
//! table of [`codes`] and the sources have the same codes, and that every answer that the tests of
//! this room get is one that the document has (0068).

mod alerts;
mod audit_log;
mod channels;
mod codes;
mod commands;
mod devices;
mod handling;
mod live;
mod op;
pub(crate) mod page;
mod parts;
mod people;
mod quarantine;
mod readings;
mod rules;
mod shape;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::Paths;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement,
};

use crate::etag;
use crate::params::Params;
use crate::problem::Problem;

/// The kinds of routes, in the order in which they are shown.
const TAGS: [(&str, &str); 11] = [
    ("alerts", "What rules have found, and how it came to stand there."),
    ("silences", "What mutes alerts, for a time."),
    ("live", "Alerts and readings as they happen."),
    ("devices", "What is known and said of devices, and the accounts of their publishes."),
    ("readings", "What devices measured: history, and telemetry without MQTT."),
    ("commands", "What devices are asked to do."),
    ("rules", "What is judged."),
    ("channels", "Where alerts are sent to, and what was sent."),
    ("quarantine", "Payloads that could not be read."),
    ("people", "Who may come in, and what they did."),
    ("service", "How well the service is."),
];

const ABOUT: &str = "Errors are `application/problem+json` with a stable `code`. Lists come in pages: \
    `limit` says how many rows, `cursor` where the page before ended. What is changed is changed once \
    with an `Idempotency-Key`, and only in the version that `If-Match` names.";

/// The document.
pub(crate) fn document() -> OpenApi {
    let ops = [
        alerts::ops(),
        handling::ops(),
        live::ops(),
        devices::ops(),
        readings::ops(),
        commands::ops(),
        rules::ops(),
        quarantine::ops(),
        channels::ops(),
        people::ops(),
        audit_log::ops(),
    ];
    let mut paths = Paths::new();
    for op in ops.into_iter().flatten() {
        let (path, method) = (op.path, op.method.clone());
        paths.add_path_operation(path, vec![method], op.admitting().operation());
    }
    let parts = parts::parts().into_iter().map(|(name, shape)| (name, shape.schema()));
    let session = ApiKeyValue::with_description("bellwire_session", "A session of the console.");
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let token = token.description(Some("An API token.")).build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(parts)
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)))
        .security_scheme("token", SecurityScheme::Http(token));
    let tag = |(name, says)| TagBuilder::new().name(name).description(Some(says)).build();
    let by = |scheme: &str| SecurityRequirement::new(scheme, Vec::<String>::new());
    let info = InfoBuilder::new()
        .title("Bellwire")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
        ));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .security(Some([by("session"), by("token")]))
        .tags(Some(TAGS.map(tag)))
        .build()
}

/// The document's text, and its tag.
static TEXT: LazyLock<(String, String)> = LazyLock::new(|| {
    let text = serde_json::to_string(&document()).expect("texts and numbers always serialize");
    let tag = etag::of(text.as_bytes());
    (text, tag)
});

/// The document, as `GET /api/v1/openapi.json` serves it.
#[must_use]
pub fn text() -> &'static str {
    &TEXT.0
}

/// `GET openapi.json`.
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let (text, tag) = &*TEXT;
    if let Some(known) = etag::known(&headers, tag) {
        return Ok(known);
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok(etag::tagged((kind, text.as_str()).into_response(), tag))
}
