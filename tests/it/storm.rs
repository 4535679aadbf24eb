//! A storm of alerts over a bad network, and the service killed in the middle of it: over each of the
//! three transports, every client hears each transition that it should, once and in order.
//!
//! `BELLWIRE_TEST_ROUNDS` sets how often the service is killed (default 1), `BELLWIRE_TEST_SEED` what
//! the network does.

use std::fmt::Write as _;

use bellwire_store::testing;
use tokio::time::Instant;

use crate::support::dice::{Dice, from_env};
use crate::support::listener::{Listener, Transport};
use crate::support::lossy::Lossy;
use crate::support::raw::RawClient;
use crate::support::service::{PATIENCE, Service, Settings, poll, wait_until};

/// Two rules that take every step of a device.
const RULES: &str = r#"
[[rule]]
name = "hot"
when = "temperature > 0"
severity = "critical"
latch = false

[[rule]]
name = "warm"
when = "temperature > 0"
severity = "warning"
"#;

pub(crate) const DEVICES: u64 = 20;
/// Steps of a device in one publish; each rule takes each.
const STEPS: u64 = 20;
/// Rounds of publishes before a kill, and behind the last.
pub(crate) const ROUNDS: u64 = 4;
/// What a client asks for that wants the worst only.
const WORST: &str = "&alerts.severity=critical&alerts.rules=hot";

/// A payload in which a device gets hot and cold again and again, from second `first` on.
fn payload(first: u64) -> Vec<u8> {
    let mut text = String::from("[");
    for n in 0..STEPS {
        let comma = if n == 0 { "" } else { "," };
        let (at, value) = (1_700_000_000 + first + n, (n + 1) % 2);
        write!(text, "{comma}{{\"ts\": {at}, \"temperature\": {value}}}").unwrap();
    }
    text.push(']');
    text.into_bytes()
}

/// A round of publishes, one of each device, none awaited.
pub(crate) async fn storm(client: &mut RawClient, round: u64) {
    for device in 0..DEVICES {
        let topic = format!("devices/oven-{device}/telemetry");
        let packet_id = u16::try_from(1 + round * DEVICES + device).unwrap();
        client.publish(packet_id, topic.as_bytes(), &payload(round * STEPS)).await;
    }
}

/// The cursors of all transitions that are stored, or of one rule's.
async fn stored(service: &Service, rule: Option<&str>) -> Vec<String> {
    let log = service.get("/api/v1/live/poll").await.1["cursor"].as_str().unwrap().to_owned();
    let (log, _) = log.split_once('-').unwrap();
    let rows = service.sql().await;
    let sql = "SELECT position::text, ordinal::text, rule FROM bellwire.transition AS it \
               ORDER BY it.position, it.ordinal";
    let rows = rows.query(sql, &[]).await.unwrap();
    rows.iter()
        .filter(|row| rule.is_none_or(|rule| rule == row.get::<_, &str>(2)))
        .map(|row| format!("{log}-{}-{}", row.get::<_, &str>(0), row.get::<_, &str>(1)))
        .collect()
}

/// How a service is started whose clients listen to a storm.
pub(crate) fn settings(database_url: &str) -> Settings {
    Settings::with_rules(RULES)
        .set("BELLWIRE_DATABASE_URL", database_url)
        .set("BELLWIRE_HTTP_LIVE_HEARTBEAT_INTERVAL_MS", 200)
        // So that some come back when memory has moved on.
        .set("BELLWIRE_HTTP_LIVE_RING_TRANSITIONS", 1_500)
        .set("BELLWIRE_HTTP_LIVE_CLIENT_LAG_MAX", 1_000)
}

/// Clients at `host:port` over each transport: some want everything, some of one rule only.
pub(crate) async fn listeners(address: &str) -> Vec<(Listener, Option<&'static str>)> {
    let all = [Transport::WebSocket, Transport::Events, Transport::Poll];
    let ask = |query| all.map(|transport| Listener::start(transport, address, query));
    let listeners: Vec<_> = [ask("").map(|it| (it, None)), ask(WORST).map(|it| (it, Some("hot")))]
        .into_iter()
        .flatten()
        .collect();
    let are_here = || listeners.iter().all(|(it, _)| !it.heard().resumes.is_empty());
    wait_until("each has its snapshot", are_here).await;
    listeners
}

/// Ends a storm, whose acknowledgements since `client` came are still to be read: `n_rounds` of them.
pub(crate) async fn end(client: &mut RawClient, n_rounds: u64) {
    // Of four bytes each.
    client.read(usize::try_from(4 * n_rounds * DEVICES).unwrap()).await;
    // All before it is judged and stored before it.
    client.deliver("devices/last/telemetry", br#"{"temperature": 1}"#).await;
}

/// Waits until each has heard the last of what is due to it, as long as any of them hears more: how long it
/// takes over a bad network is the machine's business.
async fn until_all_have_heard(listeners: &[(Listener, Option<&str>)], due: &[Vec<String>]) {
    let (mut n_before, mut patience) = (0, Instant::now() + PATIENCE);
    let mut pulse = poll();
    loop {
        let heard: Vec<_> = listeners.iter().map(|(it, _)| it.heard()).collect();
        if heard.iter().zip(due).all(|(heard, due)| heard.transitions.last() == due.last()) {
            return;
        }
        let n_heard = heard.iter().map(|it| it.transitions.len()).sum();
        if n_heard > n_before {
            (n_before, patience) = (n_heard, Instant::now() + PATIENCE);
        }
        let each = || {
            heard.iter().zip(due).map(|(it, due)| (it.transitions.len(), due.len(), it.n_visits))
        };
        assert!(
            Instant::now() < patience,
            "(heard, due, visits): {:?}",
            each().collect::<Vec<_>>()
        );
        pulse.tick().await;
    }
}

/// Checks that each has heard all that is stored, once and in order, and that nobody had to begin anew.
pub(crate) async fn assert_heard_all(
    service: &Service,
    listeners: &[(Listener, Option<&'static str>)],
) {
    service
        .wait_for("/api/v1/alerts?rule=warm&device=last", |answer| {
            answer["alerts"].as_array().is_some_and(|alerts| !alerts.is_empty())
        })
        .await;
    let mut due = Vec::new();
    for (_, rule) in listeners {
        due.push(stored_up_to_the_last(service, *rule).await);
    }
    until_all_have_heard(listeners, &due).await;
    for ((listener, rule), due) in listeners.iter().zip(&due) {
        let heard = listener.heard();
        let how = (listener.transport, rule, heard.n_visits);
        let differs = heard.transitions.iter().zip(due).position(|(heard, due)| heard != due);
        assert_eq!((differs, heard.transitions.len()), (None, due.len()), "{how:?}");
        let is_whole =
            |it: &String| ["fresh", "from_memory", "from_history"].contains(&it.as_str());
        assert!(heard.resumes.iter().all(is_whole), "{how:?}: {:?}", heard.resumes);
        println!("{how:?}: {} transitions", due.len());
    }
    assert!(due[0].len() > 1_000, "a storm: {}", due[0].len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_hears_the_whole_storm_once_though_the_network_and_the_service_fail() {
    let database = testing::database().await;
    let mut service = Service::start(settings(&database.url)).await;
    let mut dice = Dice::seeded(11);
    let network = Lossy::before(&service.http(), dice.fork()).await;
    let listeners = listeners(&network.address()).await;

    let n_kills = from_env("BELLWIRE_TEST_ROUNDS").unwrap_or(1);
    let mut round = 0;
    for n_killed in 0..=n_kills {
        let mut client = RawClient::connect(&service.mqtt(), "storm", 60).await;
        for _ in 0..ROUNDS {
            storm(&mut client, round).await;
            round += 1;
        }
        if n_killed < n_kills {
            dice.moment_within(100).await;
            service.kill().await;
            service.launch().await;
        } else {
            end(&mut client, ROUNDS).await;
        }
    }
    assert_heard_all(&service, &listeners).await;
    assert!(network.n_cut() > 10, "a bad network: {} cuts", network.n_cut());
}

/// What is stored once the last device's alert is.
async fn stored_up_to_the_last(service: &Service, rule: Option<&str>) -> Vec<String> {
    let sql = service.sql().await;
    let until = Instant::now() + PATIENCE;
    let mut pulse = poll();
    loop {
        pulse.tick().await;
        let last = "SELECT count(*) FROM bellwire.transition WHERE device = 'last'";
        let n: i64 = sql.query_one(last, &[]).await.unwrap().get(0);
        if n == 2 {
            return stored(service, rule).await;
        }
        assert!(tokio::time::Instant::now() < until, "the last alert is not stored");
    }
}
