//! Sessions: who has signed in and not out again, as plain data.
//!
//! Only the SHA-256 of a session's secret is known here. A session ends when it is signed out, when it
//! was not used for the idle time, at its end whatever it is used for, and when its user is removed,
//! disabled or has another password.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::UserName;
use super::people::People;
use super::secret::SecretHash;

/// The most sessions. Beyond, the one that was not used for longest ends.
pub const SESSIONS_MAX: usize = 10_000;
/// The most sessions of one user. Beyond, the one that was not used for longest ends.
pub const SESSIONS_OF_USER_MAX: usize = 50;

/// Which session: the hash of its secret.
pub type SessionKey = SecretHash;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Whose it is.
    pub user: UserName,
    /// The user's epoch when it began: it ends with that.
    pub epoch: u64,
    /// When it began, microseconds since 1970.
    pub created_at: i64,
    /// When it was last used, microseconds since 1970.
    pub seen_at: i64,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without being used.
    pub idle: Duration,
    /// At most.
    pub whole: Duration,
}

impl Session {
    /// When it ends if it is not used again.
    #[must_use]
    pub fn ends_at(&self, limits: Limits) -> Timestamp {
        let end = |from: i64, after: Duration| {
            from.saturating_add(i64::try_from(after.as_micros()).unwrap_or(i64::MAX))
        };
        let (idle, whole) = (end(self.seen_at, limits.idle), end(self.created_at, limits.whole));
        Timestamp::from_micros(idle.min(whole))
    }
}

/// All sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sessions(BTreeMap<SessionKey, Session>);

impl Sessions {
    /// Begins one. Others may end to make room.
    pub fn begin(&mut self, key: SessionKey, user: UserName, epoch: u64, now: Timestamp) {
        self.make_room(SESSIONS_OF_USER_MAX, |session| session.user == user);
        self.make_room(SESSIONS_MAX, |_| true);
        let now = now.as_micros();
        self.0.insert(key, Session { user, epoch, created_at: now, seen_at: now });
    }

    fn make_room(&mut self, max: usize, counts: impl Fn(&Session) -> bool) {
        let counted = || self.0.iter().filter(|(_, session)| counts(session));
        if counted().count() >= max
            && let Some(oldest) = counted().min_by_key(|(_, it)| it.seen_at).map(|(key, _)| *key)
        {
            self.0.remove(&oldest);
        }
    }

    /// One that has not ended.
    #[must_use]
    pub fn find(&self, key: SessionKey, limits: Limits, now: Timestamp) -> Option<&Session> {
        self.0.get(&key).filter(|session| now < session.ends_at(limits))
    }

    /// It is used now. The clock may have stepped back: it is never used earlier than it was.
    pub fn touch(&mut self, key: SessionKey, now: Timestamp) {
        if let Some(session) = self.0.get_mut(&key) {
            session.seen_at = session.seen_at.max(now.as_micros());
        }
    }

    /// It goes on though its user has a new epoch: they have changed their password in it.
    pub fn go_on(&mut self, key: SessionKey, epoch: u64) {
        if let Some(session) = self.0.get_mut(&key) {
            session.epoch = epoch;
        }
    }

    /// Ends one; whether there was one.
    pub fn end(&mut self, key: SessionKey) -> bool {
        self.0.remove(&key).is_some()
    }

    /// Forgets those that have ended, also because of what became of their users.
    pub fn sweep(&mut self, people: &People, limits: Limits, now: Timestamp) {
        self.0.retain(|_, session| {
            let user = people.user(session.user.as_str());
            now < session.ends_at(limits)
                && user.is_some_and(|(_, user)| user.epoch == session.epoch)
        });
    }

    /// All that have not ended.
    pub fn open(
        &self,
        limits: Limits,
        now: Timestamp,
    ) -> impl Iterator<Item = (SessionKey, &Session)> {
        let all = self.0.iter().map(|(key, session)| (*key, session));
        all.filter(move |(_, session)| now < session.ends_at(limits))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::password::PasswordHash;
    use crate::auth::people::User;
    use crate::auth::secret::Secret;
    use crate::auth::who::Role;

    const LIMITS: Limits = Limits { idle: Duration::from_secs(10), whole: Duration::from_secs(25) };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn key() -> SessionKey {
        Secret::random().unwrap().hash()
    }

    fn name(text: &str) -> UserName {
        UserName::new(text).unwrap()
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_at_its_end() {
        let (mut sessions, key) = (Sessions::default(), key());
        sessions.begin(key, name("anna"), 0, at(0));
        let is_there = |sessions: &Sessions, secs| sessions.find(key, LIMITS, at(secs)).is_some();
        assert!(is_there(&sessions, 9) && !is_there(&sessions, 10));
        sessions.touch(key, at(9));
        assert!(is_there(&sessions, 18) && !is_there(&sessions, 19));
        sessions.touch(key, at(18));
        assert!(is_there(&sessions, 24) && !is_there(&sessions, 25), "used or not");
        sessions.touch(key, at(3));
        assert!(is_there(&sessions, 24), "the clock steps back");
    }

    #[test]
    fn one_that_was_signed_out_is_gone() {
        let (mut sessions, key) = (Sessions::default(), key());
        sessions.begin(key, name("anna"), 0, at(0));
        assert!(sessions.end(key));
        assert!(!sessions.end(key) && sessions.find(key, LIMITS, at(0)).is_none());
    }

    #[test]
    fn sessions_end_with_what_becomes_of_their_users() {
        let mut people = People::default();
        people.set_up(name("root"), User::new(Role::Admin, at(0))).unwrap();
        people.add(name("anna"), User::new(Role::Viewer, at(0))).unwrap();
        let (mut sessions, own, other, gone) = (Sessions::default(), key(), key(), key());
        for key in [own, other] {
            sessions.begin(key, name("anna"), 0, at(0));
        }
        sessions.begin(gone, name("bert"), 0, at(0));
        sessions.sweep(&people, LIMITS, at(1));
        assert!(sessions.find(gone, LIMITS, at(1)).is_none(), "no such user");
        people.set_password("anna", PasswordHash::of_nobody()).unwrap();
        sessions.go_on(own, people.user("anna").unwrap().1.epoch);
        sessions.sweep(&people, LIMITS, at(1));
        assert!(sessions.find(own, LIMITS, at(1)).is_some());
        assert!(sessions.find(other, LIMITS, at(1)).is_none());
    }

    #[test]
    fn the_one_unused_for_longest_makes_room() {
        let mut sessions = Sessions::default();
        let keys: Vec<_> = (0..SESSIONS_OF_USER_MAX).map(|_| key()).collect();
        for (n, key) in keys.iter().enumerate() {
            sessions.begin(*key, name("anna"), 0, at(n as i64));
        }
        sessions.touch(keys[0], at(99));
        sessions.begin(key(), name("anna"), 0, at(100));
        assert_eq!(sessions.len(), SESSIONS_OF_USER_MAX);
        let limits = Limits { idle: Duration::from_secs(1_000), whole: Duration::from_secs(1_000) };
        assert!(sessions.find(keys[0], limits, at(100)).is_some());
        assert!(sessions.find(keys[1], limits, at(100)).is_none());
    }

    #[test]
    fn they_are_read_as_they_were_written_without_secrets() {
        let (mut sessions, secret) = (Sessions::default(), Secret::random().unwrap());
        sessions.begin(secret.hash(), name("anna"), 7, at(1));
        let text = serde_json::to_string(&sessions).unwrap();
        assert!(!text.contains(&secret.text()));
        assert_eq!(serde_json::from_str::<Sessions>(&text).unwrap(), sessions);
    }
}
