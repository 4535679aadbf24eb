//! The API with credentials, asked without sockets.

mod attacks;
mod people;
mod routes;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bellwire_model::{Clock, Timestamp};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::gate::Gate;
use super::name::UserName;
use super::password::{Password, PasswordHash};
use super::people::{ApiToken, People, PeopleError, Purpose, User};
use super::{Role, new_token};
use crate::app::App;
use crate::config::Config;
use crate::peer::Peer;
use crate::ports::{Activity, PeopleStore, PeopleStoreError};

/// The password of everybody here.
const PASSWORD: &str = "correct horse battery";

/// People in memory, as another process could change them too.
#[derive(Debug, Default)]
struct Memory {
    people: Mutex<People>,
    changed: AtomicU64,
    activity: Mutex<Activity>,
    code: Mutex<Option<String>>,
    local: Mutex<Option<String>>,
}

impl PeopleStore for Memory {
    fn read(&self) -> std::io::Result<People> {
        self.changed.store(0, Ordering::Relaxed);
        Ok(self.people.lock().unwrap().clone())
    }

    fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed) > 0
    }

    fn change(
        &self,
        change: &mut dyn FnMut(&mut People) -> Result<(), PeopleError>,
    ) -> Result<People, PeopleStoreError> {
        let mut people = self.people.lock().unwrap();
        self.changed.store(0, Ordering::Relaxed);
        let mut next = people.clone();
        change(&mut next)?;
        *people = next.clone();
        Ok(next)
    }

    fn read_activity(&self) -> std::io::Result<Activity> {
        Ok(self.activity.lock().unwrap().clone())
    }

    fn write_activity(&self, activity: &Activity) -> std::io::Result<()> {
        *self.activity.lock().unwrap() = activity.clone();
        Ok(())
    }

    fn show_setup_code(&self, code: Option<&str>) -> std::io::Result<String> {
        *self.code.lock().unwrap() = code.map(str::to_owned);
        Ok("memory".to_owned())
    }

    fn show_local_token(&self, token: Option<&str>) -> std::io::Result<()> {
        *self.local.lock().unwrap() = token.map(str::to_owned);
        Ok(())
    }
}

/// A clock that is moved by hand.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// The hash of [`PASSWORD`], made once: it takes long.
fn hash() -> PasswordHash {
    static HASH: std::sync::OnceLock<PasswordHash> = std::sync::OnceLock::new();
    let make = || Password::new(PASSWORD.to_owned(), "anna").unwrap().hash().unwrap();
    HASH.get_or_init(make).clone()
}

/// An API and who may use it.
struct House {
    app: Arc<App>,
    store: Arc<Memory>,
    clock: Arc<Hand>,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The cookie that it sets, as it is sent back.
    fn cookie(&self) -> String {
        let line = self.headers.get(header::SET_COOKIE).expect("a cookie").to_str().unwrap();
        line.split(';').next().unwrap().to_owned()
    }
}

impl House {
    /// With the users root, olga, vera: an admin, an operator, a viewer.
    fn with_users() -> Self {
        let house = Self::empty();
        for (name, role) in
            [("root", Role::Admin), ("olga", Role::Operator), ("vera", Role::Viewer)]
        {
            house.add(name, User { password: Some(hash()), ..User::new(role, house.clock.now()) });
        }
        house.restarted()
    }

    /// With nobody.
    fn empty() -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(1_700_000_000)));
        let store = Arc::new(Memory::default());
        let app = Self::app(&store, &clock);
        Self { app, store, clock }
    }

    fn app(store: &Arc<Memory>, clock: &Arc<Hand>) -> Arc<App> {
        let app = crate::live::testing::app();
        let mut app = Arc::try_unwrap(app).expect("nobody else has it");
        let config = Config::default().auth;
        let as_clock: Arc<dyn Clock> = Arc::clone(clock) as _;
        let gate = Gate::open(config, Arc::clone(store) as _, Arc::clone(&as_clock)).unwrap();
        app.gate = Some(Arc::new(gate));
        app.clock = as_clock;
        Arc::new(app)
    }

    /// The same after a restart.
    fn restarted(self) -> Self {
        let Self { app, store, clock } = self;
        drop(app);
        let app = Self::app(&store, &clock);
        Self { app, store, clock }
    }

    fn gate(&self) -> &Arc<Gate> {
        self.app.gate.as_ref().unwrap()
    }

    fn add(&self, name: &str, user: User) {
        self.store.people.lock().unwrap().add(UserName::new(name).unwrap(), user).unwrap();
    }

    fn pass(&self, secs: i64) {
        self.clock.0.fetch_add(secs, Ordering::Relaxed);
    }

    /// A token of this user, valid for an hour.
    async fn token(&self, user: &str, purpose: Purpose) -> String {
        let (id, secret, text) = new_token().unwrap();
        let now = self.clock.now().as_micros();
        let token = ApiToken {
            name: format!("{}-{id}", purpose.label()),
            user: UserName::new(user).unwrap(),
            purpose,
            scope: None,
            hash: secret.hash(),
            created_at: now,
            expires_at: now + 3_600_000_000,
        };
        self.gate().change(move |people| people.add_token(id, token)).await.unwrap();
        format!("Bearer {text}")
    }

    /// Sends a request: `METHOD path`, lines of head, and JSON if it is not null.
    async fn send(&self, what: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.send_from(1, what, headers, body).await
    }

    /// The same, from another address.
    async fn send_from(
        &self,
        address: u8,
        what: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "bell.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let content = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.header("content-type", "application/json");
        let mut request = request.body(Body::from(content)).unwrap();
        let peer = [10, 0, 0, address].into();
        request.extensions_mut().insert(Peer { address: peer, is_secure: false });
        let router = crate::routes::router(Arc::clone(&self.app));
        let answer = TowerToHyperService::new(router).call(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Signs in; the cookie, and what goes with requests that change something.
    async fn sign_in(&self, name: &str) -> (String, String) {
        let body = json!({"name": name, "password": PASSWORD});
        let answer = self.send("POST /api/v1/session", &[], &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.cookie(), answer.body["csrf"].as_str().unwrap().to_owned())
    }
}
