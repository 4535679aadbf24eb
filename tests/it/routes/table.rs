//! What each route answers, and to whom: one row for each row of the API's own table, or more.

/// A request, and what comes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Method and path below `/api/v1`. `DEVICE`, `ALERT`, `COMMAND` and `SILENCE` stand for one of those,
    /// `NUMBER` for another number each time, `NEW` for the id of what `first` has made, `SELF` for the
    /// name of whoever asks.
    pub(super) what: &'static str,
    /// The route below `/api/v1`, as the API's table has it.
    pub(super) route: &'static str,
    /// The statuses for nobody, viewer, operator, admin, and for viewer and operator with a scope: what lies
    /// inside, and behind a slash what lies outside.
    pub(super) expects: &'static str,
    /// The same for who comes by a token, where that is something else.
    pub(super) by_token: &'static str,
    pub(super) body: &'static str,
    /// What an admin asks before, so that there is something to be done: method and path, body.
    pub(super) first: Option<(&'static str, &'static str)>,
    pub(super) session: Session,
}

/// In which session it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// In one for all.
    Shared,
    /// In a new one: it ends it.
    Own,
}

const fn row(what: &'static str, route: &'static str, expects: &'static str) -> Row {
    let session = Session::Shared;
    Row { what, route, expects, by_token: expects, body: "", first: None, session }
}

impl Row {
    const fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    const fn after(self, what: &'static str, body: &'static str) -> Self {
        Self { first: Some((what, body)), ..self }
    }

    const fn by_token(self, by_token: &'static str) -> Self {
        Self { by_token, ..self }
    }

    const fn in_its_own_session(self) -> Self {
        Self { session: Session::Own, ..self }
    }
}

/// Whoever may look, and sees nothing of others' devices.
const LOOK: &str = "401 200 200 200 200 200";
const LOOK_AT_ONE: &str = "401 200 200 200 200/404 200/404";
/// What is made from the whole fleet.
const LOOK_AT_ALL: &str = "401 200 200 200 403 403";
const HANDLE: &str = "401 403 200 200 403 200/404";
const HANDLE_ALL: &str = "401 403 200 200 403 403";
const RULE: &str = "401 403 403 200 403 403";
const OPEN: &str = "200 200 200 200 200 200";
/// Another's: nobody but an admin knows of it.
const OF_ANOTHER: &str = "401 404 404 200 404 404";
const GONE: &str = "401 403 403 204 403 403";
const NOT_THERE: &str = "404 404 404 404 404 404";

const ACTION: &str = r#"{"alerts": ["ALERT"], "action": "comment", "comment": "c"}"#;
const RULE_R: &str = r#"{"toml": "[[rule]]\nname = \"r\"\nwhen = \"t > NUMBER000\"\n"}"#;
const RULE_CHECK: &str = r#"{"toml": "[[rule]]\nname = \"check\"\nwhen = \"t > NUMBER000\"\n"}"#;
const RULE_NEW: &str = r#"{"toml": "[[rule]]\nname = \"r-NUMBER\"\nwhen = \"t > 1000\"\n"}"#;
const SILENCE: &str = r#"{"matchers": "device=\"own-9\"", "reason": "r", "for": "1h"}"#;
const PASSWORD: &str = r#"{"password": "correct horse battery"}"#;
const USER: &str = r#"{"name": "u-NUMBER", "password": "correct horse battery", "role": "viewer"}"#;
const TOKEN: &str = r#"{"name": "t-NUMBER", "role": "viewer"}"#;

pub(super) const ROWS: &[Row] = &[
    row("GET /devices", "/devices", LOOK),
    row("GET /devices?select=site%20%3D%20'zz-site'%20or%20k%20%3D%20'v'", "/devices", LOOK),
    row("GET /devices?prefix=zz", "/devices", LOOK),
    row("POST /devices", "/devices", RULE).body(r#"[{"device": "DEVICE", "labels": {"k": "v"}}]"#),
    row("GET /devices/DEVICE", "/devices/{id}", LOOK_AT_ONE),
    row("PUT /devices/DEVICE", "/devices/{id}", RULE).body(r#"{"labels": {"k": "NUMBER"}}"#),
    row("PATCH /devices/DEVICE", "/devices/{id}", RULE).body(r#"{"labels": {"k": "NUMBER"}}"#),
    row("GET /devices/DEVICE/latest", "/devices/{id}/latest", LOOK_AT_ONE),
    row("GET /devices/DEVICE/readings?metric=t", "/devices/{id}/readings", LOOK_AT_ONE),
    row("GET /devices/DEVICE/audit", "/devices/{id}/audit", LOOK_AT_ONE),
    row("GET /readings?metric=t&bucket=1m", "/readings", LOOK_AT_ALL),
    row("GET /latest", "/latest", LOOK),
    row("GET /audit", "/audit", LOOK),
    row("GET /devices/DEVICE/commands", "/devices/{id}/commands", LOOK_AT_ONE),
    row("POST /devices/DEVICE/commands", "/devices/{id}/commands", "401 403 202 202 403 202/404")
        .body(r#"{"payload": NUMBER}"#),
    row("GET /devices/DEVICE/commands/COMMAND", "/devices/{id}/commands/{command}", LOOK_AT_ONE),
    row("DELETE /devices/DEVICE/commands/NEW", "/devices/{id}/commands/{command}", HANDLE)
        .after("POST /devices/DEVICE/commands", r#"{"payload": NUMBER}"#),
    row("GET /alerts", "/alerts", LOOK),
    row("GET /alerts?device=zz-1", "/alerts", LOOK),
    row("GET /alerts?matchers=site%3D~%22.*%22", "/alerts", LOOK),
    row("GET /alerts?state=firing", "/alerts", LOOK),
    row("GET /alerts?state=resolved", "/alerts", LOOK),
    row("GET /alerts/ALERT", "/alerts/{id}", LOOK_AT_ONE),
    row("POST /alerts/actions", "/alerts/actions", HANDLE).body(ACTION),
    row("POST /alerts/ALERT/ack", "/alerts/{id}/ack", HANDLE)
        .after("POST /alerts/ALERT/unack", "{}"),
    row("POST /alerts/ALERT/unack", "/alerts/{id}/unack", HANDLE)
        .after("POST /alerts/ALERT/ack", "{}"),
    row("POST /alerts/ALERT/assign", "/alerts/{id}/assign", HANDLE).body(r#"{"to": "n-NUMBER"}"#),
    row("POST /alerts/ALERT/comment", "/alerts/{id}/comment", HANDLE).body(r#"{"comment": "c"}"#),
    row("POST /alerts/ALERT/snooze", "/alerts/{id}/snooze", HANDLE).body(r#"{"for": "1h"}"#),
    row("POST /alerts/ALERT/unsnooze", "/alerts/{id}/unsnooze", HANDLE)
        .after("POST /alerts/ALERT/snooze", r#"{"for": "1h"}"#),
    row("GET /silences", "/silences", LOOK),
    row("POST /silences", "/silences", "401 403 201 201 403 403").body(SILENCE),
    row("GET /silences/SILENCE", "/silences/{id}", LOOK_AT_ONE),
    row("PUT /silences/SILENCE", "/silences/{id}", HANDLE_ALL).body(
        r#"{"matchers": "device=\"DEVICE\", rule=\"no\"", "reason": "n-NUMBER", "for": "2h"}"#,
    ),
    row("DELETE /silences/NEW", "/silences/{id}", HANDLE_ALL).after("POST /silences", SILENCE),
    row("POST /silences/preview", "/silences/preview", LOOK).body(r#"{"matchers": "rule=warm"}"#),
    row("GET /rules", "/rules", LOOK),
    row("POST /rules", "/rules", "401 403 403 201 403 403").body(RULE_NEW),
    row("GET /rules/r", "/rules/{name}", LOOK),
    row("PUT /rules/r", "/rules/{name}", RULE).body(RULE_R),
    row("DELETE /rules/r-NUMBER", "/rules/{name}", GONE).after("POST /rules", RULE_NEW),
    row("GET /rules/check", "/rules/check", LOOK),
    row("POST /rules/check", "/rules/check", LOOK_AT_ALL).body(r#"{"remove": "r"}"#),
    row("PUT /rules/check", "/rules/check", RULE).body(RULE_CHECK),
    row("POST /rules/r/enable", "/rules/{name}/enable", RULE).after("POST /rules/r/disable", ""),
    row("POST /rules/r/disable", "/rules/{name}/disable", RULE).after("POST /rules/r/enable", ""),
    row("POST /rules/r/restore?version=1", "/rules/{name}/restore", RULE)
        .after("PUT /rules/r", RULE_R),
    row("GET /rules/r/versions", "/rules/{name}/versions", LOOK),
    row("GET /rules/r/versions/1", "/rules/{name}/versions/{number}", LOOK),
    row("GET /rules/r/diff", "/rules/{name}/diff", LOOK),
    row("POST /rules/warm/backtest", "/rules/{name}/backtest", HANDLE_ALL).body("{}"),
    row("DELETE /rules/check", "/rules/check", GONE).after("POST /rules", RULE_CHECK),
    row("POST /telemetry", "/telemetry", "401 403 202 202 403 202/404")
        .body(r#"{"device": "DEVICE", "telemetry": {"u": 1}}"#),
    row("GET /quarantine", "/quarantine", LOOK),
    row("POST /quarantine/replay", "/quarantine/replay", "401 403 200 200 403 200/403")
        .body(r#"{"dry_run": true, "device": "DEVICE"}"#),
    row("GET /audit-log", "/audit-log", RULE),
    row("GET /channels", "/channels", LOOK_AT_ALL),
    row("POST /channels/ops/test", "/channels/{name}/test", HANDLE_ALL),
    row("GET /deliveries", "/deliveries", LOOK_AT_ALL),
    // No request for a WebSocket: who may not look is told that first.
    row("GET /live", "/live", "401 426 426 426 426 426"),
    row("GET /live/events", "/live/events", LOOK),
    row("GET /live/poll?devices=*", "/live/poll", LOOK),
    row("GET /live/operators", "/live/operators", LOOK),
    row("GET /openapi.json", "/openapi.json", OPEN),
    row("GET /docs", "/docs", OPEN),
    row("GET /docs/page.js", "/docs/{file}", OPEN),
    row("POST /setup", "/setup", "409 409 409 409 409 409")
        .body(r#"{"code": "1", "name": "eve", "password": "correct horse battery"}"#),
    row("POST /session", "/session", OPEN)
        .body(r#"{"name": "SELF", "password": "correct horse battery"}"#)
        .in_its_own_session(),
    row("GET /session", "/session", LOOK),
    row("DELETE /session", "/session", "401 204 204 204 204 204")
        .by_token("401 409 409 409 409 409")
        .in_its_own_session(),
    row("GET /session/ways", "/session/ways", OPEN),
    row("GET /session/oidc", "/session/oidc", NOT_THERE),
    row("GET /session/oidc/callback", "/session/oidc/callback", NOT_THERE),
    row("GET /rule-words", "/rule-words", LOOK),
    row("POST /rule-tests", "/rule-tests", "401 403 200 200 403 200").body(r#"{"toml": "", "tests": ""}"#),
    row("POST /mappings/try", "/mappings/try", "401 403 200 200 403 200").body(
        r#"{"topic": "a/b", "payload": "1", "toml": "[[mapping]]\nname = \"m\"\ntopic = \"a/{device}\"\nformat = \"value\"\n"}"#,
    ),
    row("GET /sessions", "/sessions", LOOK),
    row("DELETE /sessions/none", "/sessions/{id}", "401 404 404 404 404 404"),
    row("GET /users", "/users", RULE),
    row("POST /users", "/users", "401 403 403 201 403 403").body(USER),
    row("GET /users/another", "/users/{name}", OF_ANOTHER),
    row("GET /users/SELF", "/users/{name}", LOOK),
    row("PATCH /users/another", "/users/{name}", RULE).body(r#"{"disabled": false}"#),
    row("POST /users/another/password", "/users/{name}/password", "401 404 404 204 404 404")
        .body(PASSWORD),
    row("DELETE /users/u-NUMBER", "/users/{name}", GONE).after("POST /users", USER),
    row("GET /tokens", "/tokens", LOOK),
    row("POST /tokens", "/tokens", "401 201 201 201 201 201")
        .by_token("401 403 403 403 403 403")
        .body(TOKEN),
    row("DELETE /tokens/NEW", "/tokens/{id}", "401 404 404 204 404 404")
        .after("POST /tokens", TOKEN),
    row("DELETE /devices/DEVICE", "/devices/{id}", GONE)
        .after("POST /devices", r#"[{"device": "DEVICE"}]"#),
];
