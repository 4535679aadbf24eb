//! `channels` and `deliveries`: where alerts are sent to, and what was sent.
//!
//! | route | |
//! |---|---|
//! | `GET channels` | all of them, and how each is |
//! | `POST channels/{name}/test` | sends a test message now, and answers with what the receiver said |
//! | `GET deliveries?channel&alert&limit&cursor` | the latest 10,000 attempts, the latest first |

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bellwire_model::AlertId;
use serde::Serialize;

use crate::app::App;
use crate::http::Part;
use crate::links::paged;
use crate::params::{Params, invalid};
use crate::ports::{ChannelInfo, DeliveriesQuery, DeliveryInfo, TestError, TestResult};
use crate::problem::Problem;
use crate::rfc3339::Rfc3339;

/// How many are shown if the client does not say.
const LIMIT_DEFAULT: usize = 100;
/// The most of them: each may tell of 1,000 alerts.
const LIMIT_MAX: usize = 1_000;

#[derive(Serialize)]
struct ChannelView<'a> {
    name: &'a str,
    r#type: &'a str,
    status: &'a str,
    last_success: Option<Rfc3339>,
    last_error: Option<ErrorView<'a>>,
    waiting: usize,
    oldest_waiting_s: u64,
}

#[derive(Serialize)]
struct ErrorView<'a> {
    at: Rfc3339,
    detail: &'a str,
}

impl<'a> ChannelView<'a> {
    fn of(info: &'a ChannelInfo) -> Self {
        let error = info.last_error.as_ref();
        Self {
            name: &info.name,
            r#type: info.kind,
            status: info.state,
            last_success: info.last_success.map(Rfc3339),
            last_error: error.map(|(at, detail)| ErrorView { at: Rfc3339(*at), detail }),
            waiting: info.waiting,
            oldest_waiting_s: info.oldest.as_secs(),
        }
    }
}

#[derive(Serialize)]
struct DeliveryView<'a> {
    id: String,
    at: Rfc3339,
    channel: &'a str,
    address: usize,
    message: &'a str,
    test: bool,
    result: &'a str,
    detail: &'a str,
    took_ms: u64,
    group: &'a str,
    firing: usize,
    alerts: Vec<String>,
}

impl<'a> DeliveryView<'a> {
    fn of(info: &'a DeliveryInfo) -> Self {
        Self {
            id: info.number.to_string(),
            at: Rfc3339(info.at),
            channel: &info.channel,
            address: info.address,
            message: &info.message,
            test: info.is_test,
            result: info.result,
            detail: &info.said,
            took_ms: millis(info.took),
            group: &info.group,
            firing: info.n_firing,
            alerts: info.alerts.iter().map(ToString::to_string).collect(),
        }
    }
}

fn millis(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// `GET channels`.
pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Channels<'a> {
        channels: Vec<ChannelView<'a>>,
    }
    Params::read(&uri, &[])?;
    let all = app.ports.channels.list();
    let channels = all.iter().map(ChannelView::of).collect();
    Ok(Json(Channels { channels }).into_response())
}

#[derive(Serialize)]
struct Tested<'a> {
    channel: &'a str,
    /// Whether every address has it.
    delivered: bool,
    answers: Vec<AnswerView<'a>>,
}

#[derive(Serialize)]
struct AnswerView<'a> {
    address: usize,
    result: &'a str,
    detail: &'a str,
    took_ms: u64,
}

impl<'a> AnswerView<'a> {
    fn of(answer: &'a TestResult) -> Self {
        Self {
            address: answer.address,
            result: answer.result,
            detail: &answer.said,
            took_ms: millis(answer.took),
        }
    }
}

/// `POST channels/{name}/test`: 200 with what was said, also if that was no.
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    Part(name): Part,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read(&uri, &[])?;
    let answers = app.ports.channels.test(&name).await.map_err(|error| match error {
        TestError::NoChannel => Problem::not_found(
            "channel_not_found",
            "There is no such channel: they are in the configuration.",
        ),
        TestError::Busy => Problem::later(
            "channel_busy",
            "Too many channels are tested at once, or the service stops.",
            5,
        ),
    })?;
    let tested = Tested {
        channel: &name,
        delivered: answers.iter().all(|answer| answer.result == DeliveryInfo::RESULTS[0]),
        answers: answers.iter().map(AnswerView::of).collect(),
    };
    Ok(Json(tested).into_response())
}

/// `GET deliveries?channel&alert&limit&cursor`.
pub(crate) async fn deliveries(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Deliveries<'a> {
        deliveries: Vec<DeliveryView<'a>>,
        next: Option<&'a str>,
    }
    let params = Params::read(&uri, &["channel", "alert", "limit", "cursor"])?;
    let limit = params.limit()?.min(LIMIT_MAX);
    let limit = params.text("limit").map_or(LIMIT_DEFAULT, |_| limit);
    let is_id = |text: &str| text.len() == 16;
    let alert = params.parsed("alert", "an alert's id: 16 digits of hexadecimal", |text| {
        text.parse::<AlertId>().ok().filter(|_| is_id(text))
    })?;
    let before = match params.page()? {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| invalid("cursor", "what the list gave as `next`"))?)
        }
    };
    let channel = params.text("channel").map(ToOwned::to_owned);
    let found = app.ports.channels.deliveries(DeliveriesQuery { channel, alert, before, limit });
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.number.to_string());
    let deliveries = found.iter().map(DeliveryView::of).collect();
    let next = next.as_deref();
    Ok(paged(Json(Deliveries { deliveries, next }).into_response(), next))
}
