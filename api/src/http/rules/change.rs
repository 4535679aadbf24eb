//! Making, changing and deleting rules.
//!
//! | route | body |
//! |---|---|
//! | `POST rules` | `{"toml", "enabled"?, "author"?, "comment"?}` |
//! | `PUT rules/{name}` | `{"toml", "author"?, "comment"?}` |
//! | `DELETE rules/{name}`, `POST rules/{name}/enable`, `…/disable`, `…/restore?version=N` | `{"author"?, "comment"?}`, or none |
//!
//! All but the first need `If-Match` with the rule's `ETag`, or `*`, so that nobody overwrites what he has
//! not seen; and so that no page of another origin can ask for it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bellwire_model::RuleName;
use serde::Deserialize;

use super::{NamedRule, RuleView, shown};
use crate::app::App;
use crate::changed::{self, Changed};
use crate::http::{body, if_match};
use crate::links::encoded;
use crate::params::{Params, invalid};
use crate::ports::{ChangedBy, ChangedRule, NewRule, RuleDeed, RuleDetail};
use crate::problem::Problem;

/// The longest author, in characters.
const AUTHOR_CHARS_MAX: usize = 100;
/// The longest comment, in characters.
const COMMENT_CHARS_MAX: usize = 1_000;
/// Who it was where the client does not say.
const AUTHOR_DEFAULT: &str = "api";

/// A new rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    toml: String,
    #[serde(default = "yes")]
    enabled: bool,
    author: Option<String>,
    comment: Option<String>,
}

const fn yes() -> bool {
    true
}

/// Another text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    toml: String,
    author: Option<String>,
    comment: Option<String>,
}

/// Who and why; until users exist, who a client says it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct By {
    author: Option<String>,
    comment: Option<String>,
}

impl By {
    fn read(self) -> Result<ChangedBy, Problem> {
        let author = text("author", self.author, AUTHOR_CHARS_MAX)?;
        let comment = text("comment", self.comment, COMMENT_CHARS_MAX)?;
        Ok(ChangedBy { author: author.unwrap_or_else(|| AUTHOR_DEFAULT.to_owned()), comment })
    }
}

/// A short text; an empty one counts as absent.
fn text(key: &str, text: Option<String>, chars_max: usize) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    if text.chars().count() > chars_max || text.chars().any(|c| c.is_control() && c != '\n') {
        let detail = format!(
            "`{key}` has at most {chars_max} characters, and none that control a terminal."
        );
        return Err(body::invalid(detail));
    }
    Ok(Some(text))
}

/// `POST rules`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let Create { toml, enabled, author, comment } = body::read(&app, &headers, body).await?;
    let by = By { author, comment }.read()?;
    let made = app.ports.rules.create(NewRule { toml, enabled }, by).await?;
    let mut answer = (StatusCode::CREATED, shown(&made)).into_response();
    let place = format!("/api/v1/rules/{}", encoded(made.info.name.as_str()));
    if let Ok(place) = HeaderValue::from_str(&place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    let changed = Changed {
        action: "rule.create",
        target: made.info.name.to_string(),
        before: None,
        after: changed::shown(&RuleView::whole(&made)),
    };
    Ok(changed.noted(answer))
}

/// `PUT rules/{name}`.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let Put { toml, author, comment } = body::read(&app, &headers, body).await?;
    let by = By { author, comment }.read()?;
    change(&app, name, RuleDeed::Change { toml }, &headers, by).await
}

/// `DELETE rules/{name}`.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    plain(&app, name, RuleDeed::Delete, &uri, &headers, body).await
}

/// `POST rules/{name}/enable`.
pub(crate) async fn enable(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    plain(&app, name, RuleDeed::Enable, &uri, &headers, body).await
}

/// `POST rules/{name}/disable`.
pub(crate) async fn disable(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    plain(&app, name, RuleDeed::Disable, &uri, &headers, body).await
}

/// `POST rules/{name}/restore?version=N`.
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["version"])?;
    let expected = "the number of one of the rule's versions";
    let version = params.parsed("version", expected, |text| text.parse().ok())?;
    let version = version.ok_or_else(|| invalid("version", expected))?;
    let by: By = body::read_optional(&app, &headers, body).await?;
    change(&app, name, RuleDeed::Restore { version }, &headers, by.read()?).await
}

/// A change without parameters.
async fn plain(
    app: &App,
    name: RuleName,
    deed: RuleDeed,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(uri, &[])?;
    let by: By = body::read_optional(app, headers, body).await?;
    change(app, name, deed, headers, by.read()?).await
}

async fn change(
    app: &App,
    name: RuleName,
    deed: RuleDeed,
    headers: &HeaderMap,
    by: ChangedBy,
) -> Result<Response, Problem> {
    let known = if_match(headers, "rule")?;
    let action = match &deed {
        RuleDeed::Change { .. } => "rule.update",
        RuleDeed::Enable => "rule.enable",
        RuleDeed::Disable => "rule.disable",
        RuleDeed::Delete => "rule.delete",
        RuleDeed::Restore { .. } => "rule.restore",
    };
    let target = name.to_string();
    let ChangedRule { before, after } = app.ports.rules.change(name, deed, known, by).await?;
    let answer = match &after {
        Some(rule) => shown(rule),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    let json = |rule: Option<RuleDetail>| changed::shown(&RuleView::whole(&rule?));
    let changed = Changed { action, target, before: json(before), after: json(after) };
    Ok(changed.noted(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Known;

    #[test]
    fn if_match_names_revisions() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, HeaderValue::from_static(value));
            }
            if_match(&headers, "rule")
        };
        assert_eq!(read(&[]).expect_err("absent").code(), "if_match_missing");
        assert_eq!(read(&["*"]).expect("read"), Known::Any);
        let several = read(&["\"1\", \"22\"", "\"3\""]).expect("read");
        assert_eq!(several, Known::Revisions(vec![1, 22, 3]));
        // Weak tags never match here, and neither do others' tags.
        let none = read(&["W/\"1\", 1, \"x\", \"1"]).expect("read");
        assert_eq!(none, Known::Revisions(Vec::new()));
    }
}
