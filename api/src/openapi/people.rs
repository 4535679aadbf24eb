//! The document of sessions, users and tokens.

use super::op::Op;
use super::shape::{Shape, duration, flag, list, named, object, text, time, word};
use crate::auth::Role;
use crate::auth::people::Purpose;
use crate::routes::{
    SESSION, SESSION_CALLBACK, SESSION_OIDC, SESSION_ONE, SESSION_WAYS, SESSIONS, SETUP, TOKEN,
    TOKENS, USER, USER_PASSWORD, USERS,
};

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let csrf = "What requests of this session that change something bring as `X-CSRF-Token`.";
    let me = object()
        .must("name", text())
        .must("role", role())
        .must("scope", scope())
        .must("via", text().says("How that was shown: `session`, `token`, …"))
        .must("csrf", text().or_null().says(csrf))
        .must("expires_at", time().or_null());
    let ways = object()
        .must("open", flag().says("Everybody may do everything: `--insecure`."))
        .must("setup_needed", flag().says("There is no user yet."))
        .must("password", flag())
        .must("oidc", flag().says("By the OpenID provider that is configured."));
    let credentials = object().must("name", text()).must("password", secret()).closed();
    let first = object()
        .must("code", text().says("The service has printed it at its start."))
        .must("name", user_name())
        .must("password", new_password())
        .closed();
    let mut parts = vec![
        ("Me", me.says("Who asks.")),
        ("Ways", ways.says("How one can sign in.")),
        ("Credentials", credentials),
        ("FirstAdmin", first),
    ];
    let session = object()
        .must("id", text())
        .must("user", text().says("Who has signed in."))
        .must("created_at", time())
        .must("last_used", time())
        .must("expires_at", time().says("If it is not used again."))
        .must("current", flag().says("Whether it is the one that asks."));
    parts.push(("Session", session));
    parts.push(("SessionsList", object().must("sessions", list(named("Session")))));
    parts.extend(users());
    parts.extend(tokens());
    parts
}

fn role() -> Shape {
    word(Role::ALL.iter().map(|it| it.label()))
}

fn purpose() -> Shape {
    word(Purpose::ALL.iter().map(|it| it.label()))
}

fn scope() -> Shape {
    text().or_null().says("Which devices, as `select` of a rule; `null`: all.")
}

fn user_name() -> Shape {
    text().example("ada")
}

fn secret() -> Shape {
    text()
}

fn new_password() -> Shape {
    secret().example("correct horse battery staple")
}

fn users() -> [(&'static str, Shape); 5] {
    let user = object()
        .must("name", text())
        .must("role", role())
        .must("scope", scope())
        .must("disabled", flag())
        .must("signs_in_by", word(["password", "oidc"]))
        .must("created_at", time());
    let new = object()
        .must("name", user_name())
        .must("password", new_password())
        .must("role", role())
        .may("scope", scope())
        .closed();
    let patch = object()
        .may("role", role().or_null())
        .may("scope", scope())
        .may("disabled", flag().or_null())
        .closed();
    let current = secret().or_null().says("One's own needs the current one.");
    let password = object().must("password", new_password()).may("current", current).closed();
    [
        ("User", user.says("Who may sign in.")),
        ("UsersList", object().must("users", list(named("User")))),
        ("NewUser", new),
        ("UserChange", patch),
        ("NewPassword", password),
    ]
}

fn tokens() -> [(&'static str, Shape); 4] {
    let token = || {
        object()
            .must("id", text())
            .must("name", text())
            .must("user", text().says("Whose it is."))
            .must("role", purpose())
            .must("scope", scope())
            .must("created_at", time())
            .must("expires_at", time())
            .must("last_used", time().or_null())
    };
    let made = token().must("token", text().says("The token itself: it is shown once."));
    let new = object()
        .must("name", text().example("grafana"))
        .must("role", purpose())
        .may("scope", scope())
        .may("expires_in", duration().or_null().says("Absent: `90d`."))
        .may("user", text().or_null().says("For admins: whose token it is."))
        .closed();
    [
        ("Token", token().says("How a program comes in.")),
        ("NewlyMadeToken", made),
        ("TokensList", object().must("tokens", list(named("Token")))),
        ("NewToken", new),
    ]
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let all = [sessions(), of_sessions(), provider(), of_users(), of_tokens()];
    let mut ops: Vec<Op> = all.into_iter().flatten().map(|op| op.tag("people")).collect();
    // These two are there without users as well.
    let always = ["getSession", "getSessionWays"];
    for op in ops.extract_if(.., |op| !always.contains(&op.id)).collect::<Vec<_>>() {
        ops.push(op.problems(&["insecure"]));
    }
    ops
}

fn sessions() -> Vec<Op> {
    let cookie = "The session's cookie.";
    let set_up = Op::post(SETUP, "setUp", "Makes the first admin, and signs in")
        .body(named("FirstAdmin"))
        .problems(&["set_up", "wrong_setup_code", "too_many_attempts", "busy"])
        .problems(&["invalid_user_name", "invalid_password"])
        .gives(201, "Signed in.", named("Me"))
        .answer_header(201, "Set-Cookie", cookie);
    let sign_in = Op::post(SESSION, "signIn", "Signs in")
        .body(named("Credentials"))
        .problems(&["wrong_credentials", "setup_needed", "too_many_attempts", "busy"])
        .gives(200, "Signed in.", named("Me"))
        .answer_header(200, "Set-Cookie", cookie);
    let who = Op::get(SESSION, "getSession", "Says who asks").gives(200, "That.", named("Me"));
    let sign_out = Op::delete(SESSION, "signOut", "Signs out")
        .problems(&["no_session"])
        .empty(204, "Signed out.")
        .answer_header(204, "Set-Cookie", "It clears the cookie.");
    let ways = Op::get(SESSION_WAYS, "getSessionWays", "Says how one can sign in").gives(
        200,
        "That.",
        named("Ways"),
    );
    vec![set_up, sign_in, who, sign_out, ways]
}

fn of_sessions() -> Vec<Op> {
    let about = "The latest used first.";
    let list = Op::get(SESSIONS, "listSessions", "Lists one's own sessions, or all for an admin")
        .about(about)
        .gives(200, "They.", named("SessionsList"));
    let end = Op::delete(SESSION_ONE, "endSession", "Ends a session")
        .part("id", text(), "The session's id.")
        .problems(&["session_not_found"])
        .empty(204, "Ended.");
    vec![list, end]
}

fn provider() -> Vec<Op> {
    let leave =
        Op::get(SESSION_OIDC, "signInByProvider", "Sends the browser to the OpenID provider");
    let back = Op::get(SESSION_CALLBACK, "comeBack", "Takes what the provider gave the browser");
    let given =
        ["state", "code", "error", "error_description", "error_uri", "iss", "session_state"];
    let back = given.into_iter().fold(back, |op, name| op.query(name, text(), "The provider's."));
    let back = back
        .problems(&["sign_in_not_begun", "not_signed_in", "provider_not_believed", "no_role"])
        .problems(&["invalid_user_name", "foreign_user", "too_many", "busy"]);
    let sees = |op: Op, says: &str| {
        op.problems(&["no_provider", "setup_needed", "provider_away"])
            .empty(303, says)
            .answer_header(303, "Location", "Where it goes on.")
            .answer_header(303, "Set-Cookie", "What is remembered of it.")
    };
    vec![sees(leave, "To the provider."), sees(back, "Signed in, and on to the console.")]
}

fn of_users() -> Vec<Op> {
    let named_user = |op: Op| {
        op.part("name", text().example("ada"), "The user's name.").problems(&["user_not_found"])
    };
    let list = Op::get(USERS, "listUsers", "Lists users").gives(200, "All.", named("UsersList"));
    let add = Op::post(USERS, "addUser", "Adds a user")
        .body(named("NewUser"))
        .problems(&["user_exists", "invalid_user_name", "invalid_password", "invalid_scope"])
        .problems(&["too_many", "busy"])
        .gives(201, "The user.", named("User"));
    let one = named_user(Op::get(USER, "getUser", "Shows a user: oneself, or any for an admin"))
        .gives(200, "The user.", named("User"));
    let change = named_user(Op::patch(USER, "changeUser", "Changes a user"))
        .about("A scope of `null` takes it away.")
        .body(named("UserChange"))
        .problems(&["last_admin", "invalid_scope", "more_than_user", "busy"])
        .gives(200, "The user as it is now.", named("User"));
    let remove = named_user(Op::delete(USER, "removeUser", "Removes a user"))
        .about("With all of their tokens and sessions.")
        .problems(&["last_admin", "busy"])
        .empty(204, "Gone.");
    let password = named_user(Op::post(USER_PASSWORD, "setPassword", "Gives a user a password"))
        .about("All other sessions of the user end.")
        .body(named("NewPassword"))
        .problems(&["wrong_password", "invalid_password", "invalid_user_name", "foreign_user"])
        .problems(&["too_many_attempts", "busy"])
        .empty(204, "It holds.");
    vec![list, add, one, change, remove, password]
}

fn of_tokens() -> Vec<Op> {
    let list = Op::get(TOKENS, "listTokens", "Lists one's own tokens, or all for an admin").gives(
        200,
        "They.",
        named("TokensList"),
    );
    let make = Op::post(TOKENS, "makeToken", "Makes a token")
        .body(named("NewToken"))
        .problems(&["user_not_found", "token_exists", "invalid_token_name", "invalid_user_name"])
        .problems(&["invalid_scope", "more_than_user", "too_many", "busy"])
        .gives(201, "The token, shown once.", named("NewlyMadeToken"));
    let revoke = Op::delete(TOKEN, "revokeToken", "Revokes a token")
        .part("id", text(), "The token's id.")
        .problems(&["token_not_found", "busy"])
        .empty(204, "Revoked.");
    vec![list, make, revoke]
}
