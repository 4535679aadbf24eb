//! Other topics and payloads: mapped, mapped anew while a client is connected, and after a crash.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::http;
use crate::support::service::{Service, Settings};

const TASMOTA: &str = "[[mapping]]\npreset = 'tasmota'\n";
const LINES: &str = "[[mapping]]\ntopic = 'lines/{device}'\nformat = 'influx'\n";

/// The latest value of a metric.
async fn wait_for_latest(service: &Service, device: &str, metric: &str, value: Value) {
    let path = format!("/api/v1/devices/{device}/latest");
    let has = |body: &Value| {
        let latest = body["latest"].as_array();
        let found = latest.and_then(|all| all.iter().find(|it| it["metric"] == metric));
        found.is_some_and(|found| found["value"] == value)
    };
    service.wait_for(&path, has).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_topics_are_telemetry_from_when_they_are_mapped() {
    let mut service = Service::prepare(Settings::default());
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, TASMOTA).unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    let mut client = Device::connect(&service.mqtt(), "gateway").await;
    client.publish("tele/plug/SENSOR", r#"{"ENERGY": {"Power": 9}}"#).await;
    wait_for_latest(&service, "plug", "ENERGY.Power", json!(9.0)).await;

    // Ordinary MQTT until it is mapped; the client stays connected, and on the same topic.
    client.publish("lines/meter", "power w=1").await;
    std::fs::write(&path, format!("{TASMOTA}{LINES}wrong = 1\n")).unwrap();
    crate::support::service::wait_until("the mistake is reported", || {
        service.log().contains("The mappings in force stay as they are")
    })
    .await;
    std::fs::write(&path, format!("{TASMOTA}{LINES}")).unwrap();
    crate::support::service::wait_until("the mappings are in force", || {
        service.log().contains("Read the mappings in")
    })
    .await;
    client.publish("lines/meter", "power w=2").await;
    wait_for_latest(&service, "meter", "power.w", json!(2.0)).await;
    client.publish("lines/meter", "power w=").await;

    service.kill().await;
    service.launch().await;
    wait_for_latest(&service, "meter", "power.w", json!(2.0)).await;
    let path = "/api/v1/devices/meter/audit";
    let audit = service.wait_for(path, |audit| audit["received"] == 2).await;
    assert_eq!((&audit["stored"], &audit["quarantined"]), (&json!(1), &json!(1)), "{audit}");
    drop(client);
    assert!(service.stop().await.success());
    service.assert_quiet(&["The mappings in force stay as they are"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_shown_and_stored() {
    let mut service = Service::prepare(Settings::default());
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, "[[mapping]]\ntopic = 'senml/{device}'\nformat = 'senml'\n").unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    let mut client = Device::connect(&service.mqtt(), "gateway").await;
    client
        .publish("senml/oven", r#"[{"n": "t", "u": "Cel", "v": 21.5}, {"n": "n", "v": 1}]"#)
        .await;
    wait_for_latest(&service, "oven", "t", json!(21.5)).await;
    let (_, latest) = service.get("/api/v1/devices/oven/latest").await;
    assert_eq!(
        (&latest["latest"][1]["unit"], &latest["latest"][0]["unit"]),
        (&json!("Cel"), &json!(null))
    );
    service.wait_for("/api/v1/devices/oven/audit", |audit| audit["stored"] == 1).await;
    let rows =
        service.sql().await.query("SELECT device, metric, unit FROM units", &[]).await.unwrap();
    let rows: Vec<[String; 3]> = rows.iter().map(|row| [0, 1, 2].map(|n| row.get(n))).collect();
    assert_eq!(rows, [["oven", "t", "Cel"]]);
    drop(client);
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_tried_on_a_payload_over_http() {
    let mut service = Service::start(Settings::default()).await;
    let ask = async |body: Value| {
        let (status, _, answer) =
            http::send(&service.http(), "POST /api/v1/mappings/try", "", &body.to_string())
                .await
                .unwrap();
        (status, serde_json::from_str::<Value>(&answer).unwrap())
    };
    let payload = "power w=9 1700000000000000000";
    let body = json!({"topic": "lines/meter", "payload": payload, "toml": LINES});
    let (status, tried) = ask(body).await;
    assert_eq!(
        (status, &tried["valid"], &tried["read_by"]),
        (200, &json!(true), &json!("lines/{device}"))
    );
    let expected = json!([{"device": "meter", "metric": "power.w", "at": "2023-11-14T22:13:20.000000Z", "value": 9.0}]);
    assert_eq!(
        (&tried["readings"], &tried["list"], &tried["reason"]),
        (&json!(1), &expected, &Value::Null)
    );

    // As the mappings are, it is no telemetry; and what is built in says what is wrong and where.
    let (_, nobody) = ask(json!({"topic": "lines/meter", "payload": payload})).await;
    assert_eq!((&nobody["read_by"], &nobody["readings"]), (&Value::Null, &json!(0)), "{nobody}");
    let (_, bad) = ask(json!({"topic": "devices/a/telemetry", "payload_base64": "eyJ0Ijo="})).await;
    assert_eq!(
        (&bad["read_by"], &bad["reason"]),
        (&json!("built in"), &json!("bad_json")),
        "{bad}"
    );
    assert!(bad["detail"].as_str().is_some_and(|it| it.contains("column")), "{bad}");

    let wrong = format!("{LINES}precision = 'h'\n");
    let (status, wrong) =
        ask(json!({"topic": "lines/meter", "payload": payload, "toml": wrong})).await;
    assert_eq!((status, &wrong["valid"]), (200, &json!(false)), "{wrong}");
    let mistake = &wrong["errors"][0];
    assert_eq!((&mistake["line"], &mistake["column"]), (&json!(4), &json!(13)), "{mistake}");
    for body in [
        json!({"topic": "t"}),
        json!({"topic": "t", "payload": "", "payload_base64": ""}),
        json!({"topic": "t", "payload_base64": "?"}),
        json!({"topic": "t", "payload": "x".repeat(64 * 1024 + 1)}),
        json!({"topic": "t", "payload": "", "received_at": "yesterday"}),
    ] {
        let (status, answer) = ask(body).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_body")), "{answer}");
    }
    assert!(service.stop().await.success());
}
