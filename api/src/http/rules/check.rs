//! `POST rules/check`: what would come of a change, without making it.
//!
//! The body is `{"toml": "…"}` for a rule that would be made or changed, or `{"remove": "name"}` for one
//! that would be deleted or disabled. A text that is wrong is no problem here, but the answer:
//! `{"valid": false, "errors": […]}`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::{AlertId, RuleName};
use serde::{Deserialize, Serialize};

use super::no_such_rule;
use super::problems::MistakeView;
use crate::app::App;
use crate::diff;
use crate::http::body;
use crate::params::Params;
use crate::ports::{AlertFate, RuleCheck, RuleTrial, RulesError};
use crate::problem::Problem;
use crate::views::Text;

/// The most alerts that are listed; all are counted.
const ALERTS_LISTED_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    toml: Option<String>,
    remove: Option<String>,
}

#[derive(Serialize)]
struct Wrong<'a> {
    valid: bool,
    errors: Vec<MistakeView<'a>>,
}

#[derive(Serialize)]
struct Right<'a> {
    valid: bool,
    name: &'a str,
    /// `create`, `change`, `remove` or `none`.
    effect: &'static str,
    enabled: bool,
    devices: usize,
    alerts: Alerts<'a>,
    diff: String,
}

#[derive(Serialize)]
struct Alerts<'a> {
    carried: usize,
    judged_anew: usize,
    closed: usize,
    list: Vec<AlertView<'a>>,
}

#[derive(Serialize)]
struct AlertView<'a> {
    id: Text<AlertId>,
    device: &'a str,
    state: &'static str,
    fate: &'static str,
}

/// `POST rules/check`.
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let trial = match body::read(&app, &headers, body).await? {
        Ask { toml: Some(toml), remove: None } => RuleTrial::Put { toml },
        Ask { toml: None, remove: Some(name) } => {
            RuleTrial::Remove(RuleName::new(&name).map_err(|_| no_such_rule(&name))?)
        }
        _ => return Err(body::invalid("The body has either `toml` or `remove`.".to_owned())),
    };
    match app.ports.rules.check(trial).await {
        Ok(check) => Ok(Json(view(&check)).into_response()),
        Err(RulesError::Wrong(mistakes)) => {
            let errors = MistakeView::all(&mistakes);
            Ok(Json(Wrong { valid: false, errors }).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn view(check: &RuleCheck) -> Right<'_> {
    let (before, after) = (check.before.as_deref(), check.after.as_deref());
    let effect = match (before, after) {
        (None, _) => "create",
        (Some(_), None) => "remove",
        (Some(before), Some(after)) if before == after => "none",
        (Some(_), Some(_)) => "change",
    };
    let n = |fate: AlertFate| check.alerts.iter().filter(|(_, it)| *it == fate).count();
    let list = check.alerts.iter().take(ALERTS_LISTED_MAX).map(|(alert, fate)| AlertView {
        id: Text(alert.id),
        device: alert.device.as_str(),
        state: alert.state.label(),
        fate: fate.label(),
    });
    Right {
        valid: true,
        name: check.name.as_str(),
        effect,
        enabled: check.enabled,
        devices: check.n_devices,
        alerts: Alerts {
            carried: n(AlertFate::Carried),
            judged_anew: n(AlertFate::JudgedAnew),
            closed: n(AlertFate::Closed),
            list: list.collect(),
        },
        diff: diff::unified(before.unwrap_or_default(), after.unwrap_or_default(), ("now", "then")),
    }
}
