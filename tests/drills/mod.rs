//! Drills: what goes wrong in production, tried on a whole service with a fleet, an operator and a
//! Prometheus that watch it. Each ends with a balanced account, and nothing that was acknowledged is
//! missing or there twice. `docs/guides/operating.md` tells them to who runs Bellwire; `scripts/drill`
//! runs them longer and prints what they came to.
//!
//! `BELLWIRE_TEST_DRILL_SECS` sets how long each trouble lasts (default 2), `BELLWIRE_TEST_DRILL_RATE` how
//! many publishes a second there are meanwhile (default 1,000).

mod broker_flood;
mod certificate_expiry;
mod database_outage;
mod disk_full;
mod restore;
mod upgrade;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwire_fleet::{FleetConfig, FleetReport, Histogram, Login};
use serde_json::Value;
use tokio::time::Instant;

use crate::support::device::Device;
use crate::support::dice::from_env;
use crate::support::live::Screen;
use crate::support::load::Load;
use crate::support::prometheus::Prometheus;
use crate::support::service::{PATIENCE, Service, poll};
use crate::support::watcher::Watcher;

/// The device whose alert shows whether operators hear of anything.
const OVEN: &str = "oven-1";

const RULES: &str = r#"
[[rule]]
name = "too-hot"
when = "temperature > 90"
clear = "temperature < 85"
severity = "critical"
select = "device = 'oven-1'"
summary = "{device} is at {value} °C"
"#;

/// By a view that every release has.
const STEPS: &str = "SELECT count(*) FROM alert_transitions";

/// How long a trouble lasts.
fn trouble() -> Duration {
    Duration::from_secs(from_env("BELLWIRE_TEST_DRILL_SECS").unwrap_or(2))
}

/// Publishes per second of the fleet.
fn rate() -> f64 {
    f64::from(u32::try_from(from_env("BELLWIRE_TEST_DRILL_RATE").unwrap_or(1_000)).unwrap())
}

/// A drill under way.
struct Drill {
    service: Service,
    load: Load,
    watcher: Watcher,
    prometheus: Prometheus,
    /// The oven's token, where the service asks for one.
    token: Option<String>,
    /// Transitions from before.
    n_steps: usize,
    begun: Instant,
}

impl Drill {
    /// A fleet publishes to a service that runs, in clear and as nobody.
    async fn begin(service: Service) -> Self {
        let load = Load::config(&service, "fleet", rate());
        Self::begin_as(service, load, None).await
    }

    /// A fleet publishes as this says; the oven has this token.
    async fn begin_as(service: Service, fleet: FleetConfig, token: Option<String>) -> Self {
        let n_steps = service.sql().await.query_one(STEPS, &[]).await.unwrap().get::<_, i64>(0);
        let watcher = Watcher::open_as(&service.http(), &service.authorization()).await;
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join(crate::dashboards::rules::RULES);
        let prometheus = Prometheus::start(service.dir(), &service.http(), &rules).await;
        let load = Load::run(fleet);
        let (n_steps, begun) = (usize::try_from(n_steps).unwrap(), Instant::now());
        let mut drill = Self { service, load, watcher, prometheus, token, n_steps, begun };
        drill.goes_on("all is well").await;
        drill
    }

    /// Says what has come so far.
    fn say(&self, stage: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        println!("{seconds:7.1} s  {:8} acknowledged  {stage}", self.load.acknowledged());
    }

    /// Publishes are acknowledged and alerts reach the operator, for as long as a trouble lasts.
    async fn goes_on(&mut self, stage: &str) {
        let until = Instant::now() + trouble();
        let mut latency = Histogram::default();
        let mut pulse = poll();
        loop {
            self.load.goes_on(100).await;
            self.alert_comes_and_goes(&mut latency).await;
            if Instant::now() >= until {
                break;
            }
            pulse.tick().await;
        }
        let ms = |q| latency.quantile(q).map_or(0.0, |it| it.as_secs_f64() * 1e3);
        let (p50, p99, n) = (ms(500), ms(990), latency.count());
        self.say(&format!(
            "{stage}; alert on screen after {p50:.1} ms (p50), {p99:.1} (p99) of {n}"
        ));
    }

    /// The oven is too hot, and is not; how long each took until an operator saw it.
    async fn alert_comes_and_goes(&self, latency: &mut Histogram) {
        let head = self.service.authorization();
        let mut screen = Screen::open_as(&self.service.http(), None, &head).await;
        let mut oven = self.oven().await;
        for (degrees, state) in [(95, "firing"), (80, "resolved")] {
            let begun = Instant::now();
            let seeing = async {
                let frame = screen.next_to(state).await;
                (frame, begun.elapsed())
            };
            let payload = format!("{{\"temperature\": {degrees}}}");
            let publishing = oven.publish("devices/oven-1/telemetry", payload);
            let ((frame, elapsed), ()) = tokio::join!(seeing, publishing);
            assert_eq!(frame["alert"]["device"], OVEN);
            latency.record(elapsed);
        }
    }

    async fn oven(&self) -> Device {
        let address = self.service.mqtt();
        match &self.token {
            None => Device::connect(&address, OVEN).await,
            Some(token) => {
                Device::knock(&address, OVEN, OVEN, token).await.expect("the oven is let in")
            }
        }
    }

    /// What pages the team: waits until the expression of this alert of `dashboards/prometheus` holds.
    async fn pages(&self, alert: &str) {
        self.expression(alert, Holds::Yes).await;
        self.say(&format!("Prometheus would page: {alert}"));
    }

    /// Waits until it does not hold any more.
    async fn pages_no_more(&self, alert: &str) {
        self.expression(alert, Holds::No).await;
        self.say(&format!("Prometheus is quiet: {alert}"));
    }

    async fn expression(&self, alert: &str, wanted: Holds) {
        let expression = crate::dashboards::rules::expression_of(alert);
        let until = Instant::now() + PATIENCE;
        let mut pulse = poll();
        loop {
            let series = self.prometheus.query(&expression).await.unwrap();
            if series.is_empty() == (wanted == Holds::No) {
                return;
            }
            assert!(Instant::now() < until, "{alert}, {expression}: {series:?}");
            pulse.tick().await;
        }
    }

    /// Waits until readiness says `status` of all, and `words` somewhere.
    async fn readiness(&self, status: &str, words: &str) {
        let until = Instant::now() + PATIENCE;
        let mut pulse = poll();
        loop {
            let (code, body) = self.service.get("/readyz").await;
            if body["status"] == status && body.to_string().contains(words) {
                let expected = if status == "unavailable" { 503 } else { 200 };
                assert_eq!(code, expected, "{body}");
                self.say(&format!("/readyz {code}: {}", reasons(&body)));
                return;
            }
            assert!(Instant::now() < until, "{code} {body}\n{}", self.service.log());
            pulse.tick().await;
        }
    }

    /// What `bellwire doctor` says of one thing: its status and its detail.
    async fn doctor(&self, name: &str) -> (String, String) {
        let output = crate::backup::run(&self.service, &["doctor", "--json"]).await.stdout;
        let report: Value = serde_json::from_slice(&output).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("{name}: {report}"));
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("detail"))
    }

    /// Ends it in the middle: the service as it is, and what the fleet was promised, which is kept so far.
    async fn leave(self) -> (Service, FleetReport) {
        let report = self.load.finish(&self.service).await;
        self.watcher.assert_saw_all_behind(self.n_steps, &self.service).await;
        println!("account: {}", account(&self.service).await);
        (self.service, report)
    }

    /// Ends it: all that was acknowledged is stored, once, each device's account balances, and so does the
    /// sum of all; every transition was on the operator's screen. Warnings may say one of `expected`.
    async fn end(mut self, expected: &[&str]) -> FleetReport {
        self.goes_on("all is well again").await;
        self.readiness("ok", "").await;
        self.say("the fleet ends");
        let report = self.load.finish(&self.service).await;
        self.watcher.assert_saw_all_behind(self.n_steps, &self.service).await;
        println!("account: {}", account(&self.service).await);
        assert!(self.service.stop().await.success());
        self.service.assert_quiet(expected);
        report
    }
}

/// Whether an expression holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
}

/// What is not well, as readiness says it.
fn reasons(readiness: &Value) -> String {
    let checks = readiness["checks"].as_array().into_iter().flatten();
    let bad = checks.filter(|check| check["status"] != "ok");
    let said: Vec<_> = bad.map(|check| format!("{} {}", check["name"], check["detail"])).collect();
    if said.is_empty() { "all is well".to_owned() } else { said.join("; ") }
}

/// The account of all devices together, which balances.
async fn account(service: &Service) -> String {
    let (_, body) = service.get("/api/v1/audit?limit=1000").await;
    let accounts = body["audit"].as_array().unwrap();
    let count = |key: &str| accounts.iter().filter_map(|it| it[key].as_u64()).sum::<u64>();
    let keys = ["received", "stored", "duplicate", "quarantined", "refused"];
    let [received, stored, duplicate, quarantined, refused] = keys.map(count);
    assert_eq!(received, stored + duplicate + quarantined + refused);
    assert!(received > 0);
    format!(
        "{received} received = {stored} stored + {duplicate} duplicate + {quarantined} quarantined \
         + {refused} refused"
    )
}

/// A gateway that speaks for the fleet, and the oven's token, of a service that asks for them.
async fn credentials(service: &Service) -> (Arc<Login>, String) {
    let gateway = ["device", "add", "gateway", "--gateway-for", "fleet-*"];
    let password = service.run(&gateway).await;
    let token = service.run(&["device", "add", OVEN]).await;
    (Arc::new(Login { user: "gateway".to_owned(), password }), token)
}
