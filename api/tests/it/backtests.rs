//! Rules are tried over HTTP: what is asked for reaches the port, its lines reach the client.

use std::sync::Mutex;
use std::time::Duration;

use bellwire_api::ports::{
    BacktestError, BacktestFuture, BacktestLines, BacktestRequest, Backtests, PortError, Tried,
};
use bellwire_model::{RuleName, Timestamp};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::support::{Answer, Service, device, until, within};

/// Answers as the test says.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    asked: Mutex<Vec<BacktestRequest>>,
    /// The next answer; without one, the port is busy.
    next: Mutex<Option<Result<BacktestLines, BacktestError>>>,
}

impl Trials {
    /// The next backtest says these lines.
    fn says(&self, lines: &[&'static str]) {
        let (sender, receiver) = mpsc::channel(lines.len().max(1));
        for line in lines {
            sender.try_send(Bytes::from_static(line.as_bytes())).expect("room");
        }
        *self.next.lock().expect("whole") = Some(Ok(receiver));
    }

    /// The next backtest does not begin.
    fn refuses(&self, error: BacktestError) {
        *self.next.lock().expect("whole") = Some(Err(error));
    }
}

impl Backtests for Trials {
    fn begin(&self, request: BacktestRequest) -> BacktestFuture<'_> {
        self.asked.lock().expect("whole").push(request);
        let next = self.next.lock().expect("whole").take();
        Box::pin(std::future::ready(next.unwrap_or(Err(BacktestError::Busy))))
    }
}

const PATH: &str = "/api/v1/rules/too-warm/backtest";

pub(crate) async fn post(service: &Service, path: &str, kind: &str, body: &str) -> Answer {
    let length = body.len();
    service
        .send(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n{body}"
        ))
        .await
}

pub(crate) fn check(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["code"], code, "{answer:?}");
}

#[tokio::test]
async fn what_is_asked_reaches_the_port_and_its_lines_the_client() {
    let service = Service::start_with(|config| config.backtest_readings_max = 77).await;
    service.trials.says(&["{\"type\":\"progress\"}\n", "{\"type\":\"summary\"}\n"]);
    let body =
        "{\"rules\": \"text\", \"from\": \"2024-01-01T00:00:00Z\", \"device\": \"freezer-1\"}";
    let answer = post(&service, PATH, "application/json; charset=utf-8", body).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    assert!(answer.body.contains("{\"type\":\"progress\"}\n"), "{answer:?}");
    assert!(answer.body.contains("{\"type\":\"summary\"}\n"), "{answer:?}");
    let expected = BacktestRequest {
        rule: RuleName::new("too-warm").expect("valid"),
        rules: Tried::File("text".to_owned()),
        from: Some(Timestamp::from_secs(1_704_067_200)),
        to: None,
        device: Some(device("freezer-1")),
        readings_max: 77,
        time_max: Duration::from_mins(5),
    };
    assert_eq!(*service.trials.asked.lock().expect("whole"), [expected]);
    service.trials.says(&[]);
    assert_eq!(post(&service, PATH, "application/json", "").await.status, 200, "all may be absent");
    service.trials.says(&[]);
    let draft = "{\"toml\": \"draft\"}";
    assert_eq!(post(&service, PATH, "application/json", draft).await.status, 200);
    let asked: Vec<_> =
        service.trials.asked.lock().expect("whole").iter().map(|it| it.rules.clone()).collect();
    assert_eq!(asked[1..], [Tried::InForce, Tried::Draft("draft".to_owned())]);
}

#[tokio::test]
async fn what_is_wrong_is_a_problem() {
    let service = Service::start().await;
    check(&post(&service, PATH, "text/plain", "{}").await, 415, "not_json");
    let json = "application/json";
    for (body, status, code) in [
        ("{", 400, "invalid_body"),
        ("{\"rule\": 1}", 400, "invalid_body"),
        ("{\"rules\": \"\", \"toml\": \"\"}", 400, "invalid_body"),
        ("{\"from\": \"yesterday\"}", 400, "invalid_parameter"),
        ("{\"device\": \"none\"}", 404, "device_not_found"),
        ("{}", 503, "backtest_busy"),
    ] {
        check(&post(&service, PATH, json, body).await, status, code);
    }
    check(&post(&service, &format!("{PATH}?x=1"), json, "").await, 400, "unknown_parameter");
    check(&post(&service, "/api/v1/rules/a%0Ab/backtest", json, "").await, 404, "rule_not_found");
    for (error, status, code) in [
        (BacktestError::NoSuchRule("No.".to_owned()), 404, "rule_not_found"),
        (BacktestError::WrongRules("Wrong.".to_owned()), 422, "invalid_rules"),
        (BacktestError::TooMany("Many.".to_owned()), 422, "too_many_readings"),
        (PortError::DatabaseAway.into(), 503, "database_away"),
    ] {
        service.trials.refuses(error);
        check(&post(&service, PATH, json, "{}").await, status, code);
    }
    check(&service.get(PATH).await, 405, "method_not_allowed");
    let long = format!("{{\"rules\": \"{}\"}}", "x".repeat(2_000_000));
    check(&post(&service, PATH, json, &long).await, 413, "body_too_large");
}

#[tokio::test]
async fn a_backtest_ends_when_the_service_stops() {
    let service = Service::start().await;
    let (lines, receiver) = mpsc::channel(1);
    *service.trials.next.lock().expect("whole") = Some(Ok(receiver));
    let stopping = async {
        until("it is asked", || !service.trials.asked.lock().expect("whole").is_empty()).await;
        service.shutdown.cancel();
        within("its lines are given up", lines.closed()).await;
    };
    let (answer, ()) = tokio::join!(post(&service, PATH, "application/json", ""), stopping);
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("summary"));
}
