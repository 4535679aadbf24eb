//! Behind nginx, as deploy/nginx.conf has it: no sticky sessions, HTTPS on the way, and what nginx says of
//! clients.

use bellwire_store::testing;
use serde_json::json;

use crate::listeners::Files;
use crate::storm::{self, ROUNDS};
use crate::support::dice::Dice;
use crate::support::http;
use crate::support::http2::{self, Http2};
use crate::support::lossy::Lossy;
use crate::support::nginx::Nginx;
use crate::support::people::{PASSWORD, add_user};
use crate::support::raw::RawClient;
use crate::support::service::{Service, Settings};
use crate::support::tunnel::Tunnel;

/// What happens in the middle of the storm.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The service is killed and started again.
    Killed,
    /// nginx is told of other upstreams.
    Reloaded,
    /// nginx is stopped and started again.
    Restarted,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_hears_the_whole_storm_once_over_any_connection_though_both_restart() {
    let database = testing::database().await;
    let settings = storm::settings(&database.url).set("BELLWIRE_HTTP_TRUSTED_PROXIES", "127.0.0.1");
    let mut service = Service::start(settings).await;
    let config = Files::of(&service).write(2_100, None);
    let mut dice = Dice::seeded(12);
    // Two ways to the service, taken in turn, and a third that comes into use later; and a bad network
    // before nginx too.
    let mut ways = Vec::new();
    for _ in 0..3 {
        ways.push(Lossy::before(&service.http(), dice.fork()).await);
    }
    let to = |ways: &[Lossy]| ways.iter().map(Lossy::address).collect::<Vec<_>>();
    let mut nginx = Nginx::start(service.dir(), &to(&ways[..2])).await;
    let tunnel = Tunnel::to(&nginx.https(), &config).await;
    let outside = Lossy::before(&tunnel.address(), dice.fork()).await;
    let listeners = storm::listeners(&outside.address()).await;

    let mut client = RawClient::connect(&service.mqtt(), "storm", 60).await;
    let (mut round, mut n_owed) = (0, 0);
    for trouble in [Trouble::Killed, Trouble::Reloaded, Trouble::Restarted, Trouble::Killed] {
        for _ in 0..ROUNDS {
            storm::storm(&mut client, round).await;
            (round, n_owed) = (round + 1, n_owed + 1);
        }
        dice.moment_within(100).await;
        match trouble {
            Trouble::Killed => {
                service.kill().await;
                service.launch().await;
                client = RawClient::connect(&service.mqtt(), "storm", 60).await;
                n_owed = 0;
            }
            Trouble::Reloaded => {
                nginx.configure(&to(&ways[1..]));
                nginx.reload().await;
            }
            Trouble::Restarted => {
                nginx.stop();
                nginx.launch().await;
            }
        }
    }
    storm::storm(&mut client, round).await;
    storm::end(&mut client, n_owed + 1).await;
    storm::assert_heard_all(&service, &listeners).await;
    assert!(outside.n_cut() > 10, "a bad network: {} cuts", outside.n_cut());
    assert!(ways.iter().map(Lossy::n_cut).sum::<usize>() > 0, "a bad network behind nginx too");
    for way in &ways {
        assert!(way.n_taken() > 0, "each way was taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_through_nginx_has_a_session_for_encrypted_lines_only() {
    let settings = Settings::guarded().set("BELLWIRE_HTTP_TRUSTED_PROXIES", "127.0.0.1");
    let mut service = Service::prepare(settings);
    add_user(&service, "root", "admin").await;
    service.launch().await;
    let config = Files::of(&service).write(2_100, None);
    let nginx = Nginx::start(service.dir(), &[service.http()]).await;
    let tunnel = Tunnel::to(&nginx.https(), &config).await;
    let body = json!({"name": "root", "password": PASSWORD}).to_string();
    // What the client says of itself is not passed on.
    let lies = "X-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.1\r\n";
    let asked = http::send(&tunnel.address(), "POST /api/v1/session", lies, &body).await;
    let (status, head, _) = asked.unwrap();
    assert_eq!(status, 200, "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.starts_with("__host-bellwire=") && cookie.ends_with("; secure"), "{cookie}");
    assert!(head.contains("strict-transport-security: "), "{head}");
    // It is a session there, and none where the line is plain.
    let (_, head, _) =
        http::send(&service.http(), "POST /api/v1/session", "", &body).await.unwrap();
    assert!(head.contains("set-cookie: bellwire=") && !head.contains("secure"), "{head}");

    // HTTP/2 to nginx, and browsers that come in clear.
    let mut newer = Http2::open(&nginx.https(), &config).await;
    newer.send(&http2::ask(1, "/healthz")).await;
    assert_eq!(newer.status(1).await, Some(200));
    let (status, head, _) = http::get_whole(&nginx.http(), "/api/v1/alerts").await.unwrap();
    assert_eq!(status, 308);
    assert!(head.contains("location: https://127.0.0.1/api/v1/alerts"), "{head}");
}
