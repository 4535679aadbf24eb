//! What a broker or a bridge refuses, and how it is said.

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::backup::run;
use crate::bridge::{bridged, bridged_with, check, configure, connected, metric, received, url};
use crate::support::device::Device;
use crate::support::mosquitto::Mosquitto;
use crate::support::service::{Settings, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_once_and_tried_until_it_is_right() {
    let mut service = bridged("mqtt://127.0.0.1:1", "");
    let users = service.dir().join("users");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&users)
        .args(["bellwire", "right"])
        .stdout(Stdio::null())
        .status()
        .await
        .expect("mosquitto_passwd is part of Debian's mosquitto");
    assert!(made.success());
    let more = format!("allow_anonymous false\npassword_file {}\n", users.display());
    let broker = Mosquitto::start_with(service.dir(), &more).await;
    let password = service.dir().join("password");
    std::fs::write(&password, "wrong\n").unwrap();
    let login = format!("user = 'bellwire'\npassword_file = '{}'", password.display());
    configure(&service, &url(&broker), &login);
    service.launch().await;
    let failed =
        async || metric(&service, "bellwire_bridge_failures_total{bridge=\"plant\"}").await;
    let mut pulse = crate::support::service::poll();
    while failed().await < 3.0 {
        pulse.tick().await;
    }
    let said: Vec<_> =
        service.log().lines().filter(|it| it.contains("WARN")).map(str::to_owned).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    let expected = format!(
        "Bridge `plant` is not connected to {}: it refused user `bellwire`: not authorized: wrong \
         user or password, or not allowed. It tries again and again.",
        url(&broker)
    );
    assert!(said[0].contains(&expected), "{}", said[0]);
    let (status, readiness) = service.get("/readyz").await;
    assert_eq!((status, &check(&readiness)["status"]), (200, &json!("degraded")), "{readiness}");
    let doctor = run(&service, &["doctor"]).await;
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("`plant` is not connected: it refused user"), "{doctor}");
    assert!(!service.log().contains("wrong\n") && !doctor.contains(" wrong\n"));
    assert!(metric(&service, "bellwire_bridge_connected{bridge=\"plant\"}").await < 0.5);

    std::fs::write(&password, "right\n").unwrap();
    connected(&service).await;
    assert!(metric(&service, "bellwire_bridge_connected{bridge=\"plant\"}").await > 0.5);
    let doctor = run(&service, &["doctor"]).await;
    assert!(String::from_utf8(doctor.stdout).unwrap().contains("`plant` is connected"));
    assert!(service.stop().await.success());
    service.assert_quiet(&["Bridge `plant` is not connected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_the_log_is_counted_and_does_not_stay() {
    let settings = Settings::default().set("BELLWIRE_MQTT_PACKET_BYTES_MAX", 65_536);
    let mut service = bridged_with(settings, "mqtt://127.0.0.1:1", "");
    let broker = Mosquitto::start(service.dir()).await;
    let more = "protocol = '3.1.1'\ntopic_prefix = 'plant-7/'\ntopics = ['#']";
    configure(&service, &url(&broker), more);
    let mut publisher = Device::connect(&broker.address(), "publisher").await;
    publisher.publish("plant-7/devices/r/telemetry", "before anyone subscribed").await;
    service.launch().await;
    connected(&service).await;
    publisher.publish("plant-7/other", "x").await;
    publisher.publish("plant-7/devices/r/telemetry", vec![b' '; 100_000]).await;
    publisher.publish("devices/r/telemetry", r#"{"n":9}"#).await;
    publisher.publish("plant-7/devices/r/telemetry", r#"{"n":0}"#).await;
    let audit = received(&service, "r", 1).await;
    assert_eq!((&audit["stored"], &audit["received"]), (&json!(1), &json!(1)), "{audit}");
    for (reason, n) in [("no_telemetry", 1.0), ("too_large", 1.0), ("retained", 0.0)] {
        let name =
            format!("bellwire_bridge_rejected_total{{bridge=\"plant\",reason=\"{reason}\"}}");
        assert!((metric(&service, &name).await - n).abs() < 0.5, "{reason}");
    }
    let acknowledged = metric(&service, "bellwire_bridge_acknowledged_total{bridge=\"plant\"}");
    assert!((acknowledged.await - 3.0).abs() < 0.5, "all of them");
    assert!(service.stop().await.success());
    service.assert_quiet(&["Bridge `plant` drops a publish on `plant-7/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mapped_anew_is_subscribed_to() {
    let mut service = bridged("mqtt://127.0.0.1:1", "");
    let broker = Mosquitto::start(service.dir()).await;
    configure(&service, &url(&broker), "");
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, "").unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    connected(&service).await;
    std::fs::write(&path, "[[mapping]]\npreset = 'tasmota'\n").unwrap();
    wait_until("the broker has seen it", || broker.log().contains("tele/+/SENSOR")).await;
    let mut publisher = Device::connect(&broker.address(), "publisher").await;
    publisher.publish("tele/plug/SENSOR", r#"{"ENERGY": {"Power": 9}}"#).await;
    received(&service, "plug", 1).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
