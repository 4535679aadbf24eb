//! What a client hears, how often, and what it leaves behind.

use bellwire_model::{DeviceId, Timestamp};
use prometheus::Registry;

use super::*;
use crate::access::{
    Account, Denied, DevicePattern, ProvisioningToken, Scope, SecretHash, Standing,
};
use crate::peer::Peer;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_000)
    }
}

/// Answers as it is told.
#[derive(Debug)]
struct Keeps(Mutex<Result<(), NotRegistered>>);

impl Registrar for Keeps {
    fn register<'a>(
        &'a self,
        _registration: &'a Registration,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotRegistered>> + Send + 'a>> {
        let answer = *self.0.lock().expect("not poisoned");
        Box::pin(std::future::ready(answer))
    }
}

fn guard() -> (Guard, Arc<Keeps>, Registry) {
    let registry = Registry::new();
    let metrics = AccessMetrics::register(&registry).expect("a fresh registry");
    let keeps = Arc::new(Keeps(Mutex::new(Ok(()))));
    let registrar: Arc<dyn Registrar> = Arc::clone(&keeps) as _;
    let acl = Arc::new(Acl::strict(Vec::new()));
    let guard = Guard::new(acl, registrar, Arc::new(Noon), metrics);
    let account = Account {
        principal: Principal::Device(DeviceId::new("a").expect("an id")),
        speaks_for: Vec::new(),
        standing: Standing::Active,
        secret: Some(SecretHash::of(b"one")),
        previous: None,
    };
    let token = ProvisioningToken {
        name: "line".into(),
        hash: SecretHash::of(b"bwp_line"),
        devices: DevicePattern::new("line-*").expect("a pattern"),
        expires_at: Timestamp::from_secs(2_000),
        uses_left: 9,
    };
    let changes = Changes { scope: Scope::All, accounts: vec![account], provisioning: vec![token] };
    assert!(guard.apply(changes).is_empty());
    (guard, keeps, registry)
}

async fn admit(guard: &Guard, user: Option<&str>, password: Option<&str>) -> Admission {
    let peer = Peer::at(([10, 0, 0, 1], 1).into());
    guard
        .admit(Hello { client: None, user, password: password.map(str::as_bytes), peer: &peer })
        .await
}

#[tokio::test(start_paused = true)]
async fn a_client_hears_why_as_far_as_it_should() {
    let (guard, _, registry) = guard();
    let grant = admit(&guard, Some("a"), Some("one")).await.expect("admitted");
    assert_eq!(grant.principal().name(), Some("a"));
    assert!(grant.may_publish("devices/a/status") && !grant.may_publish("devices/b/status"));
    let denied = async |user, password| admit(&guard, user, password).await.expect_err("denied");
    assert_eq!(denied(Some("a"), Some("two")).await, Denied::BadCredentials);
    assert_eq!(denied(Some("b"), Some("one")).await, Denied::BadCredentials);
    assert_eq!(denied(Some("a"), None).await, Denied::NotAuthorized);
    assert_eq!(denied(None, None).await, Denied::NotAuthorized);
    let families = registry.gather();
    let refused = families.iter().find(|it| it.name().ends_with("connects_refused_total"));
    let refused = refused.expect("registered").get_metric().iter();
    assert_eq!(refused.map(|it| it.get_counter().get_value()).sum::<f64>(), 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_refused_too_often_waits_and_others_of_it_do_not() {
    let (guard, _, _) = guard();
    let begun = Instant::now();
    for _ in 0..10 {
        admit(&guard, Some("a"), Some("two")).await.expect_err("wrong");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    admit(&guard, Some("a"), Some("two")).await.expect_err("wrong");
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    admit(&guard, Some("a"), Some("one")).await.expect("right");
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_new_device_is_kept_before_it_comes_in() {
    let (guard, keeps, _) = guard();
    let password = format!("bwp_line.{SECRET}");
    let answer = |answer| *keeps.0.lock().expect("not poisoned") = answer;
    answer(Err(NotRegistered::Unavailable));
    let denied = admit(&guard, Some("line-1"), Some(&password)).await.expect_err("not kept");
    assert_eq!(denied, Denied::Unavailable);
    answer(Err(NotRegistered::Refused));
    let denied = admit(&guard, Some("line-1"), Some(&password)).await.expect_err("not kept");
    assert_eq!(denied, Denied::NotAuthorized);
    answer(Ok(()));
    let grant = admit(&guard, Some("line-1"), Some(&password)).await.expect("kept");
    assert!(grant.may_publish("devices/line-1/telemetry"));
    // From then on nobody is asked.
    answer(Err(NotRegistered::Unavailable));
    admit(&guard, Some("line-1"), Some(SECRET)).await.expect("known");
    admit(&guard, Some("line-1"), Some(&password)).await.expect("known");
}
