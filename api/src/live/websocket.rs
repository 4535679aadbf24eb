//! `GET /api/v1/live`: takes a WebSocket and gives it a session.
// RFC 6455, section 4.2; RFC 7692, section 7.1.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::app::App;
use crate::auth::vigil::Vigil;
use crate::auth::{Who, origin};
use crate::live::client::Subscriber;
use crate::live::filter::AlertSpec;
use crate::live::message::{self, PARAMETERS};
use crate::live::resume::Claim;
use crate::live::session::Session;
use crate::live::socket::Socket;
use crate::live::wire::Coding;
use crate::metrics::{Counted, Ended, Transport};
use crate::params::Params;
use crate::problem::Problem;
use crate::server::Permit;
use crate::shared::Shared;

/// What we answer to a client that offers compression: each message alone, in both directions.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

pub(crate) async fn live(
    State(app): State<Arc<App>>,
    who: Who,
    Extension(permit): Extension<Permit>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let params = Params::read(&parts.uri, &PARAMETERS)?;
    let key = check_handshake(&parts.method, &parts.headers);
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let outlet = parts.extensions.remove::<Shared>();
    let (Some(key), Some(upgrade)) = (key, upgrade) else { return Ok(no_websocket()) };
    check_origin(&parts.headers)?;
    let claim = Claim::read(params.text("cursor"));
    let subscriber = join(&app, &who, &params)?;
    let coding = coding(&parts.headers);
    if let Some(outlet) = outlet {
        subscriber.open_lane(Arc::new(outlet), coding);
    }
    let counted = Counted::new(&app.metrics.live, Transport::WebSocket);
    let mut vigil = Vigil::over(&app, &who);
    let answer = answer(&key, coding);
    app.tracker.clone().spawn(async move {
        // Held to the end: the session counts as a connection and a client.
        let _held = (permit, counted);
        match upgrade.await {
            Ok(stream) => {
                let socket = Socket::new(TokioIo::new(stream), coding);
                let session = Session::new(socket, subscriber, app);
                tokio::select! {
                    biased;
                    _ = session.run(claim) => {}
                    // The line is cut: who comes back is asked again who they are.
                    () = vigil.ended() => {}
                }
            }
            Err(_) => app.metrics.live.ended(Ended::Left).inc(),
        }
    });
    Ok(answer)
}

fn answer(key: &HeaderValue, coding: Coding) -> Response {
    let accept = derive_accept_key(key.as_bytes());
    let headers = [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    let mut answer = (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response();
    if coding == Coding::Deflate {
        let agreed = HeaderValue::from_static(DEFLATE);
        answer.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, agreed);
    }
    answer
}

fn no_websocket() -> Response {
    let problem = Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        "upgrade_required",
        "This is a WebSocket. Without one, use live/events or live/poll.",
    );
    let mut answer = problem.into_response();
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    answer
}

/// The key of a request that opens a WebSocket; `None` if it is another one.
fn check_handshake(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: header::HeaderName, wanted: &str| {
        words(headers, &name).any(|word| word.eq_ignore_ascii_case(wanted))
    };
    let is_one = *method == Method::GET
        && has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    // 16 bytes, as base64 writes them.
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24)?;
    is_one.then(|| key.clone())
}

/// What stands between commas in a header, wherever it is repeated.
fn words<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Whether the client offers compression as we do it: with whatever window it likes for what it
/// says, as long as it leaves ours alone.
fn coding(headers: &HeaderMap) -> Coding {
    let is_ours = |offer: &str| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next() == Some("permessage-deflate")
            && parts.all(|part| {
                let name = part.split('=').next().unwrap_or_default().trim_end();
                [
                    "server_no_context_takeover",
                    "client_no_context_takeover",
                    "client_max_window_bits",
                ]
                .contains(&name)
            })
    };
    let is_offered = words(headers, &header::SEC_WEBSOCKET_EXTENSIONS).any(is_ours);
    if is_offered { Coding::Deflate } else { Coding::Plain }
}

/// A place among the live clients, with what the query asks for.
///
/// # Errors
/// A problem if the query cannot be read, while the present is not known, or when there are too many.
pub(crate) fn join(app: &App, who: &Who, params: &Params) -> Result<Subscriber, Problem> {
    let wish = message::read_query(params, app.config.live.client_devices_max.get())?;
    if !app.hub.with_feed(crate::live::feed::Feed::is_ready) {
        return Err(Problem::later("starting", "The service is still starting.", 1));
    }
    let within = app.scopes.ready(&*app.ports.registry, &who.scope);
    let alerts = AlertSpec { within, ..wish.alerts.unwrap_or_default() };
    let joined = app.hub.join(&who.name, alerts);
    let mut subscriber = joined.ok_or_else(|| {
        Problem::later("too_many_live_clients", "There are too many live clients.", 10)
    })?;
    if let Some(readings) = wish.readings {
        subscriber.subscribe(readings);
    }
    Ok(subscriber)
}

/// Only our own pages may open it.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    if origin::is_foreign(headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "Pages of other origins may not open the live feed.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(offers: &[&str]) -> Coding {
        let mut headers = HeaderMap::new();
        for offer in offers {
            let offer = HeaderValue::from_str(offer).expect("text");
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, offer);
        }
        coding(&headers)
    }

    #[test]
    fn compression_is_agreed_on_only_as_we_do_it() {
        for offers in [
            &["permessage-deflate"][..],
            &["permessage-deflate; client_max_window_bits"],
            &["x-other, permessage-deflate; client_max_window_bits=12; server_no_context_takeover"],
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            &["x-other", "permessage-deflate"],
        ] {
            assert_eq!(offered(offers), Coding::Deflate, "{offers:?}");
        }
        for offers in [
            &[][..],
            &["x-webkit-deflate-frame"],
            &["permessage-deflate; server_max_window_bits=10"],
            &["permessage-deflate; surprise"],
        ] {
            assert_eq!(offered(offers), Coding::Plain, "{offers:?}");
        }
    }
}
