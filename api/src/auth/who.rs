//! Who is asking: a person, a program with a token, or, under `--insecure`, anybody.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::sessions::SessionKey;

/// What somebody may do; each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything within their scope.
    Viewer,
    /// Handle alerts, silence them, give commands to devices.
    Operator,
    /// Change rules, devices, people, channels.
    Admin,
}

impl Role {
    /// All of them, from least to most.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The stable, lower-case word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The one with this label.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.label() == label)
    }
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Not at all: the service runs with `--insecure`.
    Nothing,
    /// By a session's cookie.
    Session,
    /// By an API token.
    Token,
    /// By the token in the data directory: they may read what the service keeps there.
    Local,
}

impl Via {
    /// The stable, lower-case word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Session => "session",
            Self::Token => "token",
            Self::Local => "local",
        }
    }
}

/// By what exactly somebody showed who they are: by this it is found out whether it still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Nothing that could end.
    Endless,
    /// This session.
    Session(SessionKey),
    /// The token with this id.
    Token(Arc<str>),
}

/// Who is asking. A request has one as soon as it has passed the layer that asks for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The user's name; of a token, the name of whoever made it, `/`, and the token's.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// How they showed it.
    pub via: Via,
    /// Which devices there are for them.
    pub scope: Scope,
    /// By what exactly they showed it.
    pub pass: Pass,
}

/// Which devices there are for somebody: those that all of these choose, each as a rule's `select`; all
/// devices if it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(Arc<[Arc<str>]>);

impl Scope {
    /// What all of these choose.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self(parts.into_iter().map(Arc::from).collect())
    }

    /// Whether it is all devices.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of which must choose a device.
    #[must_use]
    pub fn parts(&self) -> &[Arc<str>] {
        &self.0
    }

    /// For a person; absent if it is everything. Each part can be read alone.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match &*self.0 {
            [] => None,
            [one] => Some(one.to_string()),
            all => Some(all.iter().map(|it| format!("({it})")).collect::<Vec<_>>().join(" and ")),
        }
    }
}

impl Who {
    /// Whoever asks where no credentials are asked for.
    #[must_use]
    pub fn anybody() -> Self {
        Self {
            name: "anybody".into(),
            role: Role::Admin,
            via: Via::Nothing,
            scope: Scope::default(),
            pass: Pass::Endless,
        }
    }

    /// Whoever asks with the token of the data directory.
    #[must_use]
    pub fn local() -> Self {
        Self { name: "local".into(), via: Via::Local, ..Self::anybody() }
    }

    /// The user: of a token, whoever made it.
    #[must_use]
    pub fn user(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::anybody))
    }
}
