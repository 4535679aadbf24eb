//! All routes in one place, and what every request passes on its way to one.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::app::App;
use crate::auth::layer;
use crate::live::{events, operators, poll, websocket};
use crate::problem::Problem;
use crate::{auditing, console, guard, http, openapi, sources};

pub(crate) const DEVICES: &str = "/api/v1/devices";
pub(crate) const DEVICE: &str = "/api/v1/devices/{id}";
pub(crate) const LATEST: &str = "/api/v1/devices/{id}/latest";
pub(crate) const READINGS: &str = "/api/v1/devices/{id}/readings";
pub(crate) const ALL_READINGS: &str = "/api/v1/readings";
pub(crate) const ALL_LATEST: &str = "/api/v1/latest";
pub(crate) const AUDIT: &str = "/api/v1/devices/{id}/audit";
pub(crate) const COMMANDS: &str = "/api/v1/devices/{id}/commands";
pub(crate) const COMMAND: &str = "/api/v1/devices/{id}/commands/{command}";
pub(crate) const ALERTS: &str = "/api/v1/alerts";
pub(crate) const ALERT: &str = "/api/v1/alerts/{id}";
pub(crate) const ALERT_ACTIONS: &str = "/api/v1/alerts/actions";
pub(crate) const ALERT_ACK: &str = "/api/v1/alerts/{id}/ack";
pub(crate) const ALERT_UNACK: &str = "/api/v1/alerts/{id}/unack";
pub(crate) const ALERT_ASSIGN: &str = "/api/v1/alerts/{id}/assign";
pub(crate) const ALERT_COMMENT: &str = "/api/v1/alerts/{id}/comment";
pub(crate) const ALERT_SNOOZE: &str = "/api/v1/alerts/{id}/snooze";
pub(crate) const ALERT_UNSNOOZE: &str = "/api/v1/alerts/{id}/unsnooze";
pub(crate) const SILENCES: &str = "/api/v1/silences";
pub(crate) const SILENCE: &str = "/api/v1/silences/{id}";
pub(crate) const SILENCE_PREVIEW: &str = "/api/v1/silences/preview";
pub(crate) const RULES: &str = "/api/v1/rules";
pub(crate) const RULE: &str = "/api/v1/rules/{name}";
pub(crate) const RULES_CHECK: &str = "/api/v1/rules/check";
pub(crate) const RULE_WORDS: &str = "/api/v1/rule-words";
pub(crate) const RULE_TESTS: &str = "/api/v1/rule-tests";
pub(crate) const RULE_ENABLE: &str = "/api/v1/rules/{name}/enable";
pub(crate) const RULE_DISABLE: &str = "/api/v1/rules/{name}/disable";
pub(crate) const RULE_RESTORE: &str = "/api/v1/rules/{name}/restore";
pub(crate) const RULE_VERSIONS: &str = "/api/v1/rules/{name}/versions";
pub(crate) const RULE_VERSION: &str = "/api/v1/rules/{name}/versions/{number}";
pub(crate) const RULE_DIFF: &str = "/api/v1/rules/{name}/diff";
pub(crate) const BACKTEST: &str = "/api/v1/rules/{name}/backtest";
pub(crate) const TELEMETRY: &str = "/api/v1/telemetry";
pub(crate) const ALL_AUDITS: &str = "/api/v1/audit";
pub(crate) const QUARANTINE: &str = "/api/v1/quarantine";
pub(crate) const REPLAY: &str = "/api/v1/quarantine/replay";
pub(crate) const MAPPINGS_TRY: &str = "/api/v1/mappings/try";
pub(crate) const AUDIT_LOG: &str = "/api/v1/audit-log";
pub(crate) const CHANNELS: &str = "/api/v1/channels";
pub(crate) const CHANNEL_TEST: &str = "/api/v1/channels/{name}/test";
pub(crate) const DELIVERIES: &str = "/api/v1/deliveries";
pub(crate) const LIVE: &str = "/api/v1/live";
pub(crate) const LIVE_EVENTS: &str = "/api/v1/live/events";
pub(crate) const LIVE_POLL: &str = "/api/v1/live/poll";
pub(crate) const LIVE_OPERATORS: &str = "/api/v1/live/operators";
pub(crate) const SETUP: &str = "/api/v1/setup";
pub(crate) const SESSION: &str = "/api/v1/session";
pub(crate) const SESSION_WAYS: &str = "/api/v1/session/ways";
pub(crate) const SESSION_OIDC: &str = "/api/v1/session/oidc";
pub(crate) const SESSION_CALLBACK: &str = "/api/v1/session/oidc/callback";
pub(crate) const SESSIONS: &str = "/api/v1/sessions";
pub(crate) const SESSION_ONE: &str = "/api/v1/sessions/{id}";
pub(crate) const USERS: &str = "/api/v1/users";
pub(crate) const USER: &str = "/api/v1/users/{name}";
pub(crate) const USER_PASSWORD: &str = "/api/v1/users/{name}/password";
pub(crate) const TOKENS: &str = "/api/v1/tokens";
pub(crate) const TOKEN: &str = "/api/v1/tokens/{id}";
pub(crate) const OPENAPI: &str = "/api/v1/openapi.json";
pub(crate) const DOCS: &str = "/api/v1/docs";
pub(crate) const DOCS_FILE: &str = "/api/v1/docs/{file}";
pub(crate) const METRICS: &str = "/metrics";
pub(crate) const HEALTHZ: &str = "/healthz";
pub(crate) const READYZ: &str = "/readyz";

/// Every route's template, as a metric's label.
pub(crate) const TEMPLATES: [&str; 64] = [
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
    ALERT_ACTIONS,
    ALERT_ACK,
    ALERT_UNACK,
    ALERT_ASSIGN,
    ALERT_COMMENT,
    ALERT_SNOOZE,
    ALERT_UNSNOOZE,
    SILENCES,
    SILENCE,
    SILENCE_PREVIEW,
    RULES,
    RULE,
    RULES_CHECK,
    RULE_WORDS,
    RULE_TESTS,
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
    MAPPINGS_TRY,
    AUDIT_LOG,
    CHANNELS,
    CHANNEL_TEST,
    DELIVERIES,
    LIVE,
    LIVE_EVENTS,
    LIVE_POLL,
    LIVE_OPERATORS,
    SETUP,
    SESSION,
    SESSION_WAYS,
    SESSION_OIDC,
    SESSION_CALLBACK,
    SESSIONS,
    SESSION_ONE,
    USERS,
    USER,
    USER_PASSWORD,
    TOKENS,
    TOKEN,
    OPENAPI,
    DOCS,
    DOCS_FILE,
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
        .merge(handling())
        .merge(rules())
        .route(TELEMETRY, post(http::telemetry::take))
        .route(QUARANTINE, get(http::quarantine::list))
        .route(REPLAY, post(http::replay::replay))
        .route(MAPPINGS_TRY, post(http::mappings::attempt))
        .route(AUDIT_LOG, get(http::audit_log::list))
        .route(CHANNELS, get(http::channels::list))
        .route(CHANNEL_TEST, post(http::channels::test))
        .route(DELIVERIES, get(http::channels::deliveries))
        .route(LIVE, get(websocket::live))
        .route(LIVE_EVENTS, get(events::events))
        .route(LIVE_POLL, get(poll::poll))
        .route(LIVE_OPERATORS, get(operators::list))
        .route(OPENAPI, get(openapi::serve))
        .route(DOCS, get(openapi::page::page))
        .route(DOCS_FILE, get(openapi::page::part))
        .merge(people())
        // Whoever asks is known here: a request passes `enter`, then `limit`, `act` and `once`.
        .route_layer(from_fn_with_state(Arc::clone(&app), guard::once::once))
        .route_layer(from_fn(auditing::tell_who))
        .route_layer(from_fn_with_state(Arc::clone(&app), auditing::act))
        .route_layer(from_fn_with_state(Arc::clone(&app), guard::rate::limit))
        .route_layer(from_fn(auditing::tell_who))
        // Who is asking and what they may: around `api`, so that health and the console's own files
        // stay open. The audit log is around that.
        .route_layer(from_fn_with_state(Arc::clone(&app), layer::enter))
        .route_layer(from_fn_with_state(Arc::clone(&app), auditing::audit));
    let metrics = Router::new()
        .route(METRICS, get(http::health::metrics))
        .route_layer(from_fn_with_state(Arc::clone(&app), layer::enter_metrics));
    let open = Router::new()
        .route(HEALTHZ, get(http::health::alive))
        .route(READYZ, get(http::health::ready));
    // Later layers are further out: a request passes `count`, then CORS, `share` and `body_limit`.
    let all = api
        .merge(metrics)
        .merge(open)
        .fallback(fallback)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&app), guard::body_limit))
        .layer(from_fn_with_state(Arc::clone(&app), sources::share));
    let all = match guard::cors::layer(&app.config.cors_origins) {
        Some(cors) => all.layer(cors),
        None => all,
    };
    all.layer(from_fn_with_state(Arc::clone(&app), guard::count)).with_state(app)
}

/// What shows and changes one device.
fn device() -> Router<Arc<App>> {
    use http::devices::{change, one};
    let methods = get(one).put(change::put).patch(change::patch).delete(change::delete);
    Router::new().route(DEVICE, methods)
}

/// What is done with alerts.
fn handling() -> Router<Arc<App>> {
    use http::handling::{ack, assign, comment, many, silences, snooze, unack, unsnooze};
    let silence = get(silences::one).put(silences::put).delete(silences::expire);
    Router::new()
        .route(ALERT_ACTIONS, post(many))
        .route(ALERT_ACK, post(ack))
        .route(ALERT_UNACK, post(unack))
        .route(ALERT_ASSIGN, post(assign))
        .route(ALERT_COMMENT, post(comment))
        .route(ALERT_SNOOZE, post(snooze))
        .route(ALERT_UNSNOOZE, post(unsnooze))
        .route(SILENCES, get(silences::list).post(silences::create))
        .route(SILENCE, silence)
        .route(SILENCE_PREVIEW, post(silences::preview))
}

/// What shows, changes and tries rules.
fn rules() -> Router<Arc<App>> {
    use http::rules::{backtest, change, check, list, one, tests, versions, words};
    Router::new()
        .route(RULES, get(list).post(change::create))
        .route(RULE, get(one).put(change::put).delete(change::delete))
        // A rule may have this name too.
        .route(RULES_CHECK, post(check::run).get(one).put(change::put).delete(change::delete))
        .route(RULE_WORDS, get(words::show))
        .route(RULE_TESTS, post(tests::run))
        .route(RULE_ENABLE, post(change::enable))
        .route(RULE_DISABLE, post(change::disable))
        .route(RULE_RESTORE, post(change::restore))
        .route(RULE_VERSIONS, get(versions::list))
        .route(RULE_VERSION, get(versions::one))
        .route(RULE_DIFF, get(versions::difference_of))
        .route(BACKTEST, post(backtest::run))
}

/// Who may come in.
fn people() -> Router<Arc<App>> {
    use http::people::{oidc, session, sessions, tokens, users};
    let user = get(users::one).patch(users::change).delete(users::remove);
    Router::new()
        .route(SETUP, post(session::set_up))
        .route(SESSION, get(session::show).post(session::sign_in).delete(session::sign_out))
        .route(SESSION_WAYS, get(session::ways))
        .route(SESSION_OIDC, get(oidc::leave))
        .route(SESSION_CALLBACK, get(oidc::come_back))
        .route(SESSIONS, get(sessions::list))
        .route(SESSION_ONE, axum::routing::delete(sessions::end))
        .route(USERS, get(users::list).post(users::add))
        .route(USER, user)
        .route(USER_PASSWORD, post(users::set_password))
        .route(TOKENS, get(tokens::list).post(tokens::make))
        .route(TOKEN, axum::routing::delete(tokens::revoke))
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
        if [RULES, DEVICES, CHANNELS, SETUP, SESSION, USERS, TOKENS, ALERTS, SILENCES]
            .iter()
            .any(|route| uri.path().starts_with(route))
            || [TELEMETRY, REPLAY].contains(&uri.path())
        {
            "This route takes the methods that `Allow` lists."
        } else {
            "This route takes GET and HEAD only."
        },
    )
}
