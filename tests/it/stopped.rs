//! PostgreSQL stops, freezes or is killed under sustained load: alerts go on, and everything is
//! stored once after it has come back.
//!
//! `BELLWIRE_TEST_OUTAGE_SECS` sets how long it is away (default 3), `BELLWIRE_TEST_RATE` how many
//! publishes a second there are (default 2,000).

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::outage::{AWAY, RULES, alerts_go_on, database_is, print};
use crate::support::dice::{Dice, from_env};
use crate::support::load::Load;
use crate::support::server::Server;
use crate::support::service::{
    PATIENCE, Service, Settings, connect, poll, send_signal, try_connect, wait_until,
};
use crate::support::watcher::Watcher;

/// A server, and a service that gives its database a second for a transaction, with `more` in its
/// environment.
async fn start(more: &[(&str, u64)]) -> (Server, Service) {
    let server = Server::start().await;
    let settings = Settings::with_rules(RULES)
        .set("BELLWIRE_DATABASE_URL", server.url())
        .set("BELLWIRE_DATABASE_CONNECT_TIMEOUT_MS", 500)
        .set("BELLWIRE_DATABASE_WRITE_TIMEOUT_MS", 1_000);
    let settings = more.iter().fold(settings, |settings, (name, value)| settings.set(name, value));
    let service = Service::start(settings).await;
    (server, service)
}

fn rate() -> f64 {
    f64::from(u32::try_from(from_env("BELLWIRE_TEST_RATE").unwrap_or(2_000)).unwrap())
}

/// How many lines say that something is wrong.
fn n_warnings(service: &Service) -> usize {
    let log = service.log();
    log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
}

/// Does `take_away`, and checks what happens until it comes back and after it.
async fn away(server: &Server, mut service: Service, take_away: impl Future<Output = ()>) {
    let away_for = Duration::from_secs(from_env("BELLWIRE_TEST_OUTAGE_SECS").unwrap_or(3));
    let watcher = Watcher::open(&service.http()).await;
    let mut load = Load::start(&service, "load", rate());
    load.goes_on(1_000).await;
    print("database there", &alerts_go_on(&service, 50).await);
    database_is(&service, "ok").await;
    take_away.await;
    let until = Instant::now() + away_for;
    let mut latency = alerts_go_on(&service, 20).await;
    database_is(&service, "degraded").await;
    while Instant::now() < until {
        load.goes_on(500).await;
        latency.merge(&alerts_go_on(&service, 20).await);
    }
    database_is(&service, "degraded").await;
    print("database away", &latency);
    assert!(n_warnings(&service) <= 2, "{}", service.log());
    let begun = Instant::now();
    server.go_on().await;
    print("catching up", &alerts_go_on(&service, 20).await);
    database_is(&service, "ok").await;
    load.finish(&service).await;
    println!("caught up within {:?}", begun.elapsed());
    watcher.assert_saw_all(&service).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&AWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stopped_for_a_while_costs_nothing() {
    let (server, service) = start(&[]).await;
    away(&server, service, server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_freezes_for_a_while_costs_nothing() {
    let (server, service) = start(&[]).await;
    away(&server, service, async { server.freeze() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_with_all_its_processes_costs_nothing() {
    let (server, service) = start(&[]).await;
    away(&server, service, server.kill()).await;
}

/// A connection to the server, and the process that serves *keep*, once both are there.
async fn writers_backend(server: &Server) -> (Client, u32) {
    let query =
        "SELECT max(pid) FROM pg_stat_activity WHERE application_name LIKE 'bellwire keep%'";
    let until = Instant::now() + PATIENCE;
    let mut poll = poll();
    loop {
        poll.tick().await;
        assert!(Instant::now() < until, "keep does not come back");
        let Some(sql) = try_connect(&server.url()).await else { continue };
        let Ok(row) = sql.query_one(query, &[]).await else { continue };
        if let Some(pid) = row.get::<_, Option<i32>>(0) {
            return (sql, u32::try_from(pid).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_backends_that_are_killed_or_hang_cost_nothing() {
    let (server, service) = start(&[]).await;
    let watcher = Watcher::open(&service.http()).await;
    let mut load = Load::start(&service, "load", rate());
    let mut dice = Dice::seeded(17);
    for round in 0..from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(6) {
        load.goes_on(500).await;
        dice.moment_within(100).await;
        let (sql, pid) = writers_backend(&server).await;
        if round % 2 == 0 {
            // The others are ended too: what they share may be damaged.
            send_signal(pid, libc::SIGKILL);
            wait_until("the server starts anew", || sql.is_closed()).await;
        } else {
            send_signal(pid, libc::SIGSTOP);
            // It may hold the lock of the position's row, and keeps it.
            load.goes_on(3_000).await;
            alerts_go_on(&service, 5).await;
            send_signal(pid, libc::SIGCONT);
        }
        alerts_go_on(&service, 5).await;
        database_is(&service, "ok").await;
    }
    all_is_well(service, load, &watcher).await;
}

/// Everything is stored once, every step of an alert was seen, and the service ends without a fuss.
async fn all_is_well(mut service: Service, load: Load, watcher: &Watcher) {
    load.finish(&service).await;
    watcher.assert_saw_all(&service).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&AWAY);
}

async fn position(sql: &Client) -> i64 {
    sql.query_one("SELECT position FROM bellwire.log_position", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_again_and_again_while_it_catches_up_stores_everything_once() {
    let (server, mut service) = start(&[
        // So that it takes a while: a megabyte of log at a time, which is the least.
        ("BELLWIRE_KEEP_BATCH_READINGS", 200),
        ("BELLWIRE_JUDGE_SNAPSHOT_INTERVAL_MS", 100),
        ("BELLWIRE_LOG_SEGMENT_BYTES", 256 << 10),
    ])
    .await;
    let watcher = Watcher::open(&service.http()).await;
    let mut load = Load::start(&service, "load", 5.0 * rate());
    let mut dice = Dice::seeded(19);
    load.goes_on(500).await;
    server.stop().await;
    let away_for = Duration::from_secs(from_env("BELLWIRE_TEST_OUTAGE_SECS").unwrap_or(3));
    let until = Instant::now() + away_for;
    while Instant::now() < until {
        load.goes_on(2_000).await;
        alerts_go_on(&service, 2).await;
    }
    server.go_on().await;
    let sql = connect(&server.url()).await;
    let mut places = vec![position(&sql).await];
    for _ in 0..from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(4) {
        // In the middle of it: it has stored something since the last time, and goes on.
        let mut poll = poll();
        while position(&sql).await <= places[places.len() - 1] {
            poll.tick().await;
        }
        dice.moment_within(30).await;
        service.kill().await;
        places.push(position(&sql).await);
        service.spawn();
    }
    service.kill().await;
    service.launch().await;
    println!("killed at {places:?}");
    alerts_go_on(&service, 5).await;
    database_is(&service, "ok").await;
    all_is_well(service, load, &watcher).await;
}
