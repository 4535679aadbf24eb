//! `GET /api/v1/live`: takes a WebSocket and gives it a session.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;

use crate::app::App;
use crate::live::client::Subscriber;
use crate::live::message;
use crate::live::resume::Claim;
use crate::live::session::{MESSAGE_BYTES_MAX, Session};
use crate::metrics::{Counted, Transport};
use crate::params::Params;
use crate::problem::Problem;
use crate::server::Permit;

/// Above this the library itself refuses a message; between, we say why.
const HARD_MESSAGE_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Read at once; also what an idle client costs.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Written at once.
const WRITE_BUFFER_BYTES: usize = 32 * 1024;

pub(crate) async fn live(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    Extension(permit): Extension<Permit>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let params = Params::read(&uri, &["cursor", "devices"])?;
    let upgrade = upgrade.map_err(|_| {
        Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "This is a WebSocket. Without one, use live/events or live/poll.",
        )
    })?;
    check_origin(&headers)?;
    let claim = Claim::read(params.text("cursor"));
    let mut subscriber = join(&app)?;
    subscribe(&mut subscriber, &app, params.text("devices"))?;
    let counted = Counted::new(&app.metrics.live, Transport::WebSocket);
    let token = app.tracker.token();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(HARD_MESSAGE_BYTES_MAX)
        .max_frame_size(HARD_MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            // Held to the end: the session counts as a connection, a client and a task.
            let _held = (permit, counted, token);
            Session::new(socket, subscriber, app).run(claim).await;
        }))
}

/// A place among the live clients.
///
/// # Errors
/// A problem while the present is not known, or when there are too many.
pub(crate) fn join(app: &App) -> Result<Subscriber, Problem> {
    if !app.hub.with_feed(crate::live::feed::Feed::is_ready) {
        return Err(Problem::later("starting", "The service is still starting.", 1));
    }
    app.hub.join().ok_or_else(|| {
        Problem::later("too_many_live_clients", "There are too many live clients.", 10)
    })
}

/// Subscribes to the devices named in the query: `a,b`, or `*`.
///
/// # Errors
/// A problem if they cannot be read.
pub(crate) fn subscribe(
    subscriber: &mut Subscriber,
    app: &App,
    devices: Option<&str>,
) -> Result<(), Problem> {
    let Some(devices) = devices else { return Ok(()) };
    let devices_max = app.config.live.client_devices_max.get();
    let subscription = message::devices(devices.split(','), devices_max).map_err(|error| {
        Problem::bad_request("invalid_parameter", format!("`devices`: {error}."))
    })?;
    subscriber.subscribe(subscription);
    Ok(())
}

/// Browsers let any page open a WebSocket to any host and say in `Origin` which page it was. Only
/// our own pages may: their origin's host is the one that was asked.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "Pages of other origins may not open the live feed.",
        )),
    }
}
