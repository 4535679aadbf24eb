//! Signing in and out.

use std::net::IpAddr;
use std::time::Duration;

use super::{Admitted, CSRF, Gate, SignInError, Use, blocking, lock, purpose_of};
use crate::auth::name::UserName;
use crate::auth::password::{Password, PasswordHash};
use crate::auth::secret::Secret;
use crate::auth::sessions::SessionKey;
use crate::auth::who::Pass;

/// How long somebody waits until their password is hashed.
const PATIENCE: Duration = Duration::from_secs(10);

impl Gate {
    /// Somebody tries to prove who they are; counts as a failure until they have.
    pub(crate) fn attempt(&self, user: &str, from: IpAddr) -> Result<(), SignInError> {
        let user: String = user.chars().take(64).collect();
        let now = self.clock.now();
        lock(&self.throttle).attempt(&user, from, now).map_err(SignInError::TooMany)
    }

    /// They have.
    pub(crate) fn succeeded(&self, user: &str, from: IpAddr) {
        lock(&self.throttle).succeeded(user, from, self.clock.now());
    }

    /// Whether the password is the user's. Takes as long if there is no such user.
    ///
    /// # Errors
    /// If it was tried too often, or too many others wait.
    pub(crate) async fn check_password(
        &self,
        name: &str,
        password: String,
        from: IpAddr,
    ) -> Result<UserName, SignInError> {
        let name = name.to_ascii_lowercase();
        self.attempt(&name, from)?;
        let known = self.with_people(|people| {
            let (name, user) = people.user(&name)?;
            let hash = user.password.clone().filter(|_| user.access.is_open())?;
            Some((name.clone(), hash))
        });
        let (user, hash) = match known {
            Some((user, hash)) => (Some(user), hash),
            None => (None, PasswordHash::of_nobody()),
        };
        let fits = self.hashing(move || hash.fits(&password)).await?;
        let user = user.filter(|_| fits).ok_or(SignInError::Wrong)?;
        self.succeeded(user.as_str(), from);
        Ok(user)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// If too many others wait, or there is no memory.
    pub(crate) async fn hash(&self, password: Password) -> Result<PasswordHash, SignInError> {
        self.hashing(move || password.hash()).await?.map_err(SignInError::Files)
    }

    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SignInError> {
        let permit = tokio::time::timeout(PATIENCE, self.hashing.acquire()).await;
        let _permit = permit.map_err(|_| SignInError::Busy)?;
        blocking(work).await.map_err(SignInError::Files)
    }

    /// Begins a session of a user. Who is signed in is written down when it returns.
    ///
    /// # Errors
    /// If it cannot be.
    pub(crate) async fn begin(&self, user: &UserName) -> Result<(Secret, Admitted), SignInError> {
        let secret = Secret::random().map_err(SignInError::Files)?;
        let key = secret.hash();
        {
            let mut state = lock(&self.state);
            let epoch = state.people.user(user.as_str()).ok_or(SignInError::Wrong)?.1.epoch;
            state.sessions.begin(key, user.clone(), epoch, self.clock.now());
        }
        self.write().await.map_err(SignInError::Files)?;
        let who = self.by_pass(&Pass::Session(key), Use::Now).ok_or(SignInError::Wrong)?;
        let purpose = purpose_of(who.role);
        let csrf = Some(secret.derived(CSRF));
        Ok((secret, Admitted { who, purpose, csrf }))
    }

    /// Ends a session. It is over for good when it returns.
    ///
    /// # Errors
    /// If that cannot be written down; it is over until a restart.
    pub(crate) async fn end(&self, key: SessionKey) -> std::io::Result<()> {
        lock(&self.state).sessions.end(key);
        self.changed.send_replace(());
        self.write().await
    }
}
