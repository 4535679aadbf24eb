//! What containers and scripts ask the program: whether a service is well.

use crate::support::raw::RawClient;
use crate::support::service::{Service, Settings, poll};

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_tells_a_service_that_runs_from_one_that_does_not() {
    let mut service = Service::start(Settings::guarded()).await;
    let url = format!("http://{}", service.http());
    for arguments in [
        &["healthcheck"][..],
        &["healthcheck", "--ready"],
        &["healthcheck", "--url", &url],
        &["healthcheck", "--ready", "--url", &url],
    ] {
        service.run(arguments).await;
    }
    assert!(service.stop().await.success());
    let output = service.program(&["healthcheck"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no service answers on http://127.0.0.1:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_says_what_is_not_well() {
    // There is never so much room on a disk.
    let settings = Settings::default().set("BELLWIRE_LOG_DISK_RESERVE_BYTES", 1_u64 << 60);
    let mut service = Service::start(settings).await;
    let mut client = RawClient::connect(&service.mqtt(), "d", 60).await;
    client.publish(1, b"devices/d/telemetry/t", b"1").await;
    let mut pulse = poll();
    while service.get("/readyz").await.0 == 200 {
        pulse.tick().await;
    }
    let output = service.program(&["healthcheck", "--ready"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("/readyz: the answer is 503, log: the disk is full"), "{said}");
    service.run(&["healthcheck"]).await;
    service.kill().await;
}
