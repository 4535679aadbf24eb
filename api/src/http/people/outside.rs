//! Brings into the audit log what the command line changes of users and tokens beside the service.

use std::sync::Arc;

use bellwire_model::{AuditDeed, AuditOutcome};
use serde_json::{Value, json};

use super::{tokens, users};
use crate::app::App;
use crate::auditing::{NOBODY, append};
use crate::auth::gate::{Difference, Gate, Outside};
use crate::auth::people::User;

/// How it is said in the audit log that it was done in the data directory.
const BY_FILE: &str = "file";
/// What stands for those that were too many at once to have a line each.
const MANY: &str = "people.changed";

/// Tells of what others change, until the service grows quiet.
pub(crate) async fn tell(app: Arc<App>, gate: Arc<Gate>) {
    let mut changes = gate.changes();
    loop {
        let Outside { kept, n_more } = gate.take_outside();
        for difference in &kept {
            note(&app, deed_of(difference)).await;
        }
        if n_more > 0 {
            note(&app, deed(MANY, "", None, Some(json!({ "n_more": n_more })))).await;
        }
        tokio::select! {
            () = app.quiet.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

async fn note(app: &Arc<App>, deed: AuditDeed) {
    // Nobody waits for an answer; it is warned of when it cannot be noted.
    let _ = append(app, deed).await;
}

fn deed_of(difference: &Difference) -> AuditDeed {
    match difference {
        Difference::User { name, before, after } => {
            let seen = |user: &Option<User>| user.as_ref().map(|user| users::view(name, user));
            let (before_seen, after_seen) = (seen(before), seen(after));
            let action = match (before, after) {
                (None, _) => "user.create",
                (_, None) => "user.delete",
                // What is shown is as it was: it is what is never shown.
                _ if before_seen == after_seen => "user.password",
                _ => "user.update",
            };
            deed(action, name.as_str(), before_seen, after_seen)
        }
        Difference::Token { id, before, after } => {
            let seen = |token| tokens::view(id, token, None);
            let action = match (before, after) {
                (None, _) => "token.create",
                (_, None) => "token.delete",
                _ => "token.update",
            };
            deed(action, id, before.as_ref().map(seen), after.as_ref().map(seen))
        }
    }
}

fn deed(action: &str, target: &str, before: Option<Value>, after: Option<Value>) -> AuditDeed {
    let text = |value: Value| value.to_string().into();
    AuditDeed {
        who: NOBODY.into(),
        via: BY_FILE.into(),
        address: None,
        request: None,
        action: action.into(),
        target: target.into(),
        outcome: AuditOutcome::Done,
        status: 0,
        before: before.map(text),
        after: after.map(text),
    }
}
