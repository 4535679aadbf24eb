//! `rules`: the rules in force.

pub(crate) mod backtest;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::app::App;
use crate::params::Params;
use crate::problem::Problem;
use crate::views::{Hex, Text};

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    severity: &'static str,
    when: &'a str,
    clear: Option<&'a str>,
    r#for: Option<&'a str>,
    keep_firing_for: Option<&'a str>,
    select: Option<&'a str>,
    summary: Option<&'a str>,
    version: Text<Hex>,
}

/// `GET rules`: in the file's order.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Rules<'a> {
        rules: Vec<Rule<'a>>,
    }
    Params::read(&uri, &[])?;
    let found = app.ports.present.rules();
    let rules = found
        .iter()
        .map(|rule| Rule {
            name: rule.name.as_str(),
            severity: rule.severity.label(),
            when: &rule.when,
            clear: rule.clear.as_deref(),
            r#for: rule.hold.as_deref(),
            keep_firing_for: rule.keep_firing_for.as_deref(),
            select: rule.select.as_deref(),
            summary: rule.summary.as_deref(),
            version: Text(Hex(rule.version)),
        })
        .collect();
    Ok(Json(Rules { rules }).into_response())
}
