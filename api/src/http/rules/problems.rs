//! Why rules are not changed, as HTTP says it.

use axum::http::StatusCode;
use serde::Serialize;

use super::no_such_rule;
use crate::ports::{RuleMistake, RulesError};
use crate::problem::Problem;

/// One thing that is wrong in the text of a rule; the field names are stable.
#[derive(Serialize)]
pub(super) struct MistakeView<'a> {
    line: usize,
    column: usize,
    length: usize,
    key: Option<&'static str>,
    message: &'a str,
    help: Option<&'a str>,
    found: &'a str,
}

impl<'a> MistakeView<'a> {
    pub(super) fn all(mistakes: &'a [RuleMistake]) -> Vec<Self> {
        let view = |it: &'a RuleMistake| Self {
            line: it.line,
            column: it.column,
            length: it.length,
            key: it.key,
            message: &it.message,
            help: it.help.as_deref(),
            found: &it.found,
        };
        mistakes.iter().map(view).collect()
    }
}

fn wrong(mistakes: &[RuleMistake]) -> Problem {
    let detail = match mistakes.first() {
        Some(RuleMistake { line, column, message, .. }) => {
            format!("The rule is wrong: line {line}, column {column}: {message}.")
        }
        None => "The rule is wrong.".to_owned(),
    };
    let errors = serde_json::to_value(MistakeView::all(mistakes)).expect("texts and numbers");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_rule", detail).with_errors(errors)
}

impl From<RulesError> for Problem {
    fn from(error: RulesError) -> Self {
        let conflict = |code, detail| Self::new(StatusCode::CONFLICT, code, detail);
        let refused = |code, detail| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
        match error {
            RulesError::NoSuchRule(name) => no_such_rule(name.as_str()),
            RulesError::Exists(name) => {
                let detail = format!("There is a rule {:?} already: change it.", name.as_str());
                conflict("rule_exists", detail)
            }
            RulesError::InFile(name) => {
                let name = name.as_str();
                let detail = format!("{name:?} is in the rules file: edit the file to change it.");
                conflict("rule_in_file", detail)
            }
            RulesError::Stale { revision } => {
                let detail = format!(
                    "The rule has been changed meanwhile, it is at revision {revision}: look at it again."
                );
                Self::new(StatusCode::PRECONDITION_FAILED, "rule_changed", detail)
            }
            RulesError::Wrong(mistakes) => wrong(&mistakes),
            RulesError::OtherName { found } => {
                let found = found.as_str();
                let detail = format!(
                    "The text is of the rule {found:?}: a rule that is renamed is another rule."
                );
                refused("rule_name_differs", detail)
            }
            RulesError::NoFit(detail) => refused("rules_do_not_fit", detail),
            RulesError::NoSuchVersion(number) => Self::not_found(
                "version_not_found",
                format!("Version {number} is not there, or not kept any more."),
            ),
            RulesError::IsDeletion(number) => {
                let detail = format!("Version {number} is a deletion: restore one before it.");
                conflict("version_is_deletion", detail)
            }
            RulesError::Busy => Self::later(
                "rules_busy",
                "Other changes of rules take long; this one was not begun.",
                5,
            ),
            RulesError::Waiting => Self::later(
                "log_full",
                "The change is kept; it comes into force when the log has room again.",
                5,
            ),
            RulesError::Stopping => Self::later(
                "stopping",
                "The service stops; the change is kept, and in force from its next start on.",
                5,
            ),
            RulesError::Port(error) => error.into(),
        }
    }
}
