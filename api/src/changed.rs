//! What a request has changed: handlers leave it in their answer, for the audit log.

use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

/// What a request has changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Changed {
    /// What was done: `rule.update`, `silence.create`, `user.delete`. Stable.
    pub(crate) action: &'static str,
    /// To what: a rule's name, an alert's id.
    pub(crate) target: String,
    /// As it was; `None` if it was not there. Never a secret.
    pub(crate) before: Option<Value>,
    /// As it is now; `None` if it is gone. Never a secret.
    pub(crate) after: Option<Value>,
}

impl Changed {
    /// Leaves it in `answer`. In one that refuses, action and target say what was wanted.
    pub(crate) fn noted(self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(self);
        answer
    }
}

/// As it stands in the audit log.
pub(crate) fn shown(view: &impl Serialize) -> Option<Value> {
    Some(serde_json::to_value(view).expect("texts and numbers always serialize"))
}

/// In an answer: nothing was changed, it was tried only, or done by an earlier request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unchanged;

impl Unchanged {
    /// Leaves it in `answer`.
    pub(crate) fn noted(self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(self);
        answer
    }
}
