//! Requests that change something: so many at once, each to its end, and into the audit log.
//!
//! It is inside of what asks who somebody is and how much they ask. A body is read before there is a
//! place: whoever sends his slowly holds none.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tracing::error;

use super::{Asked, Noted, noted};
use crate::app::App;
use crate::auth::table::{self, Need};
use crate::http::body;
use crate::problem::Problem;
use crate::request_id;

/// The most requests that change something at once. A change takes one sync of the log, or waits for its
/// turn or for room there, for ten seconds at most.
pub(crate) const ACTING_MAX: usize = 64;
/// How long one waits for a place.
const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds after which a client may ask again.
const RETRY_AFTER_SECS: u16 = 5;

/// Lets a request that may change something run in a task of its own, once there is a place: it goes to its
/// end also if its client goes away. One that goes away before has changed nothing.
pub(crate) async fn act(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let Some(asked) = request.extensions_mut().remove::<Arc<Asked>>() else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    let template = asked.route.as_ref().map_or("", MatchedPath::as_str);
    let bytes = match table::need(template, &parts.method) {
        Some(Need::Nothing) => body::bytes_of_stranger(&app, body).await,
        _ => body::bytes(&app, body).await,
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(problem) => return problem.into_response(),
    };
    let places = Arc::clone(&app.places);
    let Ok(Ok(place)) = timeout(PATIENCE, places.acquire_owned()).await else {
        app.metrics.http.writes_refused.inc();
        let detail = "Too many others change something right now: this was not begun.";
        let mut answer = Problem::later("writes_full", detail, RETRY_AFTER_SECS).into_response();
        // Nothing may have come of it.
        answer.extensions_mut().insert(Noted);
        return answer;
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    let acting = Arc::clone(&app);
    let acting = app.tracker.spawn(request_id::during(request_id::current(), async move {
        let _place = place;
        let mut answer = next.run(request).await;
        answer = noted(&acting, &asked, answer).await;
        answer.extensions_mut().insert(Noted);
        answer
    }));
    match acting.await {
        Ok(answer) => answer,
        Err(failed) => {
            error!(error = &failed as &dyn std::error::Error, "A request ended badly.");
            let detail = "The service failed; its log says why.";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        }
    }
}
