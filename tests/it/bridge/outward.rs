//! What Bellwire itself publishes reaches whoever is behind a bridge.

use crate::bridge::{bridged, configure, connected, received, url};
use crate::sparkplug::{DEVICE_DATA, bytes};
use crate::support::device::Device;
use crate::support::mosquitto::Mosquitto;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_a_bridge_is_asked_to_tell_all_again() {
    let mut service = bridged("mqtt://127.0.0.1:1", "");
    let broker = Mosquitto::start(service.dir()).await;
    configure(&service, &url(&broker), "topic_prefix = 'hall-2/'");
    let path = service.dir().join("mappings.toml");
    std::fs::write(&path, "[[mapping]]\npreset = 'sparkplug'\n").unwrap();
    service.set("BELLWIRE_MAPPINGS", path.display());
    service.launch().await;
    connected(&service).await;
    let mut node = Device::connect(&broker.address(), "line1").await;
    let mut ear = Device::connect(&broker.address(), "line1-commands").await;
    ear.subscribe("hall-2/spBv1.0/plant/NCMD/line1").await;
    // Nobody has heard its birth: what its aliases mean is not known.
    node.publish("hall-2/spBv1.0/plant/DDATA/line1/oven", bytes(DEVICE_DATA)).await;
    let (topic, request) = ear.receive_bytes().await;
    assert_eq!(topic, "hall-2/spBv1.0/plant/NCMD/line1");
    let name = b"Node Control/Rebirth";
    assert!(request.windows(name.len()).any(|window| window == name), "{request:?}");
    received(&service, "plant:line1:oven", 1).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
