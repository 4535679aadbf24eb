//! What can go wrong with the database, sorted by what the caller does about it.

use std::io;
use std::path::PathBuf;

use bellwire_model::LogPosition;
use tokio_postgres::error::SqlState;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `database.url` cannot be read as one.
    #[error("database.url is not a PostgreSQL URL")]
    Url(#[source] tokio_postgres::Error),
    /// What `database.url` says of TLS cannot be done.
    #[error("database.url: {message}")]
    Tls {
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A key of the configuration has a value that cannot work.
    #[error("database.{key} must be {expected}")]
    Limit {
        /// Which key.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// More rows than are read at once, where all are needed.
    #[error("the database has more than {max} {what}: remove some")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// No server programs of PostgreSQL 15 or newer.
    #[error(
        "no PostgreSQL server found (looked in {searched}): run `apt-get install postgresql`, \
         or set database.url to a server of your own"
    )]
    BinariesNotFound {
        /// Where we looked.
        searched: String,
    },
    /// The private cluster needs another major version than those installed.
    #[error(
        "`{cluster}` was made by PostgreSQL {wanted}, which is not installed: \
         run `apt-get install postgresql-{wanted}`, or move the cluster on with pg_upgrade"
    )]
    WrongMajor {
        /// The cluster.
        cluster: PathBuf,
        /// The major version that made it.
        wanted: u32,
    },
    /// The server's user cannot reach the cluster.
    #[error(
        "PostgreSQL runs as user `{user}`, which cannot enter `{folder}`: \
         run `chmod o+x {folder}`, or choose another data directory"
    )]
    Unreachable {
        /// The folder that is closed to it.
        folder: PathBuf,
        /// The user.
        user: String,
    },
    /// Root may not run the server, and there is nobody to run it as.
    #[error("PostgreSQL refuses to run as root, and neither user `postgres` nor `nobody` exists")]
    NoServerUser,
    /// Something in a folder of ours, or a program we started, did not do as it should.
    #[error("{doing} `{path}`")]
    Files {
        /// What we were doing, as in "creating".
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// `initdb` said no.
    #[error("initdb failed: {last_line}")]
    Init {
        /// The last line it wrote.
        last_line: String,
    },
    /// The managed server ended before it was ready.
    #[error("PostgreSQL did not start: {last_line} (see `{log}`)")]
    Start {
        /// The last line of its log.
        last_line: String,
        /// Its log.
        log: PathBuf,
    },
    /// No connection.
    #[error("cannot connect to the database at {target}")]
    Connect {
        /// Where, without user and password.
        target: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Something took longer than it may.
    #[error("{doing} took longer than {limit_ms} ms")]
    Deadline {
        /// What.
        doing: &'static str,
        /// Milliseconds it may take.
        limit_ms: u64,
    },
    /// The pool has no connection to give.
    #[error("no database connection is free")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// A statement failed.
    #[error("{doing} failed")]
    Query {
        /// What we were doing.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A migration failed.
    #[error("migration {name} failed")]
    Migration {
        /// Its file.
        name: &'static str,
        /// Why it failed.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A program of PostgreSQL's said no.
    #[error("{name} failed: {last_line}")]
    Program {
        /// Which.
        name: &'static str,
        /// The last line it wrote.
        last_line: String,
    },
    /// A program of PostgreSQL's is not installed, or too old for the server.
    #[error(
        "no {name} of PostgreSQL {major} or newer found: run `apt-get install \
         postgresql-client-{major}`, or set database.bin_dir to where it is"
    )]
    ProgramMissing {
        /// Which.
        name: &'static str,
        /// The server's major version.
        major: u32,
    },
    /// What is to be restored would meet what is there.
    #[error("the database at {target} has Bellwire's tables already: restore into an empty one")]
    NotEmpty {
        /// Where, without user and password.
        target: String,
    },
    /// A backup needs the TimescaleDB that it was made with.
    #[error("the backup needs TimescaleDB {wanted} (update it afterwards): {said}")]
    Extension {
        /// The version it was made with.
        wanted: String,
        /// What the server says.
        said: String,
    },
    /// The reader's role cannot be what it should.
    #[error("database.reader.role `{role}`: {why}")]
    Reader {
        /// Its name.
        role: String,
        /// What is wrong.
        why: String,
    },
    /// A newer Bellwire has been here.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: \
         run the newer program"
    )]
    SchemaNewer {
        /// What the database has.
        found: i32,
        /// What we know.
        known: i32,
    },
    /// The migrations have not run.
    #[error("the database has not the tables of this program yet: run `bellwire migrate`")]
    NotMigrated,
    /// Texts of every language must fit.
    #[error("the database has encoding {found}: create one with encoding UTF8")]
    Encoding {
        /// What it has.
        found: String,
    },
    /// PostgreSQL is too old.
    #[error("the database is PostgreSQL {found}, at least 15 is needed")]
    TooOld {
        /// What it is.
        found: String,
    },
    /// It cannot be read in parts that fit into memory.
    #[error("stored history has more readings of one instant, or more names, than can be held")]
    Crowded,
    /// A row of ours holds what we never write.
    #[error("{what} in the database cannot be read: {value:?}")]
    Damaged {
        /// What.
        what: &'static str,
        /// As it is there.
        value: String,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody doing anything to Bellwire: the
    /// database is away, overloaded, out of disk, or switching over. The only place that reads
    /// SQLSTATE.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use deadpool_postgres::PoolError;
        match self {
            Self::Connect { source, .. } | Self::Query { source, .. } => is_transient(source),
            Self::Migration { source, .. } => is_transient(source),
            Self::Pool(PoolError::Backend(source)) => is_transient(source),
            Self::Pool(_) | Self::Deadline { .. } | Self::Start { .. } => true,
            // There is room again some day. Whatever else is wrong with files stays wrong.
            Self::Files { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// Whether there is no database to talk to: at the first boot that ends the program with exit
    /// code 69, later it only makes *keep* wait.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::BinariesNotFound { .. }
                | Self::WrongMajor { .. }
                | Self::Unreachable { .. }
                | Self::NoServerUser
                | Self::Init { .. }
                | Self::Start { .. }
                | Self::Connect { .. }
                | Self::Deadline { .. }
                | Self::Pool(_)
        )
    }

    /// Whether a lock was not to be had in time.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        let Self::Query { source, .. } = self else { return false };
        source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }
}

/// Whether it is what a statement carried that the server will not take, not the statement, the
/// tables or the server. Whoever raises an error in a trigger may choose any code, so what is
/// named here is what blames something else.
fn is_about_content(error: &tokio_postgres::Error) -> bool {
    const ABOUT_OTHERS: [&str; 15] = [
        // Connection, features, transaction state, statement names, authorisation: ours or the
        // operator's to mend.
        "08", "0A", "25", "26", "28", "34",
        // Catalogs, schemas, undefined or forbidden objects, configuration files.
        "3D", "3F", "42", "F0",
        // Rollbacks, object state, foreign data, TimescaleDB's own, internal and damaged.
        "40", "55", "HV", "TS", "XX",
    ];
    let class = error.as_db_error().and_then(|error| error.code().code().get(..2));
    class.is_some_and(|class| !ABOUT_OTHERS.contains(&class))
}

fn is_transient(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // Without a code it is the connection that failed, unless we misused the library.
        return error.is_closed() || source_is_io(error);
    };
    let class = code.code().get(..2).unwrap_or_default();
    match class {
        // Connection, resources (disk full among them), operator intervention, system error.
        "08" | "53" | "57" | "58" => true,
        // Serialization failure, deadlock.
        "40" => true,
        _ => matches!(
            *code,
            SqlState::LOCK_NOT_AVAILABLE
                | SqlState::OBJECT_IN_USE
                | SqlState::READ_ONLY_SQL_TRANSACTION
                | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        ),
    }
}

fn source_is_io(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Why a batch is not in the database.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A newer writer has this log: stop, it goes on where we were.
    #[error("a newer writer has taken the log over")]
    Fenced,
    /// The database is at neither end of the batch: it was restored, or wiped. Open the writer
    /// again and go on from where it is.
    #[error("the database is at position {found:?}, the batch goes from {start} to {end}")]
    Diverged {
        /// The batch's start.
        start: LogPosition,
        /// The batch's end.
        end: LogPosition,
        /// Where the database is; `None`: it does not know the log.
        found: Option<LogPosition>,
    },
    /// The database is away or overloaded: write the same batch again after a while.
    #[error("the database cannot take the batch now")]
    Transient(#[source] Error),
    /// The database will take no batch, however often one is offered, until a person has mended
    /// something: a permission, a table that is not as we made it, damage.
    #[error("the database cannot take batches as it is")]
    Unusable(#[source] Error),
    /// The database will not take something that is in the batch, however often it is offered;
    /// nothing of it is stored. [`Writer::find_refused`](crate::Writer::find_refused) says what.
    #[error("the database refused the batch")]
    Refused {
        /// The row of the batch's readings it complained about, from 1, where it says so.
        row: Option<u64>,
        /// What it said.
        #[source]
        source: Error,
    },
}

impl WriteError {
    /// Sorts `error`, which ended an attempt to write.
    pub(crate) fn of(error: Error) -> Self {
        if error.is_transient() {
            return Self::Transient(error);
        }
        match &error {
            Error::Query { source, .. } if is_about_content(source) => {
                let row = source.as_db_error().and_then(|e| copy_row(e.where_()?));
                Self::Refused { row, source: error }
            }
            _ => Self::Unusable(error),
        }
    }
}

/// The longest sentence of the server's that is passed on, in characters.
const SENTENCE_CHARS_MAX: usize = 500;

/// What the server said, for the person who looks at what it refused.
pub(crate) fn sentence(error: &Error) -> String {
    let Error::Query { source, .. } = error else { return error.to_string() };
    let Some(server) = source.as_db_error() else { return source.to_string() };
    let message: String = server.message().chars().take(SENTENCE_CHARS_MAX).collect();
    format!("{message} (SQLSTATE {})", server.code().code())
}

/// The row in a COPY error's context: `COPY reading, line 12, column at`.
fn copy_row(context: &str) -> Option<u64> {
    let (_, rest) = context.split_once(", line ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_error_names_its_row() {
        assert_eq!(copy_row("COPY reading, line 12, column at"), Some(12));
        assert_eq!(copy_row("COPY reading, line 7"), Some(7));
        assert_eq!(copy_row("SQL function \"f\""), None);
    }
}
