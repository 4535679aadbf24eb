//! The database is stopped under load, and the service killed meanwhile: acknowledgements, alerts and what
//! operators do go on, and all of it is in the database when that is back.

use serde_json::json;

use super::{Drill, RULES};
use crate::outage::AWAY;
use crate::support::http;
use crate::support::live::Screen;
use crate::support::server::Server;
use crate::support::service::{Service, Settings};

/// The oven gets too hot and stays so; an operator takes the alert.
async fn operator_takes_an_alert(drill: &Drill) -> String {
    let head = drill.service.authorization();
    let mut screen = Screen::open_as(&drill.service.http(), None, &head).await;
    let payload = r#"{"temperature": 99}"#;
    drill.oven().await.publish("devices/oven-1/telemetry", payload).await;
    let alert = screen.next_to("firing").await["alert"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/alerts/{alert}/ack");
    let (status, said) = http::post(&drill.service.http(), &path, "{}").await.unwrap();
    assert_eq!(status, 200, "{said}");
    drill.say("an operator acknowledges an alert");
    alert
}

#[tokio::test(flavor = "multi_thread")]
async fn database_outage() {
    let server = Server::start().await;
    let settings = Settings::with_rules(RULES)
        .set("BELLWIRE_DATABASE_URL", server.url())
        .set("BELLWIRE_DATABASE_CONNECT_TIMEOUT_MS", 2_000)
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 256 << 10);
    let mut drill = Drill::begin(Service::start(settings).await).await;

    server.stop().await;
    drill.say("the database is stopped");
    drill.readiness("degraded", "database").await;
    drill.pages("BellwireDatabaseAway").await;
    let (status, detail) = drill.doctor("database").await;
    assert_ne!(status, "ok", "{detail}");
    drill.goes_on("without a database").await;
    let alert = operator_takes_an_alert(&drill).await;
    drill.service.kill().await;
    drill.say("the service is killed");
    drill.service.launch().await;
    drill.readiness("degraded", "database").await;
    let path = format!("/api/v1/alerts/{alert}");
    let taken = |it: &serde_json::Value| it["acknowledged_by"] != json!(null);
    drill.service.wait_for(&path, taken).await;
    drill.oven().await.publish("devices/oven-1/telemetry", r#"{"temperature": 20}"#).await;
    drill.goes_on("without a database, after a crash").await;

    server.go_on().await;
    drill.say("the database is started");
    drill.pages_no_more("BellwireDatabaseAway").await;
    drill.end(&AWAY).await;
}
