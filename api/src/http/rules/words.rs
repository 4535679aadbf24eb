//! `GET rule-words`: what rules are written in, for editors. It comes from the tables that the parser
//! goes by, so that nothing is offered that is not understood.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Serialize;

use crate::app::App;
use crate::etag;
use crate::params::Params;
use crate::ports::RuleWord;
use crate::problem::Problem;

/// One word; the field names are stable.
#[derive(Serialize)]
struct WordView {
    name: &'static str,
    usage: &'static str,
    gives: &'static str,
}

#[derive(Serialize)]
struct WordsView {
    functions: Vec<WordView>,
    aggregates: Vec<WordView>,
    keys: Vec<WordView>,
    keywords: Vec<&'static str>,
}

fn all(words: &[RuleWord]) -> Vec<WordView> {
    let view = |&RuleWord { name, usage, gives }: &RuleWord| WordView { name, usage, gives };
    words.iter().map(view).collect()
}

/// `GET rule-words`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let words = app.ports.rules.words();
    let view = WordsView {
        functions: all(&words.functions),
        aggregates: all(&words.aggregates),
        keys: all(&words.keys),
        keywords: words.keywords,
    };
    Ok(etag::json(&headers, &view))
}
