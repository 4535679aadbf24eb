//! `migrate`, `doctor` and `/readyz`: what operators ask, while the service runs and while not.

use serde_json::{Value, json};

use crate::backup::{fail, run, succeed};
use crate::support::server::Server;
use crate::support::service::{Service, Settings};

/// The doctor's report, and its exit code.
async fn doctor(service: &Service) -> (i32, Value) {
    let output = run(service, &["doctor", "--json"]).await;
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), report)
}

/// The check of this name.
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{report}"))
}

async fn migrated(service: &Service, arguments: &[&str]) -> Value {
    let output = run(service, arguments).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_database_is_migrated_with_and_without_the_service() {
    let mut service = Service::prepare(Settings::default());
    let check_first = run(&service, &["migrate", "--check"]).await;
    assert_eq!(check_first.status.code(), Some(1));
    assert!(!service.data_dir().exists(), "a look makes nothing");
    let report = migrated(&service, &["migrate", "--json"]).await;
    assert_eq!((&report["from"], &report["done"]), (&json!(0), &json!(true)));
    assert_eq!(report["to"], report["migrations"].as_array().unwrap().len());
    assert_eq!(service.postgres_pid(), None, "its server is stopped again");
    succeed(&service, &["migrate", "--check"]).await;

    service.launch().await;
    let pid = service.postgres_pid();
    let report = migrated(&service, &["migrate", "--json"]).await;
    assert_eq!((&report["from"], &report["migrations"]), (&report["to"], &json!([])));
    assert_eq!(service.postgres_pid(), pid, "the service's server goes on");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_exit_code_69() {
    let server = Server::start().await;
    let service = Service::prepare(Settings::default().set("BELLWIRE_DATABASE_URL", server.url()));
    succeed(&service, &["migrate"]).await;
    server.stop().await;
    fail(&service, &["migrate"], 69, "the database is unavailable").await;
    let (code, report) = doctor(&service).await;
    assert_eq!((code, &report["status"]), (1, &json!("fail")));
    assert_eq!(check(&report, "database")["status"], "fail");
    assert!(check(&report, "database")["remedy"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_everything_and_changes_nothing() {
    let mut service = Service::prepare(Settings::default());
    let (code, report) = doctor(&service).await;
    assert_eq!(code, 0, "{report}");
    assert!(!service.data_dir().exists());
    service.launch().await;
    let (code, report) = doctor(&service).await;
    assert_eq!(code, 0, "{report}");
    for name in [
        "config",
        "service",
        "data-directory",
        "log",
        "clock",
        "disk",
        "postgresql-programs",
        "database",
        "storage",
        "schema",
        "durability",
        "connections",
        "database-clock",
        "log-in-database",
        "mqtt-port",
        "http-port",
        "people",
        "open-files",
    ] {
        assert_ne!(check(&report, name)["status"], "fail", "{report}");
    }
    assert_eq!(check(&report, "service")["detail"], "it runs on this data directory");
    let (_, ready) = service.get("/readyz").await;
    let database = &ready["database"];
    assert_eq!((&database["mode"], &database["timescaledb"]), (&json!("plain"), &Value::Null));
    assert!(database["schema"].as_u64() > Some(1), "{ready}");
    let version = database["postgresql"].as_str().unwrap();
    let shown = check(&report, "database")["detail"].as_str().unwrap();
    assert!(shown.contains(version), "{shown}");

    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
    let (code, report) = doctor(&service).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(check(&report, "service")["detail"], "it does not run");
    assert_eq!(service.postgres_pid(), None, "it starts nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_people_and_channels() {
    let receiver = crate::support::receiver::Receiver::start().await;
    let mut service = Service::prepare(Settings::guarded());
    let config = service.dir().join("bellwire.toml");
    let url = service.dir().join("url");
    std::fs::write(&url, receiver.url()).unwrap();
    let channel =
        format!("[[channel]]\nname = 'ops'\ntype = 'webhook'\nurl_file = '{}'\n", url.display());
    std::fs::write(&config, channel).unwrap();
    service.set("BELLWIRE_CONFIG", config.display());
    service.launch().await;
    let (code, report) = doctor(&service).await;
    assert_eq!((code, &check(&report, "people")["status"]), (0, &json!("warn")), "{report}");
    let nothing = check(&report, "channels")["detail"].as_str().unwrap();
    assert!(nothing.contains("nothing was sent yet"), "{nothing}");
    crate::support::people::add_user(&service, "root", "admin").await;
    service.run(&["channel", "test", "ops"]).await;
    let (code, report) = doctor(&service).await;
    assert_eq!((code, &check(&report, "people")["status"]), (0, &json!("ok")), "{report}");
    let sent = check(&report, "channels");
    assert!(sent["detail"].as_str().unwrap().contains("delivered at"), "{report}");
    std::fs::remove_file(&url).unwrap();
    let (code, report) = doctor(&service).await;
    assert_eq!((code, &check(&report, "channels")["status"]), (1, &json!("fail")), "{report}");
    assert!(service.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_forget_is_a_failure() {
    let mut service = Service::start(Settings::default()).await;
    let sql = service.sql().await;
    sql.execute("ALTER SYSTEM SET fsync = off", &[]).await.unwrap();
    sql.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    let mut poll = crate::support::service::poll();
    let forgets = async {
        while sql.query_one("SHOW fsync", &[]).await.unwrap().get::<_, &str>(0) != "off" {
            poll.tick().await;
        }
    };
    tokio::time::timeout(crate::support::service::PATIENCE, forgets).await.unwrap();
    let (code, report) = doctor(&service).await;
    assert_eq!((code, &check(&report, "durability")["status"]), (1, &json!("fail")), "{report}");
    assert!(service.stop().await.success());
}
