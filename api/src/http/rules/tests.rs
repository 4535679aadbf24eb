//! `POST rule-tests`: whether a rule does what its tests say, before it is saved.
//!
//! The body is `{"toml": "…", "tests": "…"}`: a rule, and `[[test]]` as in a file for `bellwire rules test`.
//! A text that is wrong is no problem here, but the answer: `{"valid": false, "of": …, "errors": […]}`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::problems::MistakeView;
use crate::app::App;
use crate::http::body;
use crate::params::Params;
use crate::ports::{RuleMistake, RuleTestMismatch, RuleTestOutcome, RuleTests, RuleTestsOutcome};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    toml: String,
    tests: String,
}

#[derive(Serialize)]
struct Ran<'a> {
    valid: bool,
    passed: usize,
    failed: usize,
    tests: Vec<TestView<'a>>,
}

#[derive(Serialize)]
struct TestView<'a> {
    name: &'a str,
    line: usize,
    passed: bool,
    problem: Option<&'a str>,
    mismatches: Vec<MismatchView<'a>>,
}

#[derive(Serialize)]
struct MismatchView<'a> {
    line: usize,
    text: &'a str,
}

#[derive(Serialize)]
struct Wrong<'a> {
    valid: bool,
    /// `rule` or `tests`.
    of: &'static str,
    errors: Vec<MistakeView<'a>>,
}

/// `POST rule-tests`.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let Ask { toml, tests } = body::read(&app, &headers, body).await?;
    let outcome = app.ports.rules.test(RuleTests { toml, tests }).await?;
    Ok(match &outcome {
        RuleTestsOutcome::Ran(tests) => Json(view(tests)).into_response(),
        RuleTestsOutcome::WrongRule(mistakes) => wrong("rule", mistakes),
        RuleTestsOutcome::WrongTests(mistakes) => wrong("tests", mistakes),
    })
}

fn wrong(of: &'static str, mistakes: &[RuleMistake]) -> Response {
    Json(Wrong { valid: false, of, errors: MistakeView::all(mistakes) }).into_response()
}

fn view(tests: &[RuleTestOutcome]) -> Ran<'_> {
    let tests: Vec<_> = tests.iter().map(test).collect();
    let passed = tests.iter().filter(|test| test.passed).count();
    Ran { valid: true, passed, failed: tests.len() - passed, tests }
}

fn test(outcome: &RuleTestOutcome) -> TestView<'_> {
    let RuleTestOutcome { name, line, found } = outcome;
    let mismatches = found.as_ref().map(Vec::as_slice).unwrap_or_default();
    TestView {
        name,
        line: *line,
        passed: found.as_ref().is_ok_and(Vec::is_empty),
        problem: found.as_ref().err().map(String::as_str),
        mismatches: mismatches.iter().map(mismatch).collect(),
    }
}

fn mismatch(RuleTestMismatch { line, text }: &RuleTestMismatch) -> MismatchView<'_> {
    MismatchView { line: *line, text }
}
