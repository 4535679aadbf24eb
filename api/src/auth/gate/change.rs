//! Changing people, and taking up what others change of them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Gate, SignInError, State, Unwritten, blocking, lock};
use crate::auth::name::UserName;
use crate::auth::people::{People, PeopleError, User};
use crate::auth::secret::are_same;
use crate::auth::sessions::SessionKey;
use crate::ports::{Activity, PeopleStoreError};

/// How long somebody waits for their turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether others have changed people.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is written down when sessions and tokens were used.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Whether what others change can be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wellness {
    Well,
    Unwell,
}

impl Gate {
    /// Whether it is the code that the first admin is made with.
    pub(crate) fn is_setup_code(&self, said: &str) -> bool {
        let plain = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>();
        let said = plain(&said.to_ascii_lowercase());
        let setup = lock(&self.setup);
        setup.as_ref().is_some_and(|code| are_same(plain(code).as_bytes(), said.as_bytes()))
    }

    /// Makes the first admin.
    ///
    /// # Errors
    /// If there is somebody already, or it cannot be kept.
    pub(crate) async fn set_up(
        self: &Arc<Self>,
        name: UserName,
        user: User,
    ) -> Result<(), SignInError> {
        self.change(move |people| people.set_up(name, user)).await?;
        lock(&self.setup).take();
        let store = Arc::clone(&self.store);
        let shown = blocking(move || store.show_setup_code(None)).await;
        if let Ok(Err(error)) | Err(error) = shown {
            // It is worth nothing any more.
            warn!(%error, "The file with the set-up code cannot be removed.");
        }
        Ok(())
    }

    /// Changes people. Done when it is durable and holds for all who come.
    ///
    /// # Errors
    /// What `change` says, or if it cannot be kept.
    ///
    /// # Cancel safety
    /// A change that was begun goes on.
    pub(crate) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut People) -> Result<T, PeopleError> + Send + 'static,
    ) -> Result<T, SignInError> {
        self.change_keeping(None, change).await
    }

    /// The same; this session goes on though its user has another password then.
    ///
    /// # Errors
    /// As [`Gate::change`].
    ///
    /// # Cancel safety
    /// A change that was begun goes on.
    pub(crate) async fn change_keeping<T: Send + 'static>(
        self: &Arc<Self>,
        session: Option<SessionKey>,
        change: impl FnOnce(&mut People) -> Result<T, PeopleError> + Send + 'static,
    ) -> Result<T, SignInError> {
        let turn = Arc::clone(&self.turn).lock_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await.map_err(|_| SignInError::Busy)?;
        let gate = Arc::clone(self);
        let changing = blocking(move || {
            let _turn = turn;
            let (mut change, mut made, mut found) = (Some(change), None, None);
            let changed = gate.store.change(&mut |people| {
                // It is asked once.
                let Some(change) = change.take() else { return Ok(()) };
                gate.notice(people);
                found = Some(people.clone());
                made = Some(change(people)?);
                Ok(())
            });
            match (changed, found) {
                (Ok(people), _) => gate.take(people, session),
                (Err(error), found) => {
                    // Others may have changed them, and it is seen once only that they have.
                    if let Some(found) = found {
                        gate.take(found, session);
                    }
                    return Err(error);
                }
            }
            Ok::<_, PeopleStoreError>(made)
        });
        let made = changing.await.map_err(SignInError::Files)??;
        made.ok_or_else(|| SignInError::Files(std::io::Error::other("nothing was changed")))
    }

    /// From now on these are the people; `session` goes on whatever its user's epoch is now.
    fn take(&self, people: People, session: Option<SessionKey>) {
        let mut state = lock(&self.state);
        let user = session
            .and_then(|key| state.sessions.find(key, self.limits(), self.clock.now()))
            .and_then(|session| people.user(session.user.as_str()));
        let epoch = user.map(|(_, user)| user.epoch);
        if let (Some(key), Some(epoch)) = (session, epoch) {
            state.sessions.go_on(key, epoch);
        }
        state.people = people;
        self.sweep(&mut state);
        drop(state);
        self.changed.send_replace(());
    }

    pub(super) fn sweep(&self, state: &mut State) {
        let State { people, sessions, tokens_used, .. } = state;
        sessions.sweep(people, self.limits(), self.clock.now());
        tokens_used.retain(|id, _| people.token(id).is_some());
    }

    /// Writes down who is signed in.
    pub(super) async fn write(&self) -> std::io::Result<()> {
        let _writing = self.writing.lock().await;
        let activity = {
            let mut state = lock(&self.state);
            self.sweep(&mut state);
            state.is_unwritten = Unwritten::Nothing;
            let State { sessions, tokens_used, .. } = &*state;
            Activity { sessions: sessions.clone(), tokens_used: tokens_used.clone() }
        };
        let store = Arc::clone(&self.store);
        blocking(move || store.write_activity(&activity)).await?
    }

    /// Takes up what others change, and writes down who is signed in, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut pulse = tokio::time::interval(LOOK_EVERY);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut write_at = tokio::time::Instant::now() + WRITE_EVERY;
        let mut is_well = Wellness::Well;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = pulse.tick() => {}
            }
            is_well = self.look(is_well).await;
            if tokio::time::Instant::now() >= write_at {
                write_at = tokio::time::Instant::now() + WRITE_EVERY;
                self.write_if_needed().await;
            }
        }
        self.write_if_needed().await;
        // The next start makes another.
        let store = Arc::clone(&self.store);
        drop(blocking(move || store.show_local_token(None)).await);
    }

    async fn write_if_needed(&self) {
        if lock(&self.state).is_unwritten == Unwritten::Nothing {
            return;
        }
        if let Err(error) = self.write().await {
            warn!(%error, "It cannot be written down who is signed in; a restart may sign some out.");
        }
    }

    /// Looks whether others have changed people.
    async fn look(&self, before: Wellness) -> Wellness {
        let store = Arc::clone(&self.store);
        let turn = self.turn.lock().await;
        let read = blocking(move || store.has_changed().then(|| store.read())).await;
        match read {
            Ok(None) => before,
            Ok(Some(Ok(people))) => {
                self.notice(&people);
                self.take(people, None);
                drop(turn);
                info!("Users and tokens were changed from outside.");
                Wellness::Well
            }
            Ok(Some(Err(error))) | Err(error) => {
                if before == Wellness::Well {
                    warn!(%error, "Users and tokens cannot be read; those that are known stay valid.");
                }
                Wellness::Unwell
            }
        }
    }

    /// Reads people now, whether it is seen that others have changed them or not. Whether they are others.
    pub(crate) async fn read_again(&self) -> std::io::Result<bool> {
        let store = Arc::clone(&self.store);
        let turn = self.turn.lock().await;
        let people = blocking(move || store.read()).await??;
        let is_new = people != lock(&self.state).people;
        if is_new {
            self.notice(&people);
            self.take(people, None);
        }
        drop(turn);
        Ok(is_new)
    }
}
