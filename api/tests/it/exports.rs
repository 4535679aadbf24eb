//! Readings as files: whole, of whatever length, and never a part that looks whole.

use std::sync::atomic::Ordering;

use bellwire_api::ports::{BucketRow, ReadingRow};
use bellwire_model::{Timestamp, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Service, metric, until, within};

const READINGS: &str = "/api/v1/devices/freezer-1/readings?from=1970-01-01T00:00:00Z";

fn number(secs: i64, number: f64) -> ReadingRow {
    let value = Value::Number(number);
    ReadingRow { at: Timestamp::from_secs(secs), metric: metric("temperature"), value }
}

fn text(secs: i64, text: &str) -> ReadingRow {
    let value = Value::Text(text.into());
    ReadingRow { at: Timestamp::from_secs(secs), metric: metric("door"), value }
}

fn bucket(secs: i64, avg: f64) -> BucketRow {
    let (at, metric) = (Timestamp::from_secs(secs), metric("temperature"));
    BucketRow { at, group: None, metric, avg, min: avg, max: avg, count: 1, first: avg, last: avg }
}

/// The chunks' contents, and whether the last chunk came.
fn unchunked(answer: &Answer) -> (String, bool) {
    assert_eq!(answer.header("transfer-encoding"), "chunked", "{}", answer.head);
    let (mut body, mut rest) = (String::new(), answer.body.as_str());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = after.get(..size) else {
            body.push_str(after);
            break;
        };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}

async fn file(service: &Service, path: &str) -> String {
    let answer = service.get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (body, is_whole) = unchunked(&answer);
    assert!(is_whole, "{path}");
    body
}

#[tokio::test]
async fn readings_are_comma_separated_values_with_a_header() {
    let service = Service::start().await;
    *service.kept.readings.lock().expect("whole") =
        vec![number(0, -18.5), text(60, "shut, \"tight\""), text(61, "=1+1"), text(62, "")];
    let answer = service.get(&format!("{READINGS}&format=csv")).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    let named = "attachment; filename=\"freezer-1-readings.csv\"";
    assert_eq!(answer.header("content-disposition"), named);
    let (body, is_whole) = unchunked(&answer);
    assert!(is_whole);
    assert_eq!(
        body,
        "at,metric,value,text\r\n\
         1970-01-01T00:00:00.000000Z,temperature,-18.5,\r\n\
         1970-01-01T00:01:00.000000Z,door,,\"shut, \"\"tight\"\"\"\r\n\
         1970-01-01T00:01:01.000000Z,door,,'=1+1\r\n\
         1970-01-01T00:01:02.000000Z,door,,\"\"\r\n"
    );
}

#[tokio::test]
async fn readings_are_json_lines_for_who_accepts_them() {
    let service = Service::start().await;
    *service.kept.readings.lock().expect("whole") = vec![number(0, 1.0), text(60, "=shut")];
    let accept = "accept: application/x-ndjson";
    let request = format!(
        "GET {READINGS}&metric=door HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{accept}\r\n\r\n"
    );
    let answer = service.send(&request).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let named = "attachment; filename=\"freezer-1-door.ndjson\"";
    assert_eq!(answer.header("content-disposition"), named);
    let (body, _) = unchunked(&answer);
    assert_eq!(
        body,
        "{\"at\":\"1970-01-01T00:00:00.000000Z\",\"metric\":\"temperature\",\"value\":1.0}\n\
         {\"at\":\"1970-01-01T00:01:00.000000Z\",\"metric\":\"door\",\"text\":\"=shut\"}\n"
    );
}

#[tokio::test]
async fn an_export_has_every_row_of_every_page_or_the_first_of_them() {
    let service = Service::start().await;
    *service.kept.readings.lock().expect("whole") =
        (0..25_000).map(|secs| number(secs, 1.5)).collect();
    let body = file(&service, &format!("{READINGS}&format=csv")).await;
    assert_eq!(body.lines().count(), 1 + 25_000);
    assert!(body.ends_with("1970-01-01T06:56:39.000000Z,temperature,1.5,\r\n"));
    assert_eq!(service.kept.asked.lock().expect("whole").len(), 3);
    let some = file(&service, &format!("{READINGS}&format=ndjson&limit=12345")).await;
    assert_eq!(some.lines().count(), 12_345);
    let last = file(&service, &format!("{READINGS}&format=csv&cursor=24999")).await;
    assert_eq!(last.lines().count(), 2);
    let none = file(&service, &format!("{READINGS}&format=csv&cursor=25000")).await;
    assert_eq!(none, "at,metric,value,text\r\n");
}

#[tokio::test]
async fn buckets_are_exported_too_of_one_device_or_of_all() {
    let service = Service::start().await;
    *service.kept.buckets.lock().expect("whole") =
        (0..10_001).map(|minute| bucket(minute * 60, 2.5)).collect();
    let range = "from=1970-01-01T00:00:00Z&to=2020-01-01T00:00:00Z&bucket=1m";
    for whose in ["devices/freezer-1/readings", "readings"] {
        let body = file(&service, &format!("/api/v1/{whose}?{range}&format=csv")).await;
        assert_eq!(body.lines().count(), 1 + 10_001, "{whose}");
    }
    let all = service.get(&format!("/api/v1/readings?{range}&format=csv&limit=1")).await;
    let named = "attachment; filename=\"all-readings.csv\"";
    assert_eq!(all.header("content-disposition"), named);
    *service.kept.buckets.lock().expect("whole") = vec![bucket(60, 2.5)];
    let path = format!("{READINGS}&to=1970-01-01T00:03:00Z&bucket=1m&fill=previous&format=csv");
    assert_eq!(
        service.get(&path).await.body,
        "at,metric,avg,min,max,count,first,last\r\n\
         1970-01-01T00:00:00.000000Z,temperature,,,,0,,\r\n\
         1970-01-01T00:01:00.000000Z,temperature,2.5,2.5,2.5,1,2.5,2.5\r\n\
         1970-01-01T00:02:00.000000Z,temperature,2.5,2.5,2.5,0,2.5,2.5\r\n"
    );
}

#[tokio::test]
async fn an_export_waits_for_its_client_and_is_cut_off_when_history_goes_away() {
    let service = Service::start().await;
    // Far more than the buffers of two sockets hold.
    let long = "x".repeat(1_000);
    *service.kept.readings.lock().expect("whole") =
        (0..100_000).map(|secs| text(secs, &long)).collect();
    let n_asked = || service.kept.asked.lock().expect("whole").len();
    let mut stream = TcpStream::connect(service.addr).await.expect("it listens");
    let request = format!("GET {READINGS}&format=csv HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut bytes = vec![0; 4_096];
    within("the head", stream.read_exact(&mut bytes)).await.expect("an answer");
    service.kept.away.store(true, Ordering::Relaxed);
    assert!(n_asked() < 10, "{} pages for a client that reads nothing", n_asked());
    // An error is as good as an end that comes too early.
    drop(within("the end", stream.read_to_end(&mut bytes)).await);
    let answer = Answer::read(&String::from_utf8_lossy(&bytes));
    let (body, is_whole) = unchunked(&answer);
    assert!(!is_whole, "a part must not look whole");
    assert!(body.starts_with("at,metric,value,text\r\n1970-01-01T00:00:00.000000Z,door,,x"));
    until("the cut is counted", || service.metric("bellwire_http_exports_cut_total") == 1.0).await;
}

#[tokio::test]
async fn what_is_wrong_before_the_first_row_is_a_problem_as_everywhere() {
    let service = Service::start().await;
    let path = format!("{READINGS}&format=csv");
    let bad = service.get(&format!("{path}&cursor=nonsense")).await;
    assert_eq!((bad.status, &bad.json()["code"]), (400, &"invalid_parameter".into()));
    let old = service.send(&format!("GET {path} HTTP/1.0\r\n\r\n")).await;
    assert_eq!((old.status, &old.json()["code"]), (426, &"http_1_1_required".into()));
    service.kept.away.store(true, Ordering::Relaxed);
    let away = service.get(&path).await;
    assert_eq!((away.status, &away.json()["code"]), (503, &"database_away".into()));
}

#[tokio::test]
async fn exports_have_so_many_places_and_give_them_back() {
    let service = Service::start_with(|config| {
        // Nobody's patience ends meanwhile, and a page finds room beside the exports.
        config.history_timeout_ms = 3_600_000.try_into().expect("not zero");
        config.history_queries_max = 17.try_into().expect("not zero");
    })
    .await;
    *service.kept.readings.lock().expect("whole") = vec![text(0, "a"), text(1, "b")];
    // Each has its place when it asks for its first page, and waits there until it is let go.
    service.kept.stuck.store(true, Ordering::Relaxed);
    let path = format!("{READINGS}&format=csv");
    let mut clients = Vec::new();
    for n_asked in 1..=16 {
        let mut stream = TcpStream::connect(service.addr).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        clients.push(stream);
        let all_ask = || service.kept.asked.lock().expect("whole").len() == n_asked;
        until("it asks history", all_ask).await;
    }
    let refused = service.get(&path).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &"too_many_exports".into()));
    assert_eq!(refused.header("retry-after"), "10");
    service.kept.stuck.store(false, Ordering::Relaxed);
    assert_eq!(service.get(READINGS).await.status, 200, "pages are still given");
    drop(clients);
    service.kept.release.notify_waiters();
    let open = "bellwire_http_connections";
    until("all have gone", || service.metric(open) == 0.0).await;
    assert_eq!(file(&service, &format!("{path}&limit=1")).await.lines().count(), 2);
}
