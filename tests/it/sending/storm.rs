//! A storm of alerts, a receiver that fails half the time, a service that is killed, a database that is
//! away: everything is told at least once.

use std::collections::HashMap;

use bellwire_store::testing;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{FAILING, RULES, heat, hook, sending};
use crate::outage::{AWAY, database_is};
use crate::support::proxy::Proxy;
use crate::support::receiver::{Message, Receiver, Reply};
use crate::support::service::{Service, Settings, wait_until};

const SECRET: &str = "hush hush";
const N_DEVICES: u32 = 60;

/// Every second message fails, each time in another way; a few are cut after they were read.
fn fails_half_the_time(number: u64) -> Reply {
    match number % 8 {
        1 => Reply::Status(500),
        3 => Reply::Hang,
        5 => Reply::Cut,
        7 => Reply::Status(429),
        _ => Reply::Take,
    }
}

/// As docs/guides/sending.md says that receivers should check it.
fn verify(message: &Message) {
    let signature = &message.headers["x-bellwire-signature"];
    let (time, signed) = signature.split_once(",v1=").expect("two parts");
    let time = time.strip_prefix("t=").expect("a time");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", message.body).as_bytes());
    let own: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(own, signed);
    assert_eq!(message.path, "/hook");
    assert_eq!(message.headers["idempotency-key"], message.headers["x-bellwire-delivery"]);
}

async fn all(service: &Service, degrees: u32, devices: std::ops::Range<u32>) {
    for n in devices {
        heat(service, &format!("oven-{n}"), degrees).await;
    }
}

fn last_is(told: &HashMap<String, Vec<String>>, n: u32, status: &str) -> bool {
    told.get(&format!("oven-{n}")).and_then(|all| all.last()).is_some_and(|last| last == status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_half_the_time_misses_nothing() {
    let receiver = Receiver::with_mood(fails_half_the_time).await;
    let proxy = Proxy::before(&testing::database().await).await;
    let settings = Settings::with_rules(RULES)
        .set("BELLWIRE_DATABASE_URL", proxy.url())
        .set("BELLWIRE_DATABASE_CONNECT_TIMEOUT_MS", 500)
        .set("BELLWIRE_JUDGE_SNAPSHOT_INTERVAL_MS", 100);
    let mut service = sending(settings, "");
    let secret = service.dir().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let more = format!("alerts_max = 7\nsecret_file = '{}'", secret.display());
    super::configure(&service, &hook(&receiver, &more));
    service.launch().await;

    all(&service, 95, 0..N_DEVICES / 2).await;
    wait_until("some are told", || !receiver.taken().is_empty()).await;
    service.kill().await;
    service.launch().await;
    all(&service, 80, 0..10).await;
    proxy.shut();
    database_is(&service, "degraded").await;
    all(&service, 95, N_DEVICES / 2..N_DEVICES).await;
    // These come and go while nobody can be told.
    receiver.set_mood(|_| Reply::Status(503));
    all(&service, 80, 10..20).await;
    service.kill().await;
    service.launch().await;
    database_is(&service, "degraded").await;
    all(&service, 80, N_DEVICES / 2..N_DEVICES / 2 + 10).await;
    let n_asked = receiver.n_asked();
    wait_until("it is tried again", || receiver.n_asked() > n_asked).await;
    receiver.set_mood(fails_half_the_time);
    wait_until("everything is told while the database is away", || {
        let told = receiver.told();
        (0..N_DEVICES).all(|n| {
            let over = n < 20 || (N_DEVICES / 2..N_DEVICES / 2 + 10).contains(&n);
            last_is(&told, n, if over { "resolved" } else { "firing" })
        })
    })
    .await;

    proxy.open().await;
    database_is(&service, "ok").await;
    all(&service, 80, 20..N_DEVICES).await;
    wait_until("every end is told", || {
        let told = receiver.told();
        (0..N_DEVICES).all(|n| last_is(&told, n, "resolved"))
    })
    .await;
    for message in receiver.taken() {
        verify(&message);
        assert_eq!(message.json()["groupLabels"]["rule"], "too-hot");
    }
    let metrics = service.metrics().await;
    let lost = metrics.lines().filter(|line| line.starts_with("bellwire_notify_lost_total"));
    assert!(
        lost.clone().count() == 2 && lost.clone().all(|line| line.ends_with(" 0")),
        "{metrics}"
    );
    assert!(service.stop().await.success());
    let quiet: Vec<&str> = FAILING.into_iter().chain(AWAY).collect();
    service.assert_quiet(&quiet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_dead_keeps_no_other_waiting_and_a_new_one_is_told_what_fires() {
    let (good, dead) = (Receiver::start().await, Receiver::with_mood(|_| Reply::Hang).await);
    let both = |name: &str, second: &Receiver| {
        let url = second.url();
        format!(
            "{}continue = true\n[[channel]]\nname = '{name}'\ntype = 'webhook'\nurl = '{url}'\n\
             [[route]]\nchannels = ['{name}']\ngroup_wait_s = 0\n",
            hook(&good, "")
        )
    };
    let mut service = sending(Settings::with_rules(RULES), &both("dead", &dead));
    service.launch().await;
    heat(&service, "oven-1", 95).await;
    heat(&service, "oven-2", 95).await;
    wait_until("it is told", || {
        let told = good.told();
        last_is(&told, 1, "firing") && last_is(&told, 2, "firing")
    })
    .await;
    heat(&service, "oven-1", 80).await;
    wait_until("so is the end", || last_is(&good.told(), 1, "resolved")).await;
    assert!(service.stop().await.success());

    let new = Receiver::start().await;
    super::configure(&service, &both("new", &new));
    service.launch().await;
    wait_until("it is told what fires", || last_is(&new.told(), 2, "firing")).await;
    assert!(!new.told().contains_key("oven-1"), "{:?}", new.told());
    let n_told = good.told()["oven-2"].len();
    heat(&service, "oven-2", 80).await;
    wait_until("the end is told", || last_is(&good.told(), 2, "resolved")).await;
    assert_eq!(good.told()["oven-2"].len(), n_told + 1, "nothing was told again");
    assert!(service.stop().await.success());
    service.assert_quiet(&FAILING);
}
