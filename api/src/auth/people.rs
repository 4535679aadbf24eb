//! The people who may use the API, and the tokens of their programs: plain data, and what may be done
//! to it.

use std::collections::BTreeMap;

use bellwire_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::UserName;
use super::password::{PasswordHash, Unfit};
use super::secret::SecretHash;
use super::who::Role;

/// The most users.
pub const USERS_MAX: usize = 1_000;
/// The most tokens of one user.
pub const TOKENS_OF_USER_MAX: usize = 100;
/// The most bytes of a scope.
pub const SCOPE_BYTES_MAX: usize = 1_024;
/// The most characters of a token's name.
const TOKEN_NAME_CHARS_MAX: usize = 64;

/// Why people are not changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// There is no such user.
    #[error("there is no user `{0}`")]
    NoSuchUser(String),
    /// There is one already.
    #[error("there is a user `{0}` already")]
    Exists(UserName),
    /// Nobody could administer any more.
    #[error("`{0}` is the last admin who can sign in: make another one first")]
    LastAdmin(UserName),
    /// The password cannot be used.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// An admin with a scope.
    #[error("an admin has no scope: who changes rules and people sees everything")]
    ScopedAdmin,
    /// There are too many of them.
    #[error("there are {0} already, and no more are allowed")]
    TooMany(usize),
    /// There is no such token.
    #[error("there is no token `{0}`")]
    NoSuchToken(String),
    /// A token's name cannot be used.
    #[error("a token's name has 1 to 64 characters, and neither `/` nor control characters")]
    BadTokenName,
    /// A user has a token of this name already.
    #[error("there is a token `{0}` of this user already")]
    TokenExists(String),
    /// A token would be allowed more than its user.
    #[error("a token may not do more than its user, who is {}", .0.label())]
    MoreThanUser(Role),
    /// It was set up already.
    #[error("there is an admin already")]
    SetUp,
    /// The name belongs to somebody who signs in another way.
    #[error("the name `{0}` belongs to somebody who signs in another way")]
    Foreign(UserName),
}

/// Who somebody is to an OpenID provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSubject {
    /// The provider.
    pub issuer: String,
    /// Whom it means: it never means another by it.
    pub subject: String,
}

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What they may do.
    pub role: Role,
    /// Which devices there are for them, as a rule's `select`; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Absent: they cannot sign in with a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// Who they are to the provider that they sign in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSubject>,
    /// Whether they may come in at all.
    #[serde(default, skip_serializing_if = "Access::is_open")]
    pub access: Access,
    /// Grows when all of their sessions have to end.
    #[serde(default)]
    pub epoch: u64,
    /// When they were added, microseconds since 1970.
    pub created_at: i64,
}

/// Whether somebody may come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Yes.
    #[default]
    Open,
    /// Not now: neither they nor their tokens.
    Disabled,
}

impl Access {
    /// Whether they may.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

impl User {
    /// A new one, who cannot sign in yet.
    #[must_use]
    pub const fn new(role: Role, now: Timestamp) -> Self {
        let created_at = now.as_micros();
        // Sessions of somebody of the same name who was removed are not theirs.
        let epoch = created_at.unsigned_abs();
        Self {
            role,
            scope: None,
            password: None,
            oidc: None,
            access: Access::Open,
            epoch,
            created_at,
        }
    }

    /// Whether they can be relied upon to administer.
    fn is_sure_admin(&self) -> bool {
        // Who signs in by a provider cannot while that is away, or says another role.
        self.role == Role::Admin && self.access.is_open() && self.password.is_some()
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Sending telemetry, and nothing else.
    Telemetry,
    /// All that a viewer may do.
    Viewer,
    /// All that an operator may do.
    Operator,
    /// All that an admin may do.
    Admin,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Telemetry, Self::Viewer, Self::Operator, Self::Admin];

    /// The role in it; none for telemetry.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Telemetry => None,
            Self::Viewer => Some(Role::Viewer),
            Self::Operator => Some(Role::Operator),
            Self::Admin => Some(Role::Admin),
        }
    }

    /// The stable, lower-case word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self.role() {
            None => "telemetry",
            Some(role) => role.label(),
        }
    }

    /// The one with this label.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.label() == label)
    }

    /// The least role that may make a token for it.
    const fn least(self) -> Role {
        match self.role() {
            None => Role::Operator,
            Some(role) => role,
        }
    }
}

/// A program's way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// What its user calls it.
    pub name: String,
    /// Whose it is: it may never do more than they.
    pub user: UserName,
    /// What it is for.
    pub purpose: Purpose,
    /// Which devices there are for it, within what there is for its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Of its secret.
    pub hash: SecretHash,
    /// When it was made, microseconds since 1970.
    pub created_at: i64,
    /// When it ends, microseconds since 1970.
    pub expires_at: i64,
}

impl ApiToken {
    /// Whether it has not ended.
    #[must_use]
    pub const fn is_valid(&self, now: Timestamp) -> bool {
        now.as_micros() < self.expires_at
    }
}

/// All users and tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    users: BTreeMap<UserName, User>,
    /// By id.
    tokens: BTreeMap<String, ApiToken>,
}

/// What is to be changed of a user; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPatch {
    /// The role.
    pub role: Option<Role>,
    /// The scope; `Some(None)` takes it away.
    pub scope: Option<Option<String>>,
    /// Whether they may come in.
    pub access: Option<Access>,
}

impl People {
    /// Nobody yet: somebody has to set it up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// All users by name.
    pub fn users(&self) -> impl Iterator<Item = (&UserName, &User)> {
        self.users.iter()
    }

    /// One user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<(&UserName, &User)> {
        self.users.get_key_value(name)
    }

    /// All tokens by id.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &ApiToken)> {
        self.tokens.iter().map(|(id, token)| (id.as_str(), token))
    }

    /// One token.
    #[must_use]
    pub fn token(&self, id: &str) -> Option<&ApiToken> {
        self.tokens.get(id)
    }

    /// Adds the first admin.
    ///
    /// # Errors
    /// If there is anybody already.
    pub fn set_up(&mut self, name: UserName, user: User) -> Result<(), PeopleError> {
        if !self.is_empty() {
            return Err(PeopleError::SetUp);
        }
        self.add(name, user)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// If there is one of this name, or too many, or it is an admin with a scope.
    pub fn add(&mut self, name: UserName, user: User) -> Result<(), PeopleError> {
        if self.users.contains_key(&name) {
            return Err(PeopleError::Exists(name));
        }
        if self.users.len() >= USERS_MAX {
            return Err(PeopleError::TooMany(USERS_MAX));
        }
        check_scope(user.role, user.scope.as_deref())?;
        self.users.insert(name, user);
        Ok(())
    }

    /// Changes a user. Who is disabled is signed out everywhere.
    ///
    /// # Errors
    /// If there is no such user, or nobody could administer any more, or it would be an admin with a
    /// scope.
    pub fn change(&mut self, name: &str, patch: UserPatch) -> Result<(), PeopleError> {
        let (name, before) = self.known(name)?;
        let mut user = before.clone();
        user.role = patch.role.unwrap_or(user.role);
        user.scope = patch.scope.unwrap_or(user.scope);
        user.access = patch.access.unwrap_or(user.access);
        check_scope(user.role, user.scope.as_deref())?;
        if !user.access.is_open() && before.access.is_open() {
            user.epoch += 1;
        }
        self.check_admins_without(&name, Some(&user))?;
        self.users.insert(name, user);
        Ok(())
    }

    /// Gives a user another password: all of their sessions end.
    ///
    /// # Errors
    /// If there is no such user, or they sign in by a provider.
    pub fn set_password(&mut self, name: &str, hash: PasswordHash) -> Result<(), PeopleError> {
        let (name, before) = self.known(name)?;
        if before.oidc.is_some() {
            return Err(PeopleError::Foreign(name));
        }
        let user = User { password: Some(hash), epoch: before.epoch + 1, ..before.clone() };
        self.users.insert(name, user);
        Ok(())
    }

    /// Removes a user with all of their tokens.
    ///
    /// # Errors
    /// If there is no such user, or nobody could administer any more.
    pub fn remove(&mut self, name: &str) -> Result<User, PeopleError> {
        let (name, before) = self.known(name)?;
        let before = before.clone();
        self.check_admins_without(&name, None)?;
        self.tokens.retain(|_, token| token.user != name);
        self.users.remove(&name);
        Ok(before)
    }

    /// Takes what a provider says of somebody: adds them, or gives them the role that it says.
    ///
    /// # Errors
    /// If the name is somebody else's, or there are too many.
    pub fn come_by_provider(
        &mut self,
        name: UserName,
        subject: OidcSubject,
        role: Role,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        if let Some(user) = self.users.get_mut(&name) {
            if user.oidc.as_ref() != Some(&subject) {
                return Err(PeopleError::Foreign(name));
            }
            user.role = role;
            if role == Role::Admin {
                user.scope = None;
            }
            return Ok(());
        }
        self.add(name, User { oidc: Some(subject), ..User::new(role, now) })
    }

    /// Adds a token.
    ///
    /// # Errors
    /// If its user is not there or may do less, its name is taken or cannot be used, or there are too
    /// many.
    pub fn add_token(&mut self, id: String, token: ApiToken) -> Result<(), PeopleError> {
        let (_, user) = self.known(token.user.as_str())?;
        if token.purpose.least() > user.role {
            return Err(PeopleError::MoreThanUser(user.role));
        }
        check_scope(token.purpose.role().unwrap_or(Role::Viewer), token.scope.as_deref())?;
        let n_chars = token.name.chars().count();
        let is_bad = |c: char| c == '/' || c.is_control();
        if n_chars == 0 || n_chars > TOKEN_NAME_CHARS_MAX || token.name.chars().any(is_bad) {
            return Err(PeopleError::BadTokenName);
        }
        let of_user = || self.tokens.values().filter(|other| other.user == token.user);
        if of_user().any(|other| other.name == token.name) {
            return Err(PeopleError::TokenExists(token.name));
        }
        if of_user().count() >= TOKENS_OF_USER_MAX {
            return Err(PeopleError::TooMany(TOKENS_OF_USER_MAX));
        }
        self.tokens.insert(id, token);
        Ok(())
    }

    /// Removes a token.
    ///
    /// # Errors
    /// If there is none.
    pub fn remove_token(&mut self, id: &str) -> Result<ApiToken, PeopleError> {
        self.tokens.remove(id).ok_or_else(|| PeopleError::NoSuchToken(id.to_owned()))
    }

    fn known(&self, name: &str) -> Result<(UserName, &User), PeopleError> {
        let known = self.user(name).map(|(name, user)| (name.clone(), user));
        known.ok_or_else(|| PeopleError::NoSuchUser(name.to_owned()))
    }

    /// Somebody must be left who can administer, if there was somebody.
    fn check_admins_without(
        &self,
        name: &UserName,
        then: Option<&User>,
    ) -> Result<(), PeopleError> {
        let was = self.users.get(name).is_some_and(User::is_sure_admin);
        let mut others = self.users.iter().filter(|(other, _)| *other != name);
        let is_left =
            then.is_some_and(User::is_sure_admin) || others.any(|(_, other)| other.is_sure_admin());
        if was && !is_left { Err(PeopleError::LastAdmin(name.clone())) } else { Ok(()) }
    }
}

fn check_scope(role: Role, scope: Option<&str>) -> Result<(), PeopleError> {
    if role == Role::Admin && scope.is_some() { Err(PeopleError::ScopedAdmin) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
