//! The database refuses something for its content: that is set aside and accounted for, and
//! everything else is stored. It refuses everything: then everything waits.

use bellwire_store::testing;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::device::Device;
use crate::support::live::Screen;
use crate::support::load::Load;
use crate::support::service::{Service, Settings, connect};

const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
severity = "critical"
"#;

/// A user's own idea of what may be stored.
const REFUSES: &str = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF NEW.value = 666 THEN RAISE EXCEPTION 'the number of the beast'; END IF; \
    RETURN NEW; END $$; \
    CREATE TRIGGER refuse BEFORE INSERT ON bellwire.fresh_0 \
    FOR EACH ROW EXECUTE FUNCTION refuse(); \
    CREATE TRIGGER refuse BEFORE INSERT ON bellwire.fresh_1 \
    FOR EACH ROW EXECUTE FUNCTION refuse()";

/// A service, and a connection to its database.
async fn start() -> (Service, Client) {
    let database = testing::database().await;
    let settings = Settings::with_rules(RULES).set("BELLWIRE_DATABASE_URL", &database.url);
    (Service::start(settings).await, connect(&database.url).await)
}

async fn audit(service: &Service, device: &str, received: u64) -> Value {
    let path = format!("/api/v1/devices/{device}/audit");
    service.wait_for(&path, |audit| audit["received"] == json!(received)).await
}

/// What readiness says of the database while it is degraded.
async fn why_degraded(service: &Service) -> String {
    let degraded = |body: &Value| body["status"] == "degraded";
    service.wait_for("/readyz", degraded).await["checks"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_the_database_refuses_is_quarantined_and_the_rest_is_stored() {
    let (mut service, sql) = start().await;
    sql.batch_execute(REFUSES).await.unwrap();
    let mut load = Load::start(&service, "load", 2_000.0);
    let mut screen = Screen::open(&service.http(), None).await;
    let mut device = Device::connect(&service.mqtt(), "beast").await;
    let topic = "devices/beast/telemetry";
    for n in 1..=20 {
        // Its readings stand and fall together; what it says is judged all the same.
        let payload = format!("{{\"temperature\": 666, \"n\": {n}, \"seq\": {n}}}");
        device.publish(topic, payload).await;
        device.publish(topic, format!("{{\"fine\": {n}}}")).await;
        load.goes_on(50).await;
    }
    // One part of it could not be read, and it is refused as well.
    device.publish(topic, r#"{"temperature": 666, "bad": [1]}"#).await;
    screen.next_to("firing").await;

    let expected = json!({
        "device": "beast", "received": 41, "stored": 20, "duplicate": 0, "quarantined": 21,
        "refused": 0, "readings": 20, "seq": {"last": 20, "gaps": [], "resets": 0},
    });
    assert_eq!(audit(&service, "beast", 41).await, expected);
    load.goes_on(500).await;
    load.finish(&service).await;
    let query = "SELECT count(*), count(DISTINCT position * 1000 + ordinal), \
                        count(*) FILTER (WHERE convert_from(payload, 'UTF8') LIKE '%666%' \
                            AND detail LIKE 'the number of the beast (SQLSTATE P0001)%'), \
                        count(*) FILTER (WHERE detail LIKE '%; also unsupported_value: %') \
                 FROM bellwire.quarantine WHERE reason = 'refused_by_database'";
    let row = sql.query_one(query, &[]).await.unwrap();
    let counts: [i64; 4] = [0, 1, 2, 3].map(|column| row.get(column));
    assert_eq!(counts, [21, 21, 21, 1]);
    let query = "SELECT count(*), count(DISTINCT value) FROM readings WHERE device = 'beast'";
    let row = sql.query_one(query, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (20, 20));

    // What the log says is not counted over again.
    service.kill().await;
    service.launch().await;
    assert_eq!(audit(&service, "beast", 41).await, expected);
    assert!(service.stop().await.success());
    let log = service.log();
    assert_eq!(log.matches("are in quarantine").count(), 1, "{log}");
    service.assert_quiet(&["are in quarantine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_database_waits_until_it_is_mended() {
    let (mut service, sql) = start().await;
    let mut load = Load::start(&service, "load", 1_000.0);
    load.goes_on(500).await;
    let mut screen = Screen::open(&service.http(), None).await;
    let mut device = Device::connect(&service.mqtt(), "oven").await;
    for (n, [breaks, reason, mends]) in (0..).zip([
        [
            "ALTER TABLE bellwire.log_position RENAME TO elsewhere",
            "does not exist",
            "ALTER TABLE bellwire.elsewhere RENAME TO log_position",
        ],
        [
            "ALTER TABLE bellwire.transition ADD CONSTRAINT hot CHECK (to_state <> 'firing') \
             NOT VALID",
            "it refuses alerts",
            "ALTER TABLE bellwire.transition DROP CONSTRAINT hot",
        ],
    ]) {
        sql.batch_execute(breaks).await.unwrap();
        let name = format!("devices/oven-{n}/telemetry");
        device.publish(&name, r#"{"temperature": 95}"#).await;
        screen.next_to("firing").await;
        let why = why_degraded(&service).await;
        assert!(why.contains(reason), "{why}");
        load.goes_on(2_000).await;
        sql.batch_execute(mends).await.unwrap();
        service.wait_for("/readyz", |body| body["status"] == "ok").await;
    }
    load.finish(&service).await;
    assert_eq!(audit(&service, "oven-1", 1).await["stored"], json!(1));
    assert!(service.stop().await.success());
    let log = service.log();
    let said = ["cannot be used as it is", "for none of its publishes"];
    assert!(said.iter().all(|text| log.matches(text).count() == 1), "{log}");
    service.assert_quiet(&[
        said[0],
        said[1],
        "stored on a second connection",
        "Failed to write to the database",
        "Fresh readings could not be carried over",
    ]);
}
