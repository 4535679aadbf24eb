//! The machine is lost, log and database: a backup that was taken under load is restored on another one, at
//! the same addresses, and the fleet goes on there.

use tokio::time::Instant;

use super::{Drill, OVEN, RULES, account, rate};
use crate::backup::{succeed, text};
use crate::support::load::Load;
use crate::support::service::{PATIENCE, Service, Settings};

/// Rows of the fleet that are there twice or more.
const TWICE: &str = "SELECT count(*) FROM (SELECT FROM readings WHERE metric = 'n' \
                     GROUP BY device, value HAVING count(*) > 1) twice";

fn settings() -> Settings {
    Settings::with_rules(RULES)
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 65_536)
        .set("BELLWIRE_JUDGE_SNAPSHOT_INTERVAL_MS", 100)
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_from_backup() {
    let drill = Drill::begin(Service::start(settings()).await).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let (mut first, promised) = drill.leave().await;

    // Under load: what is acknowledged behind the backup's beginning may be in it, or is lost with the machine.
    let mut meanwhile = Load::start(&first, "meanwhile", rate());
    meanwhile.goes_on(200).await;
    let begun = Instant::now();
    succeed(&first, &["backup", "--to", text(&to)]).await;
    println!("the backup took {:.1} s", begun.elapsed().as_secs_f64());
    meanwhile.goes_on(200).await;
    meanwhile.finish(&first).await;
    let (mqtt, http) = (first.mqtt(), first.http());
    first.kill().await;
    first.destroy().await;

    let begun = Instant::now();
    let addresses = settings().set("BELLWIRE_MQTT_LISTEN", mqtt).set("BELLWIRE_HTTP_LISTEN", http);
    let mut second = Service::prepare(addresses);
    succeed(&second, &["restore", "--from", text(&to), "--check"]).await;
    succeed(&second, &["restore", "--from", text(&to)]).await;
    second.launch().await;
    println!("the restore took {:.1} s", begun.elapsed().as_secs_f64());
    let url = second.database_url();
    let found = bellwire_fleet::verify_within(&url, &promised.acks, PATIENCE).await.unwrap();
    assert!(found.is_exact() && found.acknowledged > 0, "{found}");
    crate::journey::check_audits(&second, "fleet", &promised).await;
    println!("account as restored: {}", account(&second).await);

    let alerts = second.get("/api/v1/alerts?state=resolved").await.1;
    assert_eq!(alerts["alerts"][0]["device"], OVEN, "{alerts}");
    let fleet = Load::config(&second, "later", rate());
    let drill = Drill::begin_as(second, fleet, None).await;
    let sql = drill.service.sql().await;
    assert_eq!(sql.query_one(TWICE, &[]).await.unwrap().get::<_, i64>(0), 0);
    drill.end(&[]).await;
}
