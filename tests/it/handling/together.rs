//! Two who have signed in act on one alert at once: whatever they do, whenever the service dies, both
//! screens, the alert's timeline, the database and the audit log tell the same, of the same people.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::alert_of;
use crate::support::dice::Dice;
use crate::support::events::Events;
use crate::support::http;
use crate::support::live::Screen;
use crate::support::people::{add_user, ask, sign_in};
use crate::support::service::{Service, Settings, poll, spawn, wait_until};

const RULES: &str = "[[rule]]\nname = \"hot\"\nwhen = \"t > 10\"\nseverity = \"critical\"\n";
/// What each of the two asks for.
const REQUESTS: u32 = 60;

/// What can be done with an alert, and the step that it makes.
const DEEDS: [(&str, &str); 6] = [
    ("ack", "acknowledged"),
    ("unack", "unacknowledged"),
    ("assign", "assigned"),
    ("comment", "commented"),
    ("snooze", "snoozed"),
    ("unsnooze", "snooze_ended"),
];

/// A step: which, by whom, with what text.
type Step = (String, String, String);

fn step_of(value: &Value) -> Step {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    (text("step"), text("by"), text("text"))
}

/// What a screen has shown: each step with its cursor, in order.
type Shown = Arc<Mutex<Vec<(String, Step)>>>;

/// Takes a frame of a screen; gives its cursor.
fn take(shown: &Shown, frame: &Value) -> Option<String> {
    let cursor = frame["cursor"].as_str()?.to_owned();
    if frame["type"] == "step" {
        shown.lock().unwrap().push((cursor.clone(), step_of(frame)));
    }
    Some(cursor)
}

/// Looks at the live feed over a WebSocket, coming back as often as it ends.
async fn watch(address: String, head: String, shown: Shown) {
    let (mut poll, mut cursor) = (poll(), None::<String>);
    loop {
        poll.tick().await;
        let opened = Screen::try_open_as(&address, cursor.as_deref(), &head).await;
        let Some(mut screen) = opened else { continue };
        while let Some(frame) = screen.next().await {
            cursor = take(&shown, &frame).or(cursor);
        }
    }
}

/// The same by server-sent events.
async fn listen(address: String, head: String, shown: Shown) {
    let (mut poll, mut cursor) = (poll(), None::<String>);
    loop {
        poll.tick().await;
        let query = cursor.as_ref().map(|it| format!("?cursor={it}")).unwrap_or_default();
        let Ok(mut events) = Events::open(&address, &query, &head).await else { continue };
        while let Some(event) = events.next().await {
            cursor = take(&shown, &event).or(cursor);
        }
    }
}

/// Somebody who has signed in.
#[derive(Clone)]
struct Operator {
    name: &'static str,
    address: String,
    head: String,
    /// How much they have asked for.
    n_asked: Arc<AtomicU32>,
    /// How often they had to ask again because there was no answer.
    n_again: Arc<AtomicU32>,
}

impl Operator {
    async fn of(service: &Service, name: &'static str) -> Self {
        let head = sign_in(service, name).await;
        let (n_asked, n_again) = (Arc::default(), Arc::default());
        Self { name, address: service.http(), head, n_asked, n_again }
    }

    /// Asks until there is an answer, each time with the same key: what is done is done once.
    async fn ask(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let head = format!("{}Idempotency-Key: {key}\r\n", self.head);
        let mut poll = poll();
        loop {
            poll.tick().await;
            let asked = http::send(&self.address, path, &head, &body.to_string()).await;
            let Ok((status, _, answer)) = asked else {
                self.n_again.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
            // The other one with this key is on its way, or the service is only starting.
            if answer["code"] != "idempotency_key_in_use" && status < 500 {
                return (status, answer);
            }
        }
    }

    /// Does all sorts of things with an alert; what was done.
    async fn act(self, id: String, mut dice: Dice) -> Vec<Step> {
        let mut done = Vec::new();
        for number in 0..REQUESTS {
            let (what, step) = DEEDS[usize::try_from(dice.below(6)).unwrap()];
            let text = format!("{} {number}", self.name);
            let (body, text) = match what {
                "assign" => {
                    (json!({"to": self.name, "comment": text}), format!("to {}: {text}", self.name))
                }
                "snooze" => (json!({"for": "1h", "comment": text}), text),
                _ => (json!({"comment": text}), text),
            };
            let path = format!("POST /api/v1/alerts/{id}/{what}");
            let key = format!("k-{number}");
            let (status, answer) = if dice.below(3) == 0 {
                let twice =
                    tokio::join!(self.ask(&path, &key, &body), self.ask(&path, &key, &body));
                assert_eq!(twice.0.0, twice.1.0, "{twice:?}");
                twice.0
            } else {
                self.ask(&path, &key, &body).await
            };
            match status {
                200 => done.push((step.to_owned(), self.name.to_owned(), text)),
                _ => {
                    let code = answer["code"].as_str().unwrap_or_default();
                    let lost = ["already_acknowledged", "not_acknowledged", "not_snoozed"];
                    assert!(status == 409 && lost.contains(&code), "{what}: {status} {answer}");
                }
            }
            self.n_asked.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}

/// A service with an alert, two operators, and what they do and see.
struct Scene {
    service: Service,
    id: String,
    operators: [Operator; 2],
    shown: [Shown; 2],
    screens: Vec<JoinHandle<()>>,
}

impl Scene {
    async fn set() -> Self {
        let settings = Settings { rules: Some(RULES.to_owned()), ..Settings::guarded() };
        let settings = settings.set("BELLWIRE_HTTP_RATE_REQUESTS_PER_SECOND", 0);
        let mut service = Service::prepare(settings);
        for (name, role) in [("root", "admin"), ("ada", "operator"), ("bo", "operator")] {
            add_user(&service, name, role).await;
        }
        service.launch().await;
        let operators = [Operator::of(&service, "ada").await, Operator::of(&service, "bo").await];
        let reading = json!({"device": "oven", "telemetry": {"t": 11}});
        let head = service.authorization();
        let (status, _, body) = ask(&service, "POST /api/v1/telemetry", &head, &reading).await;
        assert_eq!(status, 202, "{body}");
        let alert = alert_of(&service, "oven", "firing").await;
        let shown: [Shown; 2] = Default::default();
        let [ada, bo] = operators.clone();
        let screens = vec![
            spawn(watch(ada.address, ada.head, Arc::clone(&shown[0]))),
            spawn(listen(bo.address, bo.head, Arc::clone(&shown[1]))),
        ];
        let id = alert["id"].as_str().unwrap().to_owned();
        // What is done before they look is no step on a screen: both see the first comment.
        let see = async |n_seen: usize| {
            let path = format!("POST /api/v1/alerts/{id}/comment");
            let both = || shown.iter().all(|it| !it.lock().unwrap().is_empty());
            let mut poll = poll();
            for _ in 0..1_000 {
                if both() {
                    return;
                }
                let (status, _, body) =
                    ask(&service, &path, &service.authorization(), &json!({"comment": "look"}))
                        .await;
                assert_eq!(status, 200, "{n_seen}: {body}");
                poll.tick().await;
            }
        };
        see(0).await;
        Self { service, id, operators, shown, screens }
    }

    /// All that both do, at once; what was done.
    fn act(&self) -> JoinHandle<Vec<Step>> {
        let [ada, bo] = self.operators.clone();
        let id = self.id.clone();
        spawn(async move {
            let mut dice = Dice::seeded(1);
            let (one, other) = (dice.fork(), dice.fork());
            let (mut all, more) = tokio::join!(ada.act(id.clone(), one), bo.act(id, other));
            all.extend(more);
            all
        })
    }

    /// Checks that all tell the same of what was done; `surplus` of it may be told twice in the audit log.
    async fn check(mut self, done: Vec<Step>, surplus: u32) {
        let path = format!("/api/v1/alerts/{}", self.id);
        let (_, alert) = self.service.get(&path).await;
        let timeline: Vec<Step> = alert["transitions"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["step"].is_string())
            .map(step_of)
            .collect();
        let theirs = |all: &[Step]| {
            let of = all.iter().filter(|(_, by, _)| by == "ada" || by == "bo").cloned();
            let mut of: Vec<_> = of.collect();
            of.sort();
            of
        };
        assert_eq!(theirs(&timeline), theirs(&done), "each thing once, by whom it was");
        // A screen begins with what stood when it was opened.
        for shown in &self.shown {
            let seen = || shown.lock().unwrap().iter().map(|it| it.1.clone()).collect::<Vec<_>>();
            wait_until("the screen shows it", || seen().last() == timeline.last()).await;
            let seen = seen();
            assert_eq!(seen, timeline[timeline.len() - seen.len()..]);
        }
        self.check_audit_log(&done, surplus).await;
        let last = |kinds: [&str; 2]| timeline.iter().rev().find(|it| kinds.contains(&&*it.0));
        let acked = last(["acknowledged", "unacknowledged"]).filter(|it| it.0 == "acknowledged");
        assert_eq!(alert["acknowledged_by"].as_str(), acked.map(|it| &*it.1));
        let assigned = last(["assigned", "assigned"]).map(|it| &*it.1);
        assert_eq!(alert["assigned_to"].as_str(), assigned);

        for screen in &self.screens {
            screen.abort();
        }
        assert!(self.service.stop().await.success());
        // Keep has written everything; so has the database.
        self.service.launch().await;
        let sql = self.service.sql().await;
        let rows = sql.query("SELECT step, by, text FROM alert_steps ORDER BY at", &[]).await;
        let rows = rows.unwrap();
        let mut stored: Vec<Step> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        let mut told = timeline;
        stored.sort();
        told.sort();
        assert_eq!(stored, told);
        assert!(self.service.stop().await.success());
        self.service.assert_quiet(&[]);
    }

    /// The audit log has each thing that was done, by whom it was; what it says of before and after is true.
    async fn check_audit_log(&self, done: &[Step], surplus: u32) {
        let (_, all) = self.service.get("/api/v1/audit-log?action=alert.*&limit=1000").await;
        let mut told: BTreeMap<(String, String), i64> = BTreeMap::new();
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        for line in all["audit_log"].as_array().unwrap() {
            assert_eq!((&line["target"], &line["outcome"]), (&json!(self.id), &json!("done")));
            let (who, action) = (text(line, "who"), text(line, "action"));
            if who == "local" {
                continue;
            }
            let by = |side: &str| line[side]["acknowledged_by"].clone();
            // What was done before the service died is told without what it replaced.
            let is_known = line["before"].is_object();
            match action.as_str() {
                "alert.ack" if is_known => {
                    assert_eq!((by("before"), by("after")), (Value::Null, json!(who)), "{line}");
                }
                "alert.unack" if is_known => {
                    assert!(by("before").is_string() && by("after").is_null(), "{line}");
                }
                "alert.assign" if is_known => {
                    assert_eq!(line["after"]["assigned_to"], json!(who), "{line}");
                }
                _ => {}
            }
            *told.entry((who, action)).or_default() += 1;
        }
        for (step, by, _) in done {
            let (what, _) = DEEDS.iter().find(|(_, it)| it == step).unwrap();
            *told.entry((by.clone(), format!("alert.{what}"))).or_default() -= 1;
        }
        assert!(told.values().all(|n| *n >= 0), "not told: {told:?}");
        assert!(told.values().sum::<i64>() <= i64::from(surplus), "told twice: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_with_names_act_on_one_alert_and_all_tell_the_same() {
    let scene = Scene::set().await;
    let done = scene.act().await.unwrap();
    assert!(done.len() > 40, "{}", done.len());
    scene.check(done, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_act_on_one_alert_while_the_service_is_killed() {
    let mut scene = Scene::set().await;
    let acting = scene.act();
    for at in [REQUESTS / 2, REQUESTS * 3 / 2] {
        let n_asked = || scene.operators.iter().map(|it| it.n_asked.load(Ordering::Relaxed)).sum();
        wait_until("they are in the middle of it", || {
            let n: u32 = n_asked();
            n >= at
        })
        .await;
        scene.service.kill().await;
        scene.service.launch().await;
    }
    let done = acting.await.unwrap();
    let again = scene.operators.iter().map(|it| it.n_again.load(Ordering::Relaxed)).sum();
    scene.check(done, again).await;
}
