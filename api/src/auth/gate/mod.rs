//! Knows who may come in: people, sessions and tokens in memory, kept by a port.
//!
//! Requests are answered from memory. A change of people goes to the port first, which has the truth; what
//! the command line changes there is taken up within a second.

mod change;
mod outside;
mod provider;
mod sign_in;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use bellwire_model::{Clock, Timestamp};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};
use tracing::{info, warn};

use crate::auth::cookie;
use crate::auth::origin::Source;
use crate::auth::people::{People, PeopleError, Purpose};
use crate::auth::secret::{Secret, SecretHash, random};
use crate::auth::sessions::{Limits, Session, SessionKey, Sessions};
use crate::auth::throttle::Throttle;
use crate::auth::who::{Pass, Role, Scope, Via, Who};
use crate::config::AuthConfig;
use crate::ports::{Activity, PeopleStore, PeopleStoreError};

pub(crate) use self::outside::{Difference, Outside};
pub(crate) use self::provider::ATTEMPT_LASTS;
use self::provider::Attempts;

/// How many passwords are hashed at once: each takes a core and 19 MiB.
const HASHING_MAX: usize = 2;
/// The longest text that can be a token.
const TOKEN_BYTES_MAX: usize = 256;
/// How a token begins: so that one that is found somewhere is known for what it is.
const TOKEN_PREFIX: &str = "bwt_";
/// How the token of the data directory begins.
const LOCAL_PREFIX: &str = "bwl_";
/// What a session's secret for requests that change something is derived for.
const CSRF: &str = "bellwire csrf";

/// Who came in, and what for.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) who: Who,
    /// Telemetry only, or all that the role allows.
    pub(crate) purpose: Purpose,
    /// What a request of this session that changes something must bring.
    pub(crate) csrf: Option<Secret>,
}

/// Why nobody signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    #[error("too many tries")]
    TooMany(Duration),
    #[error("others sign in")]
    Busy,
    #[error("name or password are wrong")]
    Wrong,
    #[error(transparent)]
    People(#[from] PeopleError),
    #[error("it cannot be kept")]
    Files(#[source] std::io::Error),
}

impl From<PeopleStoreError> for SignInError {
    fn from(error: PeopleStoreError) -> Self {
        match error {
            PeopleStoreError::Refused(error) => Self::People(error),
            PeopleStoreError::Files(error) => Self::Files(error),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    people: People,
    sessions: Sessions,
    tokens_used: BTreeMap<String, i64>,
    /// Whether somebody was seen since it was last written down.
    is_unwritten: Unwritten,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unwritten {
    #[default]
    Nothing,
    Something,
}

/// Knows who may come in.
#[derive(Debug)]
pub(crate) struct Gate {
    config: AuthConfig,
    store: Arc<dyn PeopleStore>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    throttle: Mutex<Throttle>,
    hashing: Semaphore,
    /// Whoever has it changes people.
    turn: Arc<AsyncMutex<()>>,
    /// Whoever has it writes down who is signed in.
    writing: AsyncMutex<()>,
    /// Rings when somebody may have lost their way in.
    changed: watch::Sender<()>,
    local: SecretHash,
    setup: Mutex<Option<String>>,
    attempts: Mutex<Attempts>,
    /// What others have changed, for the audit log.
    outside: Mutex<Outside>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is complete before anything that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what waits for the disk or takes long where that is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)
}

impl Gate {
    /// Reads who there is. Waits for the disk.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn open(
        config: AuthConfig,
        store: Arc<dyn PeopleStore>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let people = store.read()?;
        let Activity { mut sessions, tokens_used } =
            store.read_activity().unwrap_or_else(|error| {
                warn!(%error, "Who is signed in cannot be read: everybody has to sign in again.");
                Activity::default()
            });
        sessions.sweep(&people, limits(&config), clock.now());
        let local = Secret::random()?;
        store.show_local_token(Some(&format!("{LOCAL_PREFIX}{}", local.text())))?;
        let setup = people.is_empty().then(setup_code).transpose()?;
        let place = store.show_setup_code(setup.as_deref())?;
        if let Some(code) = &setup {
            info!(
                "There is no user yet. Make the first admin in the console with the set-up code \
                 {code}, which is also in {place}, or by `bellwire people add NAME --role admin`."
            );
        }
        let is_unwritten = Unwritten::Nothing;
        Ok(Self {
            config,
            store,
            clock,
            state: Mutex::new(State { people, sessions, tokens_used, is_unwritten }),
            throttle: Mutex::default(),
            hashing: Semaphore::new(HASHING_MAX),
            turn: Arc::default(),
            writing: AsyncMutex::default(),
            changed: watch::Sender::new(()),
            local: local.hash(),
            setup: Mutex::new(setup),
            attempts: Mutex::default(),
            outside: Mutex::default(),
        })
    }

    pub(crate) fn config(&self) -> &AuthConfig {
        &self.config
    }

    fn limits(&self) -> Limits {
        limits(&self.config)
    }

    /// Looks at the people.
    pub(crate) fn with_people<T>(&self, look: impl FnOnce(&People) -> T) -> T {
        look(&lock(&self.state).people)
    }

    /// When a token was last used.
    pub(crate) fn token_used(&self, id: &str) -> Option<Timestamp> {
        let minutes = lock(&self.state).tokens_used.get(id).copied();
        minutes.map(|minutes| Timestamp::from_secs(minutes * 60))
    }

    /// When a session ends if it is not used again.
    pub(crate) fn session_ends(&self, key: SessionKey) -> Option<Timestamp> {
        let now = self.clock.now();
        let state = lock(&self.state);
        state.sessions.find(key, self.limits(), now).map(|it| it.ends_at(self.limits()))
    }

    /// All sessions that have not ended, each with its end.
    pub(crate) fn sessions(&self) -> Vec<(SessionKey, Session, Timestamp)> {
        let (limits, now) = (self.limits(), self.clock.now());
        let state = lock(&self.state);
        let open = state.sessions.open(limits, now);
        open.map(|(key, session)| (key, session.clone(), session.ends_at(limits))).collect()
    }

    /// Whether the first admin has to be made.
    pub(crate) fn needs_setup(&self) -> bool {
        lock(&self.state).people.is_empty()
    }

    /// Who a request is from: by its `Authorization`, or else by its cookie. `None` if it shows nothing
    /// that holds.
    pub(crate) fn admit(&self, headers: &HeaderMap, source: Source) -> Option<Admitted> {
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let (scheme, token) = shown.to_str().ok()?.split_once(' ')?;
            return scheme.eq_ignore_ascii_case("bearer").then(|| self.by_token(token.trim()))?;
        }
        let secret = cookie::SESSION.read(headers, source.wire)?;
        let who = self.by_pass(&Pass::Session(secret.hash()), Use::Now)?;
        let purpose = purpose_of(who.role);
        Some(Admitted { who, purpose, csrf: Some(secret.derived(CSRF)) })
    }

    fn by_token(&self, text: &str) -> Option<Admitted> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        if let Some(secret) = text.strip_prefix(LOCAL_PREFIX) {
            let is_it = self.local.is_of(&Secret::parse(secret)?);
            let purpose = Purpose::Admin;
            return is_it.then(|| Admitted { who: Who::local(), purpose, csrf: None });
        }
        let (id, secret) = text.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
        let secret = Secret::parse(secret)?;
        let purpose = {
            let state = lock(&self.state);
            let token = state.people.token(id).filter(|token| token.hash.is_of(&secret))?;
            token.purpose
        };
        let who = self.by_pass(&Pass::Token(id.into()), Use::Now)?;
        Some(Admitted { who, purpose, csrf: None })
    }

    /// Who it is by what was shown, if that holds now.
    pub(super) fn by_pass(&self, pass: &Pass, used: Use) -> Option<Who> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let state = &mut *state;
        let who = who(&state.people, &state.sessions, pass, self.limits(), now)?;
        if used == Use::Now {
            match pass {
                Pass::Session(key) => state.sessions.touch(*key, now),
                Pass::Token(id) => {
                    let minute = now.as_micros().div_euclid(60_000_000);
                    if state.tokens_used.get(&**id) != Some(&minute) {
                        state.tokens_used.insert(id.to_string(), minute);
                    }
                }
                Pass::Endless => {}
            }
            state.is_unwritten = Unwritten::Something;
        }
        Some(who)
    }

    /// Rings when somebody may have lost their way in.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Whether something is used, or only looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Now,
    Not,
}

fn limits(config: &AuthConfig) -> Limits {
    Limits {
        idle: Duration::from_secs(config.session_idle_secs.get()),
        whole: Duration::from_secs(config.session_max_secs.get()),
    }
}

/// Who it is by what was shown, if that holds.
fn who(
    people: &People,
    sessions: &Sessions,
    pass: &Pass,
    limits: Limits,
    now: Timestamp,
) -> Option<Who> {
    match pass {
        Pass::Endless => Some(Who::local()),
        Pass::Session(key) => {
            let session = sessions.find(*key, limits, now)?;
            let (name, user) = people.user(session.user.as_str())?;
            let holds = user.epoch == session.epoch && user.access.is_open();
            holds.then(|| Who {
                name: name.as_str().into(),
                role: user.role,
                via: Via::Session,
                scope: Scope::of(user.scope.as_deref()),
                pass: pass.clone(),
            })
        }
        Pass::Token(id) => {
            let token = people.token(id).filter(|token| token.is_valid(now))?;
            let (_, user) = people.user(token.user.as_str())?;
            user.access.is_open().then(|| Who {
                name: format!("{}/{}", token.user, token.name).into(),
                role: token.purpose.role().unwrap_or(Role::Viewer).min(user.role),
                via: Via::Token,
                scope: Scope::of(user.scope.as_deref().into_iter().chain(token.scope.as_deref())),
                pass: pass.clone(),
            })
        }
    }
}

const fn purpose_of(role: Role) -> Purpose {
    match role {
        Role::Viewer => Purpose::Viewer,
        Role::Operator => Purpose::Operator,
        Role::Admin => Purpose::Admin,
    }
}

/// 96 bits, as a person can copy them.
fn setup_code() -> std::io::Result<String> {
    let text = super::secret::hex(&random::<12>()?);
    let parts: Vec<&str> = (0..4).filter_map(|n| text.get(6 * n..6 * n + 6)).collect();
    Ok(parts.join("-"))
}

/// A new token: its id, its secret, and the two as its user gets them.
pub fn new_token() -> std::io::Result<(String, Secret, String)> {
    let id = super::secret::hex(&random::<6>()?);
    let secret = Secret::random()?;
    let text = format!("{TOKEN_PREFIX}{id}_{}", secret.text());
    Ok((id, secret, text))
}
