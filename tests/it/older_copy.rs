//! A data directory that is older than its database: no position is used twice, and nothing that
//! was received passes for stored.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::support::device::Device;
use crate::support::server::Server;
use crate::support::service::{Service, Settings};

/// The files of a data directory that say where it stands, as they were at an instant.
struct Copy(BTreeMap<PathBuf, Vec<u8>>);

impl Copy {
    fn take(data_dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        for folder in ["log", "snapshots", "."] {
            for entry in std::fs::read_dir(data_dir.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        Self(files)
    }

    /// Puts it back as a disk's snapshot does: the files stay the same ones.
    fn put_back(&self, data_dir: &Path) {
        let now = Self::take(data_dir);
        now.0.keys().filter(|path| !self.0.contains_key(*path)).for_each(|path| {
            std::fs::remove_file(path).unwrap();
        });
        for (path, bytes) in &self.0 {
            let file = std::fs::File::options().create(true).truncate(false).write(true).open(path);
            let file = file.unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            file.write_all_at(bytes, 0).unwrap();
        }
    }

    /// Puts it back as a backup of files does: they are made anew.
    fn put_anew(&self, data_dir: &Path) {
        for folder in ["log", "snapshots"] {
            std::fs::rename(data_dir.join(folder), data_dir.join(format!("{folder}.old"))).unwrap();
            std::fs::create_dir(data_dir.join(folder)).unwrap();
        }
        self.put_back(data_dir);
    }
}

async fn publish(service: &Service, values: std::ops::Range<u32>) {
    let mut device = Device::connect(&service.mqtt(), "d").await;
    for value in values {
        device.publish("devices/d/telemetry/t", value.to_string()).await;
    }
}

async fn stored(server: &Server) -> Vec<f64> {
    let sql = crate::support::service::connect(&server.url()).await;
    let rows = sql.query("SELECT value FROM readings ORDER BY value", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn numbers(values: std::ops::Range<u32>) -> Vec<f64> {
    values.map(f64::from).collect()
}

async fn is_stored(service: &Service, n_publishes: u64) {
    let done = |audit: &serde_json::Value| audit["stored"] == n_publishes;
    service.wait_for("/api/v1/devices/d/audit", done).await;
}

/// A service whose database has 0 to 30, and its data directory as it was at 10.
async fn with_older_copy(server: &Server) -> (Service, Copy) {
    let mut service =
        Service::start(Settings::default().set("BELLWIRE_DATABASE_URL", server.url())).await;
    publish(&service, 0..10).await;
    is_stored(&service, 10).await;
    assert!(service.stop().await.success());
    let copy = Copy::take(&service.data_dir());
    service.launch().await;
    publish(&service, 10..30).await;
    is_stored(&service, 30).await;
    assert!(service.stop().await.success());
    (service, copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_database_it_goes_on_behind_what_that_has() {
    let server = Server::start().await;
    let (mut service, copy) = with_older_copy(&server).await;
    copy.put_back(&service.data_dir());
    service.launch().await;
    publish(&service, 30..40).await;
    assert!(service.stop().await.success());
    assert_eq!(stored(&server).await, numbers(0..40));
    service.assert_quiet(&["beyond the log: going on behind that"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_file_by_file_it_waits_for_its_database() {
    let server = Server::start().await;
    let (mut service, copy) = with_older_copy(&server).await;
    copy.put_anew(&service.data_dir());
    server.stop().await;
    service.spawn();
    assert_eq!(service.ended().await.code(), Some(69), "{}", service.log());
    server.go_on().await;
    service.launch().await;
    publish(&service, 30..40).await;
    assert!(service.stop().await.success());
    assert_eq!(stored(&server).await, numbers(0..40));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_went_on_alone_never_writes_over_what_is_there() {
    let server = Server::start().await;
    let (mut service, copy) = with_older_copy(&server).await;
    copy.put_back(&service.data_dir());
    server.stop().await;
    // Nothing shows that it is a copy: it starts without its database, as it may.
    service.launch().await;
    publish(&service, 100..140).await;
    server.go_on().await;
    assert_eq!(service.ended().await.code(), Some(1), "{}", service.log());
    assert!(service.log().contains("it is an older copy"), "{}", service.log());
    assert_eq!(stored(&server).await, numbers(0..30));
    // And again, however often it is started.
    service.spawn();
    assert_eq!(service.ended().await.code(), Some(1), "{}", service.log());
    assert_eq!(stored(&server).await, numbers(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_database_is_no_copy() {
    let server = Server::start().await;
    let mut service =
        Service::start(Settings::default().set("BELLWIRE_DATABASE_URL", server.url())).await;
    publish(&service, 0..10).await;
    is_stored(&service, 10).await;
    server.stop().await;
    for values in [10..20, 20..30] {
        publish(&service, values).await;
        assert!(service.stop().await.success());
        service.launch().await;
    }
    server.go_on().await;
    is_stored(&service, 30).await;
    assert!(service.stop().await.success());
    service.launch().await;
    publish(&service, 30..40).await;
    is_stored(&service, 40).await;
    assert!(service.stop().await.success());
    assert_eq!(stored(&server).await, numbers(0..40));
}
