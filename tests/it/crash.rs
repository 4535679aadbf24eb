//! Service and database killed without warning, under load, again and again: nothing that was
//! acknowledged is missing, nothing is there twice, and alerts have the history that they would
//! have had.
//!
//! `BELLWIRE_TEST_ROUNDS` sets how many times is killed (default 5, a first start 2),
//! `BELLWIRE_TEST_VICTIM` whom (`service`, `database`, `both`; default all three in turn),
//! `BELLWIRE_TEST_SEED` the moments.

use std::path::{Path, PathBuf};

use bellwire_fleet::{FleetReport, ReplayConfig};
use bellwire_model::{DeviceId, MetricName};
use bellwire_store::testing;

use crate::journey::around;
use crate::support::dice::{Dice, from_env};
use crate::support::load::Load;
use crate::support::service::{PATIENCE, Service, Settings, send_signal, spawn, wait_until};
use crate::support::watcher::Watcher;

/// Rules that go through every state often in the machine's recording.
const RULES: &str = r#"
[[rule]]
name = "above-for-long"
when = "temperature > 95"
clear = "temperature < 92"
for = "20m"
keep_firing_for = "15m"
severity = "warning"
select = "device = 'machine'"

[[rule]]
name = "above"
when = "temperature > 100"
severity = "critical"
select = "device = 'machine'"

[[rule]]
name = "cold"
when = "temperature < 60 or temperature * 2 < 130"
clear = "temperature > 65"
keep_firing_for = "1h"
severity = "info"
select = "device = 'machine'"
"#;

/// A transition without what depends on when it was received: rule, device, from, to, microseconds
/// since the epoch, value.
type Effective = (String, String, String, String, i64, Option<f64>);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Service,
    Database,
    Both,
}

/// What a database that vanishes makes the service say.
pub(crate) const DATABASE_VANISHES: [&str; 7] = [
    "stored on a second connection",
    "PostgreSQL has ended",
    "Failed to write to the database",
    "Failed to start the database again",
    "Failed to open the database",
    "Starting without the database",
    "Connection could not be recycled",
];

pub(crate) fn settings() -> Settings {
    // Snapshots and segments come and go many times between two kills.
    Settings::with_rules(RULES)
        .set("BELLWIRE_JUDGE_SNAPSHOT_INTERVAL_MS", 100)
        .set("BELLWIRE_LOG_SEGMENT_BYTES", 256 << 10)
}

/// Replays the machine's recording as fast as acknowledgements come.
async fn replay(address: String, in_flight: u16) -> FleetReport {
    let (device, metric) =
        (DeviceId::new("machine").unwrap(), MetricName::new("temperature").unwrap());
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("tests/data/nab/machine_temperature_system_failure.csv");
    let config = ReplayConfig {
        in_flight,
        patience: PATIENCE * 2,
        ..ReplayConfig::new(file, device, metric, address)
    };
    bellwire_fleet::replay_csv(config, around()).await.unwrap()
}

async fn history(service: &Service) -> Vec<Effective> {
    let sql = "SELECT rule, device, from_state, to_state, \
                      (extract(epoch FROM at) * 1000000)::int8, value \
               FROM bellwire.transition ORDER BY position, ordinal";
    let rows = service.sql().await.query(sql, &[]).await.unwrap();
    let row = |row: &tokio_postgres::Row| {
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))
    };
    rows.iter().map(row).collect()
}

/// The history that nobody disturbs.
async fn undisturbed_history() -> Vec<Effective> {
    let database = testing::database().await;
    let settings = settings().set("BELLWIRE_DATABASE_URL", &database.url);
    let mut service = Service::start(settings).await;
    let report = replay(service.mqtt(), 500).await;
    let found =
        bellwire_fleet::verify_within(&service.database_url(), &report.acks, PATIENCE).await;
    assert!(found.unwrap().is_exact());
    assert!(service.stop().await.success());
    let history = history(&service).await;
    service.assert_quiet(&[]);
    history
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_nothing_is_lost_or_repeated_and_alerts_are_as_if_nobody_had_been() {
    let victims = victims();
    let undisturbed = undisturbed_history().await;
    assert!(undisturbed.len() > 50, "a history worth the name: {}", undisturbed.len());
    let mut dice = Dice::seeded(7);
    let rounds = usize::try_from(from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(5)).unwrap();
    let mut service = Service::start(settings()).await;
    let watcher = Watcher::open(&service.http()).await;
    let load = Load::start(&service, "load", 1_000.0);
    // So that the recording lasts about as long as the killing.
    let in_flight = u16::try_from((20 / rounds.max(1)).clamp(1, 16)).unwrap();
    let replaying = spawn(replay(service.mqtt(), in_flight));
    let mut mid_replay = 0;
    for (round, victim) in (0..rounds).zip(victims.iter().cycle()) {
        dice.moment_within(1_000).await;
        mid_replay += usize::from(!replaying.is_finished());
        println!("round {round}: {victim:?}");
        kill(&mut service, *victim, &mut dice).await;
    }
    assert!(mid_replay > 0, "the recording was cut at least once");
    println!("{mid_replay} of {rounds} while the recording was replayed");

    let replayed = replaying.await.unwrap();
    assert_eq!((replayed.gave_up, replayed.unsettled), (0, 0));
    let url = service.database_url();
    let found = bellwire_fleet::verify_within(&url, &replayed.acks, PATIENCE).await.unwrap();
    assert!(found.is_exact(), "{found}");
    load.finish(&service).await;
    let disturbed = history(&service).await;
    let differs = disturbed.iter().zip(&undisturbed).position(|(ours, theirs)| ours != theirs);
    assert_eq!(differs, None, "first: {:?}", differs.map(|at| (&disturbed[at], &undisturbed[at])));
    assert_eq!(disturbed.len(), undisturbed.len());
    watcher.assert_saw_all(&service).await;
    assert!(service.stop().await.success());
    let only_service = victims == [Victim::Service];
    service.assert_quiet(if only_service { &[] } else { &DATABASE_VANISHES });
}

/// Who is killed in turn.
fn victims() -> Vec<Victim> {
    match std::env::var("BELLWIRE_TEST_VICTIM").as_deref() {
        Err(_) => vec![Victim::Service, Victim::Database, Victim::Both],
        Ok("service") => vec![Victim::Service],
        Ok("database") => vec![Victim::Database],
        Ok("both") => vec![Victim::Both],
        Ok(other) => panic!("BELLWIRE_TEST_VICTIM: service, database or both, not {other:?}"),
    }
}

/// Kills a victim, and waits until service and database run again.
pub(crate) async fn kill(service: &mut Service, victim: Victim, dice: &mut Dice) {
    if matches!(victim, Victim::Database | Victim::Both) {
        let cluster = service.data_dir().join("postgres");
        let mut pid = None;
        wait_until("PostgreSQL runs", || {
            pid = service.postgres_pid().filter(|pid| runs_on(*pid, &cluster));
            pid.is_some()
        })
        .await;
        send_signal(pid.unwrap(), libc::SIGKILL);
    }
    if matches!(victim, Victim::Service | Victim::Both) {
        service.kill().await;
        if dice.below(2) == 0 {
            // Once more, somewhere in its start.
            service.spawn();
            dice.moment_within(400).await;
            service.kill().await;
        }
        service.launch().await;
    }
}

fn runs_on(pid: u32, cluster: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster)
}

/// Nothing is acknowledged yet, but a cluster, tables and a log are half made.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_in_its_first_start_starts_the_next_time() {
    let mut dice = Dice::seeded(13);
    let mut service = Service::prepare(settings());
    for _ in 0..from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(2) {
        service.spawn();
        dice.moment_within(1_500).await;
        service.kill().await;
    }
    service.launch().await;
    let mut load = Load::start(&service, "load", 1_000.0);
    load.goes_on(500).await;
    load.finish(&service).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&DATABASE_VANISHES);
}
