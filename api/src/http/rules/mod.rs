//! `rules`: those of the rules file, and those made by API.

pub(crate) mod backtest;
pub(crate) mod change;
pub(crate) mod check;
mod problems;
pub(crate) mod tests;
pub(crate) mod versions;
pub(crate) mod words;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, MatchedPath, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::RuleName;
use serde::Serialize;

use crate::app::App;
use crate::etag;
use crate::params::Params;
use crate::ports::{RuleDetail, RuleInfo};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;
use crate::routes::RULES_CHECK;
use crate::views::{Hex, Text};

/// A rule; the field names are stable.
#[derive(Serialize)]
struct RuleView<'a> {
    name: &'a str,
    severity: &'static str,
    when: &'a str,
    clear: Option<&'a str>,
    r#for: Option<&'a str>,
    keep_firing_for: Option<&'a str>,
    select: Option<&'a str>,
    summary: Option<&'a str>,
    version: Text<Hex>,
    source: &'static str,
    enabled: bool,
    problem: Option<&'a str>,
    revision: Option<u64>,
    updated_at: Option<Rfc3339>,
    author: Option<&'a str>,
    /// Where one rule is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    toml: Option<&'a str>,
}

impl<'a> RuleView<'a> {
    fn whole(rule: &'a RuleDetail) -> Self {
        Self::new(&rule.info, Some(&rule.toml))
    }

    fn new(rule: &'a RuleInfo, toml: Option<&'a str>) -> Self {
        let changed = rule.changed.as_ref();
        Self {
            name: rule.name.as_str(),
            severity: rule.severity.label(),
            when: &rule.when,
            clear: rule.clear.as_deref(),
            r#for: rule.hold.as_deref(),
            keep_firing_for: rule.keep_firing_for.as_deref(),
            select: rule.select.as_deref(),
            summary: rule.summary.as_deref(),
            version: Text(Hex(rule.version)),
            source: rule.source.label(),
            enabled: rule.enabled,
            problem: rule.problem.as_deref(),
            revision: changed.map(|changed| changed.revision),
            updated_at: changed.map(|changed| Rfc3339(changed.at)),
            author: changed.map(|changed| changed.author.as_str()),
            toml,
        }
    }
}

/// `GET rules`: those of the file in its order, then those made by API, by name.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Rules<'a> {
        rules: Vec<RuleView<'a>>,
    }
    Params::read(&uri, &[])?;
    let found = app.ports.rules.list();
    let rules = found.iter().map(|rule| RuleView::new(rule, None)).collect();
    Ok(etag::json(&headers, &Rules { rules }))
}

/// `GET rules/{name}`: with its text, and its revision as `ETag`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let found = app.ports.rules.rule(&name).ok_or_else(|| no_such_rule(name.as_str()))?;
    Ok(shown(&found))
}

/// The answer that shows one rule.
fn shown(rule: &RuleDetail) -> Response {
    let mut answer = Json(RuleView::whole(rule)).into_response();
    if let Some(changed) = &rule.info.changed {
        let tag = HeaderValue::from_str(&format!("\"{}\"", changed.revision));
        answer.headers_mut().insert(header::ETAG, tag.expect("digits in quotes"));
    }
    answer
}

/// The rule that a path names.
#[derive(Debug)]
pub(crate) struct NamedRule(pub(crate) RuleName);

impl<S: Send + Sync> FromRequestParts<S> for NamedRule {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.extensions.get::<MatchedPath>().is_some_and(|it| it.as_str() == RULES_CHECK) {
            return Ok(Self(RuleName::new("check").expect("letters")));
        }
        // The second part, where there is one, is the handler's.
        let Ok(Path(all)) = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await
        else {
            return Err(no_such_rule("(not UTF-8)"));
        };
        let name = all.into_iter().find(|(key, _)| key == "name").map(|(_, name)| name);
        let name = name.unwrap_or_default();
        RuleName::new(&name).map(Self).map_err(|_| no_such_rule(&name))
    }
}

/// The problem of a rule that is not there.
fn no_such_rule(name: &str) -> Problem {
    let name: String = name.chars().take(256).collect();
    Problem::not_found("rule_not_found", format!("No rule is named {name:?}."))
}
