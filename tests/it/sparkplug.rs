//! An edge node of Sparkplug B: born, read by its aliases also after a crash, asked to tell all again, dead.
//!
//! The payloads were made by Eclipse Tahu's library for JavaScript (`sparkplug-payload` 1.0.3).

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::service::{Service, Settings};

const NODE_BIRTH: &str = "08f081eab6b733120b0a05626453657120045803121a0a144e6f646520436f6e74726f6c2f52656269727468200b700012170a08496e707574732f4110011888fae9b6b733200b700112390a0e537570706c7920566f6c74616765100220094a1e0a07656e67556e69740a06656e674c6f771205080c42015612040803180065000048411800";
const DEVICE_BIRTH: &str = "08f181eab6b733122b0a0b54656d7065726174757265100a20024a120a07656e67556e69741207080c4203c2b04350d8ffffff0f12110a05436f756e74100b20085880e497d01212140a055374617465100c200c7a0772756e6e696e6712110a06526563697065100d201182010201021801";
pub(crate) const DEVICE_DATA: &str = "08c091eab6b7331211100a18c091eab6b733200250d9ffffff0f1214100c18c091eab6b733200c7a0773746f707065641802";
const DEVICE_DATA_5: &str = "0890a1eab6b7331211100a1890a1eab6b733200250daffffff0f1805";
const NODE_DEATH: &str = "08f081eab6b733120b0a05626453657120045803";

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The node, and its ear: commands may come before what it publishes is acknowledged.
async fn connect(service: &Service) -> (Device, Device) {
    let node = Device::connect(&service.mqtt(), "line1").await;
    let mut ear = Device::connect(&service.mqtt(), "line1-commands").await;
    ear.subscribe("spBv1.0/plant/NCMD/line1").await;
    (node, ear)
}

async fn wait_for_temperature(service: &Service, value: f64) -> Value {
    let has = |body: &Value| {
        let latest = body["latest"].as_array().into_iter().flatten();
        latest.clone().any(|it| it["metric"] == "Temperature" && it["value"] == value)
    };
    service.wait_for("/api/v1/devices/plant:line1:oven/latest", has).await
}

async fn wait_until_online(service: &Service, device: &str, online: impl Into<Value>) {
    let online = online.into();
    let path = format!("/api/v1/devices/{device}");
    service.wait_for(&path, |body| body["online"] == online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_node_lives_and_dies() {
    let mut service = Service::prepare(Settings::default());
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, "[[mapping]]\npreset = 'sparkplug'\n").unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    let (mut node, _ear) = connect(&service).await;
    node.publish("spBv1.0/plant/NBIRTH/line1", bytes(NODE_BIRTH)).await;
    node.publish("spBv1.0/plant/DBIRTH/line1/oven", bytes(DEVICE_BIRTH)).await;
    node.publish("spBv1.0/plant/DDATA/line1/oven", bytes(DEVICE_DATA)).await;
    let latest = wait_for_temperature(&service, -39.0).await;
    let units = latest["latest"].as_array().unwrap().iter().map(|it| (&it["metric"], &it["unit"]));
    let units: Vec<_> = units.filter(|(_, unit)| !unit.is_null()).collect();
    assert_eq!(units, [(&json!("Temperature"), &json!("°C"))], "{latest}");
    wait_until_online(&service, "plant:line1", true).await;
    wait_until_online(&service, "plant:line1:oven", true).await;

    // What the births said is in the log. Two messages were lost: that is counted, and asked for.
    service.kill().await;
    service.launch().await;
    let (mut node, mut ear) = connect(&service).await;
    node.publish("spBv1.0/plant/DDATA/line1/oven", bytes(DEVICE_DATA_5)).await;
    wait_for_temperature(&service, -38.0).await;
    let (topic, request) = ear.receive_bytes().await;
    assert_eq!(topic, "spBv1.0/plant/NCMD/line1");
    let name = b"Node Control/Rebirth";
    assert!(request.windows(name.len()).any(|window| window == name), "{request:?}");
    let metrics = service.metrics().await;
    assert!(metrics.contains("bellwire_sparkplug_lost_total 2\n"), "{metrics}");
    assert!(metrics.contains("bellwire_sparkplug_rebirths_total 1\n"), "{metrics}");

    node.publish("spBv1.0/plant/NDEATH/line1", bytes(NODE_DEATH)).await;
    wait_until_online(&service, "plant:line1", false).await;
    wait_until_online(&service, "plant:line1:oven", false).await;
    // The birth has a metric that is no reading: it is on the shelf, the rest is stored.
    let path = "/api/v1/devices/plant:line1:oven/audit";
    let audit = service.wait_for(path, |audit| audit["received"] == 3).await;
    assert_eq!((&audit["stored"], &audit["quarantined"]), (&json!(2), &json!(1)), "{audit}");
    drop((node, ear));
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
