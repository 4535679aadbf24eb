//! The database's disk is full: readings wait in the log, which has a disk of its own here, and
//! when there is room again everything is stored once without anybody doing anything.

use std::path::Path;

use crate::outage::{RULES, alerts_go_on, database_is};
use crate::support::load::Load;
use crate::support::service::{Service, Settings};
use crate::support::watcher::Watcher;

/// What may be said while there is no room.
const FULL: [&str; 6] = [
    "stored on a second connection",
    "Failed to write to the database",
    "Failed to start the database again",
    "Failed to open the database",
    "PostgreSQL has ended",
    "Starting without the database",
];

/// Whether readiness says of the database that it is degraded, and why.
async fn says_why(service: &Service, reason: &str) {
    let says = |body: &serde_json::Value| {
        body["status"] == "degraded" && body["checks"].to_string().contains(reason)
    };
    service.wait_for("/readyz", says).await;
}

/// How many lines say that something is wrong.
fn n_warnings(service: &Service) -> usize {
    let log = service.log();
    // By their level: what PostgreSQL says of itself is passed on as INFO, its own WARNINGs too.
    log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count()
}

/// Whether the service is killed and started again while there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Runs,
    IsKilled,
}

/// Below `folder` of the data directory there is no room for a while.
async fn no_room_below(folder: &Path, meanwhile: Meanwhile) {
    let reason = "No space left on device";
    let mut service = Service::prepare(Settings::with_rules(RULES));
    let full = service.dir().join("full");
    service.set_database_disk(folder, |disk| disk.full_while(&full));
    service.launch().await;
    let watcher = Watcher::open(&service.http()).await;
    let mut load = Load::start(&service, "load", 2_000.0);
    load.goes_on(1_000).await;
    database_is(&service, "ok").await;

    std::fs::write(&full, "").unwrap();
    says_why(&service, reason).await;
    load.goes_on(6_000).await;
    alerts_go_on(&service, 20).await;
    says_why(&service, reason).await;
    assert!(n_warnings(&service) <= 3, "{}", service.log());
    if meanwhile == Meanwhile::IsKilled {
        service.kill().await;
        service.launch().await;
        database_is(&service, "degraded").await;
        load.goes_on(2_000).await;
        alerts_go_on(&service, 5).await;
    }

    std::fs::remove_file(&full).unwrap();
    database_is(&service, "ok").await;
    alerts_go_on(&service, 5).await;
    load.finish(&service).await;
    watcher.assert_saw_all(&service).await;
    assert!(service.stop().await.success());
    assert!(n_warnings(&service) <= 5, "{}", service.log());
    service.assert_quiet(&FULL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_grow_makes_readings_wait() {
    let tables = Path::new("postgres/base");
    no_room_below(tables, Meanwhile::Runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_write_at_all_is_started_until_it_can() {
    no_room_below(Path::new("postgres"), Meanwhile::IsKilled).await;
}
