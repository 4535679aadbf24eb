//! What each route needs, in one table: template, method, need. What is not in it nobody may do.

use axum::http::Method;

use super::who::Role;
use crate::routes::*;

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: who asks is about to say who they are.
    Nothing,
    /// To be somebody, also a program that may do one thing only.
    Anyone,
    /// At least this role.
    Role(Role),
    /// To be allowed to send telemetry.
    Telemetry,
}

const LOOK: Need = Need::Role(Role::Viewer);
const HANDLE: Need = Need::Role(Role::Operator);
const RULE_OVER: Need = Need::Role(Role::Admin);

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// By template and method. HEAD is as GET.
pub const TABLE: &[(&str, Method, Need)] = &[
    (DEVICES, GET, LOOK),
    (DEVICES, POST, RULE_OVER),
    (DEVICE, GET, LOOK),
    (DEVICE, PUT, RULE_OVER),
    (DEVICE, PATCH, RULE_OVER),
    (DEVICE, DELETE, RULE_OVER),
    (LATEST, GET, LOOK),
    (READINGS, GET, LOOK),
    (ALL_READINGS, GET, LOOK),
    (ALL_LATEST, GET, LOOK),
    (AUDIT, GET, LOOK),
    (ALL_AUDITS, GET, LOOK),
    (COMMANDS, GET, LOOK),
    (COMMANDS, POST, HANDLE),
    (COMMAND, GET, LOOK),
    (COMMAND, DELETE, HANDLE),
    (ALERTS, GET, LOOK),
    (ALERT, GET, LOOK),
    (ALERT_ACTIONS, POST, HANDLE),
    (ALERT_ACK, POST, HANDLE),
    (ALERT_UNACK, POST, HANDLE),
    (ALERT_ASSIGN, POST, HANDLE),
    (ALERT_COMMENT, POST, HANDLE),
    (ALERT_SNOOZE, POST, HANDLE),
    (ALERT_UNSNOOZE, POST, HANDLE),
    (SILENCES, GET, LOOK),
    (SILENCES, POST, HANDLE),
    (SILENCE, GET, LOOK),
    (SILENCE, PUT, HANDLE),
    (SILENCE, DELETE, HANDLE),
    (SILENCE_PREVIEW, POST, LOOK),
    (RULES, GET, LOOK),
    (RULES, POST, RULE_OVER),
    (RULE, GET, LOOK),
    (RULE, PUT, RULE_OVER),
    (RULE, DELETE, RULE_OVER),
    (RULES_CHECK, GET, LOOK),
    // It changes nothing, and reads no readings.
    (RULES_CHECK, POST, LOOK),
    (RULES_CHECK, PUT, RULE_OVER),
    (RULES_CHECK, DELETE, RULE_OVER),
    (RULE_WORDS, GET, LOOK),
    // It takes a core for a moment.
    (RULE_TESTS, POST, HANDLE),
    (RULE_ENABLE, POST, RULE_OVER),
    (RULE_DISABLE, POST, RULE_OVER),
    (RULE_RESTORE, POST, RULE_OVER),
    (RULE_VERSIONS, GET, LOOK),
    (RULE_VERSION, GET, LOOK),
    (RULE_DIFF, GET, LOOK),
    // It takes the place of all others' for minutes.
    (BACKTEST, POST, HANDLE),
    (TELEMETRY, POST, Need::Telemetry),
    (QUARANTINE, GET, LOOK),
    (REPLAY, POST, HANDLE),
    (MAPPINGS_TRY, POST, HANDLE),
    (AUDIT_LOG, GET, RULE_OVER),
    (CHANNELS, GET, LOOK),
    (CHANNEL_TEST, POST, HANDLE),
    (DELIVERIES, GET, LOOK),
    (LIVE, GET, LOOK),
    (LIVE_EVENTS, GET, LOOK),
    (LIVE_POLL, GET, LOOK),
    (LIVE_OPERATORS, GET, LOOK),
    // It says what can be read in the documentation, and no more.
    (OPENAPI, GET, Need::Nothing),
    (DOCS, GET, Need::Nothing),
    (DOCS_FILE, GET, Need::Nothing),
    (SETUP, POST, Need::Nothing),
    (SESSION, POST, Need::Nothing),
    (SESSION, GET, Need::Anyone),
    (SESSION, DELETE, Need::Anyone),
    (SESSION_WAYS, GET, Need::Nothing),
    (SESSION_OIDC, GET, Need::Nothing),
    (SESSION_CALLBACK, GET, Need::Nothing),
    // Their own, or an admin: the handlers look.
    (SESSIONS, GET, LOOK),
    (SESSION_ONE, DELETE, LOOK),
    (USERS, GET, RULE_OVER),
    (USERS, POST, RULE_OVER),
    // Their own, or an admin: the handler looks.
    (USER, GET, LOOK),
    (USER, PATCH, RULE_OVER),
    (USER, DELETE, RULE_OVER),
    (USER_PASSWORD, POST, LOOK),
    (TOKENS, GET, LOOK),
    (TOKENS, POST, LOOK),
    (TOKEN, DELETE, LOOK),
];

/// Requests whose answer is made from the whole fleet: whoever sees only a part of it may not make them.
const OF_THE_WHOLE: [(&str, Method); 9] = [
    (ALL_READINGS, GET),
    (RULES_CHECK, POST),
    (BACKTEST, POST),
    // What is sent tells of all devices, and so do the numbers of what waits.
    (CHANNELS, GET),
    (CHANNEL_TEST, POST),
    (DELIVERIES, GET),
    // Whom its matchers mute, nobody can tell beforehand.
    (SILENCES, POST),
    (SILENCE, PUT),
    (SILENCE, DELETE),
];

/// Whether the answer is made from the whole fleet.
pub(crate) fn is_of_the_whole(template: &str, method: &Method) -> bool {
    let method = if *method == Method::HEAD { &GET } else { method };
    OF_THE_WHOLE.iter().any(|(route, of)| *route == template && of == method)
}

/// What a request for `template` needs; `None` if nobody may make it.
pub(crate) fn need(template: &str, method: &Method) -> Option<Need> {
    let method = if *method == Method::HEAD { &GET } else { method };
    let row = TABLE.iter().find(|(route, of, _)| *route == template && of == method);
    row.map(|(_, _, need)| *need)
}

/// The methods that `template` takes, as `Allow` lists them.
pub(crate) fn methods(template: &str) -> String {
    let rows = TABLE.iter().filter(|(route, ..)| *route == template);
    let named =
        rows.map(|(_, method, _)| if *method == GET { "GET,HEAD" } else { method.as_str() });
    named.collect::<Vec<_>>().join(",")
}
