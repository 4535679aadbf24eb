//! The role for Grafana and analysts: it reads the stable views, and nothing else.

use std::net::TcpListener;

use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::backup::succeed;
use crate::support::device::Device;
use crate::support::server::Server;
use crate::support::service::{Service, Settings, connect};

/// Every view that is promised to stay.
const VIEWS: [&str; 18] = [
    "readings",
    "readings_1m",
    "readings_1h",
    "readings_1d",
    "alerts",
    "alert_transitions",
    "alert_steps",
    "silences",
    "devices",
    "units",
    "commands",
    "audit_log",
    "fleet_1m",
    "fleet_1h",
    "fleet_1d",
    "accounts",
    "quarantined",
    "storage",
];

/// It may ask every view, and is refused everything else.
async fn check_reader(client: &tokio_postgres::Client) {
    for view in VIEWS {
        client.query(&format!("SELECT * FROM {view} LIMIT 1"), &[]).await.unwrap();
    }
    let setting = |name: &'static str| async move {
        let row = client.query_one("SELECT current_setting($1)", &[&name]).await.unwrap();
        row.get::<_, String>(0)
    };
    assert_eq!(setting("statement_timeout").await, "7s");
    assert_eq!(setting("default_transaction_read_only").await, "on");
    // The setting is a guard; the rights are what holds.
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    for sql in [
        "SELECT * FROM bellwire.reading",
        "SELECT * FROM bellwire.log_position",
        "INSERT INTO public.alerts (id) VALUES ('x')",
        "UPDATE bellwire.log_position SET position = 0",
        "DELETE FROM public.alerts",
        "CREATE TABLE public.mine (a int)",
        "CREATE ROLE other",
        "SELECT pg_read_file('/etc/passwd')",
    ] {
        let error = client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_enters_the_managed_database_by_its_own_door() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "hush'hush\n").unwrap();
    let settings = Settings::default()
        .set("BELLWIRE_DATABASE_READER_ROLE", "grafana")
        .set("BELLWIRE_DATABASE_READER_PASSWORD_FILE", password_file.display())
        .set("BELLWIRE_DATABASE_READER_LISTEN", format!("127.0.0.1:{port}"))
        .set("BELLWIRE_DATABASE_READER_STATEMENT_TIMEOUT_MS", 7_000);
    let mut service = Service::start(settings).await;
    let mut device = Device::connect(&service.mqtt(), "d").await;
    device.publish("devices/d/telemetry/t", "1.5").await;
    service.wait_for("/api/v1/devices/d/audit", |audit| audit["stored"] == 1).await;

    let door = format!("host=127.0.0.1 port={port} dbname=bellwire");
    let reader = connect(&format!("{door} user=grafana password=hush\\'hush")).await;
    let row = reader.query_one("SELECT device, value FROM readings", &[]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, f64>(1)), ("d", 1.5));
    check_reader(&reader).await;
    for (who, what) in [
        ("user=grafana password=guess", "a wrong password"),
        ("user=grafana", "no password"),
        ("user=bellwire password=hush\\'hush", "another role"),
        ("user=bellwire", "another role without password"),
    ] {
        let entered = tokio_postgres::connect(&format!("{door} {who}"), NoTls).await;
        assert!(entered.is_err(), "{what}");
    }
    // Who looks at it from outside need not know of the door.
    succeed(&service, &["migrate", "--check"]).await;
    let mut plain = service.program(&["migrate", "--check"]);
    plain.env_remove("BELLWIRE_DATABASE_READER_ROLE");
    plain.env_remove("BELLWIRE_DATABASE_READER_PASSWORD_FILE");
    plain.env_remove("BELLWIRE_DATABASE_READER_LISTEN");
    assert!(plain.status().await.unwrap().success());
    assert!(!service.log().contains("hush"), "{}", service.log());
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_of_ones_own_it_is_made_and_never_widened() {
    let server = Server::start().await;
    let settings = |role: &str| {
        Settings::default()
            .set("BELLWIRE_DATABASE_URL", server.url())
            .set("BELLWIRE_DATABASE_READER_ROLE", role)
            .set("BELLWIRE_DATABASE_READER_STATEMENT_TIMEOUT_MS", 7_000)
    };
    let admin = connect(&server.url()).await;
    admin.batch_execute("CREATE ROLE boss LOGIN CREATEROLE").await.unwrap();
    let mut service = Service::start(settings("analysts")).await;
    let reader = connect(&server.url().replace("bellwire@", "analysts@")).await;
    check_reader(&reader).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);

    // One that may do more is left as it is, and readings are kept nevertheless.
    let mut service = Service::start(settings("boss")).await;
    assert!(service.log().contains("may administer the server"), "{}", service.log());
    let mut device = Device::connect(&service.mqtt(), "d").await;
    device.publish("devices/d/telemetry/t", "1").await;
    service.wait_for("/api/v1/devices/d/audit", |audit| audit["stored"] == 1).await;
    let may = "SELECT has_table_privilege('boss', 'public.readings', 'SELECT')";
    assert!(!admin.query_one(may, &[]).await.unwrap().get::<_, bool>(0));
    assert!(service.stop().await.success());
}
