//! What has been done to a rule: `rules/{name}/versions`, one of them, and the difference between two.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::RuleName;
use serde::Serialize;

use super::{NamedRule, no_such_rule};
use crate::app::App;
use crate::diff;
use crate::params::{Params, invalid};
use crate::ports::{RuleVersion, RulesError};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

/// One change; the field names are stable.
#[derive(Serialize)]
struct VersionView<'a> {
    version: u64,
    at: Rfc3339,
    author: &'a str,
    comment: Option<&'a str>,
    action: &'static str,
    enabled: bool,
    /// Where one version is asked for.
    #[serde(flatten)]
    texts: Option<Texts<'a>>,
}

/// The rule's text, and how it was changed.
#[derive(Serialize)]
struct Texts<'a> {
    before: Option<&'a str>,
    toml: Option<&'a str>,
    diff: String,
}

impl<'a> VersionView<'a> {
    fn new(version: &'a RuleVersion, texts: Option<Texts<'a>>) -> Self {
        Self {
            version: version.number,
            at: Rfc3339(version.at),
            author: &version.author,
            comment: version.comment.as_deref(),
            action: version.deed,
            enabled: version.enabled,
            texts,
        }
    }
}

fn all(app: &App, name: &RuleName) -> Result<Vec<RuleVersion>, Problem> {
    app.ports.rules.versions(name).ok_or_else(|| match app.ports.rules.rule(name) {
        Some(_) => RulesError::InFile(name.clone()).into(),
        None => no_such_rule(name.as_str()),
    })
}

/// `GET rules/{name}/versions`: the latest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Versions<'a> {
        versions: Vec<VersionView<'a>>,
    }
    Params::read(&uri, &[])?;
    let found = all(&app, &name)?;
    let versions = found.iter().rev().map(|version| VersionView::new(version, None)).collect();
    Ok(Json(Versions { versions }).into_response())
}

/// `GET rules/{name}/versions/{n}`: with the texts before and after, and the difference.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    Path((_, number)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let number = number.parse().map_err(|_| no_version(&number))?;
    let found = all(&app, &name)?;
    let found = found.iter().find(|version| version.number == number);
    let version = found.ok_or(RulesError::NoSuchVersion(number))?;
    let (before, toml) = (version.before.as_deref(), version.after.as_deref());
    let diff = difference(before, toml, (number.saturating_sub(1), number));
    let texts = Texts { before, toml, diff };
    Ok(Json(VersionView::new(version, Some(texts))).into_response())
}

/// `GET rules/{name}/diff?from&to`: from the version before the last to the last, if they are not named.
/// Version 0 is empty.
pub(crate) async fn difference_of(
    State(app): State<Arc<App>>,
    NamedRule(name): NamedRule,
    uri: Uri,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Difference {
        from: u64,
        to: u64,
        diff: String,
    }
    let params = Params::read(&uri, &["from", "to"])?;
    let found = all(&app, &name)?;
    let number = |key: &str| {
        params.parsed(key, "the number of one of the rule's versions", |text| text.parse().ok())
    };
    let last = found.last().map_or(0, |version| version.number);
    let to = number("to")?.unwrap_or(last);
    let from = number("from")?.unwrap_or(to.saturating_sub(1));
    let text = |number: u64| -> Result<Option<&str>, Problem> {
        if number == 0 {
            return Ok(None);
        }
        let version = found.iter().find(|version| version.number == number);
        Ok(version.ok_or(RulesError::NoSuchVersion(number))?.after.as_deref())
    };
    let diff = difference(text(from)?, text(to)?, (from, to));
    Ok(Json(Difference { from, to, diff }).into_response())
}

fn difference(before: Option<&str>, after: Option<&str>, (from, to): (u64, u64)) -> String {
    let names = (format!("version {from}"), format!("version {to}"));
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    diff::unified(before, after, (&names.0, &names.1))
}

fn no_version(text: &str) -> Problem {
    let text: String = text.chars().take(256).collect();
    invalid("version", &format!("a number, not {text:?}"))
}
