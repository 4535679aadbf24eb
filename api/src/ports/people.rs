//! The port for what is kept of the people who use the API: in files, so that signing in works while the
//! database is away.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;

use serde::{Deserialize, Serialize};

use crate::auth::people::{People, PeopleError};
use crate::auth::sessions::Sessions;

/// What people and programs were doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Activity {
    /// Who has signed in.
    pub sessions: Sessions,
    /// When each token was last used, by its id: whole minutes since 1970.
    pub tokens_used: BTreeMap<String, i64>,
}

/// Why people were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PeopleStoreError {
    /// It may not be.
    #[error(transparent)]
    Refused(#[from] PeopleError),
    /// The files cannot be read or written.
    #[error("people cannot be kept")]
    Files(#[from] io::Error),
}

/// Where people, their tokens and sessions are kept. All of it waits for the disk: call it on a thread
/// that may.
pub trait PeopleStore: Send + Sync + Debug {
    /// The people as they are now; nobody if nothing was ever kept.
    ///
    /// # Errors
    /// If they cannot be read, or what is there is damaged.
    fn read(&self) -> io::Result<People>;

    /// Whether others may have changed them since they were last read or changed through this.
    fn has_changed(&self) -> bool;

    /// Changes them: reads them as they are, asks `change`, and keeps what it made of them, unless it
    /// refuses. Nobody else changes them meanwhile. Durable when it returns.
    ///
    /// # Errors
    /// What `change` says, or if they cannot be kept.
    fn change(
        &self,
        change: &mut dyn FnMut(&mut People) -> Result<(), PeopleError>,
    ) -> Result<People, PeopleStoreError>;

    /// What was going on when it was last written.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read_activity(&self) -> io::Result<Activity>;

    /// Keeps what is going on. Durable when it returns.
    ///
    /// # Errors
    /// If it cannot be written.
    fn write_activity(&self, activity: &Activity) -> io::Result<()>;

    /// Puts the code that the first admin is made with where only the service's own user can read it,
    /// and says where; takes it away if there is none.
    ///
    /// # Errors
    /// If it cannot be written.
    fn show_setup_code(&self, code: Option<&str>) -> io::Result<String>;

    /// Puts the token that this machine's own programs come in with where only the service's own user
    /// can read it; takes it away if there is none.
    ///
    /// # Errors
    /// If it cannot be written.
    fn show_local_token(&self, token: Option<&str>) -> io::Result<()>;
}
