//! The disk that has everything is full, log and database: devices wait, none is told that something is
//! kept which is not, and when there is room again all goes on without anybody doing anything.

use tokio::time::{Instant, timeout};

use super::{Drill, RULES, trouble};
use crate::support::service::{Service, Settings, poll};

/// What may be said of a full disk.
const FULL: [&str; 11] = [
    "sockets are held",
    "Cannot prepare the log's next segment",
    "No space left on device",
    "stored on a second connection",
    "Failed to write to the database",
    "Failed to start the database again",
    "Failed to open the database",
    "PostgreSQL has ended",
    "Connection could not be recycled",
    "is not kept",
    "snapshot",
];

/// Waits until no publish is acknowledged any more: what the log had prepared is used up.
async fn devices_wait(drill: &mut Drill) {
    let begun = Instant::now();
    while timeout(trouble(), drill.load.goes_on(1)).await.is_ok() {
        assert!(begun.elapsed() < crate::support::service::PATIENCE, "publishes are acknowledged");
    }
    drill.say("devices wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_full() {
    let settings = Settings::with_rules(RULES).set("BELLWIRE_LOG_SEGMENT_BYTES", 256 << 10);
    let mut service = Service::prepare(settings);
    let full = service.dir().join("full");
    std::fs::create_dir_all(service.data_dir()).unwrap();
    service.set_database_disk(".".as_ref(), |disk| disk.full_while(&full));
    service.launch().await;
    let mut drill = Drill::begin(service).await;

    std::fs::write(&full, "").unwrap();
    drill.say("the disk is full");
    drill.readiness("unavailable", "the disk is full").await;
    drill.pages("BellwireDevicesHeld").await;
    devices_wait(&mut drill).await;
    let mut pulse = poll();
    let until = Instant::now() + trouble();
    while Instant::now() < until {
        // Who looks is answered.
        assert_eq!(drill.service.get("/api/v1/alerts").await.0, 200);
        pulse.tick().await;
    }

    std::fs::remove_file(&full).unwrap();
    drill.say("there is room again");
    drill.pages_no_more("BellwireDevicesHeld").await;
    drill.end(&FULL).await;
}
