//! All routes in one place, and what every request passes on its way to one.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::app::App;
use crate::live::{events, poll, websocket};
use crate::problem::Problem;
use crate::{console, guard, http};

const DEVICES: &str = "/api/v1/devices";
const DEVICE: &str = "/api/v1/devices/{id}";
const LATEST: &str = "/api/v1/devices/{id}/latest";
const READINGS: &str = "/api/v1/devices/{id}/readings";
const ALL_READINGS: &str = "/api/v1/readings";
const ALL_LATEST: &str = "/api/v1/latest";
const AUDIT: &str = "/api/v1/devices/{id}/audit";
const COMMANDS: &str = "/api/v1/devices/{id}/commands";
const COMMAND: &str = "/api/v1/devices/{id}/commands/{command}";
const ALERTS: &str = "/api/v1/alerts";
const ALERT: &str = "/api/v1/alerts/{id}";
const RULES: &str = "/api/v1/rules";
const RULE: &str = "/api/v1/rules/{name}";
pub(crate) const RULES_CHECK: &str = "/api/v1/rules/check";
const RULE_ENABLE: &str = "/api/v1/rules/{name}/enable";
const RULE_DISABLE: &str = "/api/v1/rules/{name}/disable";
const RULE_RESTORE: &str = "/api/v1/rules/{name}/restore";
const RULE_VERSIONS: &str = "/api/v1/rules/{name}/versions";
const RULE_VERSION: &str = "/api/v1/rules/{name}/versions/{number}";
const RULE_DIFF: &str = "/api/v1/rules/{name}/diff";
const BACKTEST: &str = "/api/v1/rules/{name}/backtest";
const TELEMETRY: &str = "/api/v1/telemetry";
const ALL_AUDITS: &str = "/api/v1/audit";
const QUARANTINE: &str = "/api/v1/quarantine";
const REPLAY: &str = "/api/v1/quarantine/replay";
const LIVE: &str = "/api/v1/live";
const LIVE_EVENTS: &str = "/api/v1/live/events";
const LIVE_POLL: &str = "/api/v1/live/poll";
const METRICS: &str = "/metrics";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";

/// Every route's template, as a metric's label.
pub(crate) const TEMPLATES: [&str; 31] = [
    DEVICES,
    DEVICE,
    LATEST,
    READINGS,
    ALL_READINGS,
    ALL_LATEST,
    AUDIT,
    ALL_AUDITS,
    COMMANDS,
    COMMAND,
    ALERTS,
    ALERT,
    RULES,
    RULE,
    RULES_CHECK,
    RULE_ENABLE,
    RULE_DISABLE,
    RULE_RESTORE,
    RULE_VERSIONS,
    RULE_VERSION,
    RULE_DIFF,
    BACKTEST,
    TELEMETRY,
    QUARANTINE,
    REPLAY,
    LIVE,
    LIVE_EVENTS,
    LIVE_POLL,
    METRICS,
    HEALTHZ,
    READYZ,
];

/// Everything that HTTP answers.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route(DEVICES, get(http::devices::list).post(http::devices::change::import))
        .merge(device())
        .route(LATEST, get(http::latest::of_one))
        .route(READINGS, get(http::readings::readings))
        .route(ALL_READINGS, get(http::readings::of_all))
        .route(ALL_LATEST, get(http::latest::of_all))
        .route(AUDIT, get(http::devices::audit))
        .route(ALL_AUDITS, get(http::devices::audits))
        .route(COMMANDS, get(http::commands::list).post(http::commands::give))
        .route(COMMAND, get(http::commands::one).delete(http::commands::cancel))
        .route(ALERTS, get(http::alerts::list))
        .route(ALERT, get(http::alerts::one))
        .merge(rules())
        .route(TELEMETRY, post(http::telemetry::take))
        .route(QUARANTINE, get(http::quarantine::list))
        .route(REPLAY, post(http::replay::replay))
        .route(LIVE, get(websocket::live))
        .route(LIVE_EVENTS, get(events::events))
        .route(LIVE_POLL, get(poll::poll));
    // Here is the place of the layer that says who is asking and what they may: around `api`, so
    // that health and the console's own files stay open.
    let open = Router::new()
        .route(METRICS, get(http::health::metrics))
        .route(HEALTHZ, get(http::health::alive))
        .route(READYZ, get(http::health::ready));
    // Later layers are further out: a request passes `count`, then `body_limit`.
    api.merge(open)
        .fallback(fallback)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&app), guard::body_limit))
        .layer(from_fn_with_state(Arc::clone(&app), guard::count))
        .with_state(app)
}

/// What shows and changes one device.
fn device() -> Router<Arc<App>> {
    use http::devices::{change, one};
    let methods = get(one).put(change::put).patch(change::patch).delete(change::delete);
    Router::new().route(DEVICE, methods)
}

/// What shows, changes and tries rules.
fn rules() -> Router<Arc<App>> {
    use http::rules::{backtest, change, check, list, one, versions};
    Router::new()
        .route(RULES, get(list).post(change::create))
        .route(RULE, get(one).put(change::put).delete(change::delete))
        // A rule may have this name too.
        .route(RULES_CHECK, post(check::run).get(one).put(change::put).delete(change::delete))
        .route(RULE_ENABLE, post(change::enable))
        .route(RULE_DISABLE, post(change::disable))
        .route(RULE_RESTORE, post(change::restore))
        .route(RULE_VERSIONS, get(versions::list))
        .route(RULE_VERSION, get(versions::one))
        .route(RULE_DIFF, get(versions::difference_of))
        .route(BACKTEST, post(backtest::run))
}

async fn fallback(
    method: Method,
    uri: Uri,
    headers: axum::http::HeaderMap,
) -> Result<axum::response::Response, Problem> {
    if uri.path() == "/api" || uri.path().starts_with("/api/") {
        let detail = "There is no such route; the API's are under /api/v1.";
        return Err(Problem::not_found("route_not_found", detail));
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        return Err(wrong_method(uri).await);
    }
    console::serve(&console::Embedded, uri.path(), &headers)
}

async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        if [RULES, DEVICES].iter().any(|route| uri.path().starts_with(route))
            || [TELEMETRY, REPLAY].contains(&uri.path())
        {
            "This route takes the methods that `Allow` lists."
        } else {
            "This route takes GET and HEAD only."
        },
    )
}
