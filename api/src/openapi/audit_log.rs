//! The document of `audit-log`.

use bellwire_model::AuditOutcome;

use super::op::Op;
use super::shape::{Shape, any, count, flag, list, named, next, object, text, time, word};
use crate::routes::AUDIT_LOG;

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let line = object()
        .must("id", text())
        .must("at", time())
        .must("who", text())
        .must("via", text().says("How that was shown."))
        .must("address", text().or_null().says("Where it came from."))
        .must("request", text().or_null().says("The request's `X-Request-Id`."))
        .must("action", text().example("rule.update"))
        .must("target", text().says("To what it was done."))
        .must("outcome", word(AuditOutcome::ALL.iter().map(|it| it.label())))
        .must("status", count().says("Of the answer."))
        .must("before", any().says("As it was; `null` if it was not there."))
        .must("after", any().says("As it was then; `null` if it is gone."));
    let partial = "True if the database is away: then only the last are shown.";
    let lines = object()
        .must("audit_log", list(named("AuditLine")))
        .must("next", next())
        .may("partial", flag().says(partial));
    vec![("AuditLine", line.says("What somebody did.")), ("AuditLogPage", lines)]
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let list = Op::get(AUDIT_LOG, "listAuditLog", "Lists what people and programs did")
        .about("The latest first; `limit` is at most 1,000.")
        .query("who", text(), "Done by this user or token only.")
        .query("action", text().example("rule.update"), "This only.")
        .query("target", text(), "To this only.")
        .query("from", time(), "Then or later.")
        .query("to", time(), "Before.")
        .pages(100)
        .asks_history()
        .gives(200, "A page of them.", named("AuditLogPage"));
    vec![list.tag("people")]
}
