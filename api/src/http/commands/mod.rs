//! `devices/{id}/commands`: what devices are asked to do, and what they answered.
//!
//! | route | |
//! |---|---|
//! | `POST devices/{id}/commands` | gives a command: [`new`] |
//! | `GET devices/{id}/commands?state&limit&cursor` | the latest first |
//! | `GET devices/{id}/commands/{command}?wait` | one; with `wait`, when nothing more is expected of it, or after so many seconds |
//! | `DELETE devices/{id}/commands/{command}` | takes one back that was not sent |

mod new;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bellwire_model::{Command, CommandId, CommandState, DeviceId};
use serde::Serialize;

use crate::app::App;
use crate::auth::within::Within;
use crate::changed::{self, Changed};
use crate::http::Named;
use crate::links::paged;
use crate::params::Params;
use crate::ports::{CommandsError, CommandsQuery, Extent};
use crate::problem::Problem;
pub(crate) use new::give;
use view::CommandView;

/// How many are shown if the client does not say: payloads may be long.
const LIMIT_DEFAULT: usize = 100;
/// The most of them: 64 KiB each at worst, and as much for the answer.
const LIMIT_MAX: usize = 1_000;
/// The longest wait, in seconds.
const WAIT_MAX_S: u64 = 60;

/// `GET devices/{id}/commands?state&limit&cursor`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Named(device): Named,
    uri: Uri,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Commands<'a> {
        commands: Vec<CommandView<'a>>,
        next: Option<&'a str>,
        /// There if the database is away: then only those in memory are shown.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    }
    let params = Params::read(&uri, &["state", "limit", "cursor"])?;
    let states = params.parsed("state", "states, as `queued,sent`, or `open`", states)?;
    let limit = params.limit()?.min(LIMIT_MAX);
    let query = CommandsQuery {
        device,
        states: states.unwrap_or_default(),
        limit: params.text("limit").map_or(LIMIT_DEFAULT, |_| limit),
        after: params.page()?,
    };
    let page = app.ports.commands.list(query).await?;
    let commands = page.commands.iter().map(CommandView::of).collect();
    let partial = page.extent == Extent::InMemory;
    let next = page.next.as_deref();
    Ok(paged(Json(Commands { commands, next, partial }).into_response(), next))
}

/// States between commas; `open` stands for those that are not final.
fn states(text: &str) -> Option<Vec<CommandState>> {
    const OPEN: [CommandState; 3] =
        [CommandState::Queued, CommandState::Sent, CommandState::Acknowledged];
    let mut states = Vec::new();
    for word in text.split(',') {
        match word.trim() {
            "open" => states.extend(OPEN),
            word => states.push(CommandState::from_label(word)?),
        }
    }
    Some(states)
}

/// `GET devices/{id}/commands/{command}?wait=SECONDS`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Which(device, id): Which,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["wait"])?;
    let wait = params.parsed("wait", "a whole number of seconds from 0 to 60", |text| {
        text.parse().ok().filter(|secs| *secs <= WAIT_MAX_S)
    })?;
    let wait = Duration::from_secs(wait.unwrap_or(0));
    let asked = |wait| app.ports.commands.command(device.clone(), id, wait);
    let found = tokio::select! {
        found = asked(wait) => found?,
        // Whoever waits is told how it stands: the service stops.
        () = app.closing.cancelled() => asked(Duration::ZERO).await?,
    };
    let found = found.ok_or_else(|| no_such_command(id))?;
    Ok(Json(CommandView::of(&found)).into_response())
}

/// `DELETE devices/{id}/commands/{command}`.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Which(device, id): Which,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let cancelled = app.ports.commands.cancel(device, id).await?;
    let cancelled = cancelled.ok_or_else(|| no_such_command(id))?;
    let answer = Json(CommandView::of(&cancelled)).into_response();
    // Others cannot be taken back.
    let before = Command { state: CommandState::Queued, ended_at: None, ..cancelled.clone() };
    let changed = Changed {
        action: "command.cancel",
        target: target(&cancelled),
        before: changed::shown(&CommandView::of(&before)),
        after: changed::shown(&CommandView::of(&cancelled)),
    };
    Ok(changed.noted(answer))
}

/// What the audit log calls a command.
fn target(command: &Command) -> String {
    format!("{} {}", command.device, command.id)
}

fn no_such_command(id: CommandId) -> Problem {
    Problem::not_found("command_not_found", format!("The device has no command {id}."))
}

/// The device and the command that a path names, within the scope of whoever asks.
#[derive(Debug)]
pub(crate) struct Which(DeviceId, CommandId);

impl FromRequestParts<Arc<App>> for Which {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<App>) -> Result<Self, Problem> {
        let none = || {
            Problem::not_found(
                "command_not_found",
                "The device has no such command: an id is 32 digits of hexadecimal.",
            )
        };
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((device, id)) = path.map_err(|_| none())?;
        let device = DeviceId::new(&device).map_err(|_| none())?;
        let id = id.parse().map_err(|_| none())?;
        // What is outside somebody's scope has no commands for them.
        let Ok(within) = Within::from_request_parts(parts, state).await;
        if within.has(&device) { Ok(Self(device, id)) } else { Err(no_such_command(id)) }
    }
}

impl From<CommandsError> for Problem {
    fn from(error: CommandsError) -> Self {
        match error {
            CommandsError::DeviceFull => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_commands",
                "The device has 100 open commands: wait until it has taken some, or cancel some.",
            ),
            CommandsError::Full => Self::later(
                "commands_full",
                "There are too many open commands of all devices: 10,000, or 64 MiB.",
                60,
            ),
            CommandsError::KeyReused(id) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                format!(
                    "The `Idempotency-Key` was used for another request, that of command {id}."
                ),
            ),
            CommandsError::TooLate(CommandState::Sent) => Self::new(
                StatusCode::CONFLICT,
                "command_sent",
                "The command was sent to the device: it cannot be taken back.",
            ),
            CommandsError::TooLate(state) => Self::new(
                StatusCode::CONFLICT,
                "command_sent",
                format!("The command is {}: it cannot be taken back.", state.label()),
            ),
            CommandsError::Later => Self::later(
                "log_full",
                "There was no room for it in time. Send it again: with the same `Idempotency-Key`, \
                 and it will be one command.",
                1,
            ),
            CommandsError::Port(error) => error.into(),
        }
    }
}
