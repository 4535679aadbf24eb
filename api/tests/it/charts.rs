//! Readings as charts show them: so many points, or buckets without gaps.

use bellwire_api::ports::{BucketRow, ReadingRow};
use bellwire_model::{Timestamp, Value};
use serde_json::json;

use crate::support::{Service, metric};

const READINGS: &str = "/api/v1/devices/freezer-1/readings?from=1970-01-01T00:00:00Z";

fn reading(secs: i64, value: Value) -> ReadingRow {
    ReadingRow { at: Timestamp::from_secs(secs), metric: metric("temperature"), value }
}

fn bucket(minute: i64, name: &str, avg: f64) -> BucketRow {
    let (at, metric) = (Timestamp::from_secs(minute * 60), metric(name));
    let (min, max) = (avg - 1.0, avg + 1.0);
    BucketRow { at, group: None, metric, avg, min, max, count: 2, first: min, last: max }
}

#[tokio::test]
async fn a_day_of_readings_becomes_the_points_of_a_chart() {
    let service = Service::start().await;
    let value = |secs: i64| match secs {
        40_000 => Value::Number(99.0),
        50_000 => Value::Text("broken".into()),
        _ => Value::Number(if secs % 2 == 0 { -18.0 } else { -19.0 }),
    };
    *service.kept.readings.lock().expect("whole") =
        (0..86_400).map(|secs| reading(secs, value(secs))).collect();
    for method in ["", "&method=lttb", "&method=minmax"] {
        let path = format!("{READINGS}&metric=temperature&points=200{method}");
        let chart = service.get(&path).await.json();
        let points = chart["readings"].as_array().expect("a list");
        assert_eq!(points.len(), 200, "{method}");
        assert_eq!(chart["next"], json!(null));
        assert_eq!(points[0]["at"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(points[points.len() - 1]["at"], "1970-01-01T23:59:59.000000Z");
        let at = "1970-01-01T11:06:40.000000Z";
        let spike = json!({"at": at, "metric": "temperature", "value": 99.0});
        assert!(points.contains(&spike), "{method} lost the spike");
        assert!(points.iter().all(|point| point["value"].is_number()), "{method}");
    }
    let csv = format!("{READINGS}&metric=temperature&points=2&format=csv");
    assert_eq!(
        service.get(&csv).await.body,
        "at,metric,value,text\r\n\
         1970-01-01T00:00:00.000000Z,temperature,-18.0,\r\n\
         1970-01-01T23:59:59.000000Z,temperature,-19.0,\r\n"
    );
}

#[tokio::test]
async fn few_readings_are_shown_as_they_are() {
    let service = Service::start().await;
    let path = format!("{READINGS}&metric=temperature&points=10");
    assert_eq!(service.get(&path).await.json(), json!({"readings": [], "next": null}));
    *service.kept.readings.lock().expect("whole") =
        vec![reading(1, Value::Number(4.0)), reading(2, Value::Number(5.0))];
    assert_eq!(
        service.get(&path).await.json(),
        json!({"readings": [
            {"at": "1970-01-01T00:00:01.000000Z", "metric": "temperature", "value": 4.0},
            {"at": "1970-01-01T00:00:02.000000Z", "metric": "temperature", "value": 5.0},
        ], "next": null})
    );
}

#[tokio::test]
async fn gaps_between_buckets_are_filled_as_asked() {
    let service = Service::start().await;
    *service.kept.buckets.lock().expect("whole") =
        vec![bucket(0, "temperature", 1.0), bucket(2, "temperature", 3.0)];
    for (fill, between) in [
        ("null", json!([null, null])),
        ("previous", json!([1.0, 0.0])),
        ("linear", json!([2.0, 1.0])),
    ] {
        let path = format!("{READINGS}&to=1970-01-01T00:03:00Z&bucket=1m&fill={fill}");
        let body = service.get(&path).await.json();
        let buckets = body["buckets"].as_array().expect("a list");
        let counts: Vec<_> = buckets.iter().map(|it| it["count"].clone()).collect();
        assert_eq!(counts, [2, 0, 2], "{fill}");
        assert_eq!(json!([buckets[1]["avg"], buckets[1]["min"]]), between, "{fill}");
        assert_eq!(body["next"], json!(null));
    }
    let none = format!("{READINGS}&to=1970-01-01T00:03:00Z&bucket=1m&fill=none");
    let body = service.get(&none).await.json();
    assert_eq!(body["buckets"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn no_more_is_filled_than_one_answer_has() {
    let service = Service::start().await;
    *service.kept.buckets.lock().expect("whole") = vec![bucket(0, "a", 1.0), bucket(0, "b", 1.0)];
    // 6,000 minutes are no trouble for one metric, but too many for two.
    let path = format!("{READINGS}&to=1970-01-05T04:00:00Z&bucket=1m&fill=null");
    let answer = service.get(&path).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &"too_many_buckets".into()));
    assert!(answer.body.contains("12000"), "{}", answer.body);
    service.kept.buckets.lock().expect("whole").pop();
    let body = service.get(&path).await.json();
    assert_eq!(body["buckets"].as_array().map(Vec::len), Some(6_000));
}
