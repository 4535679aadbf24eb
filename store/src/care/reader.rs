//! The role of Grafana and of analysts: it may read the stable views, and nothing else.
//!
//! The views belong to us and read our tables with our rights, so the role needs none in schema
//! `bellwire`. Which views: all of ours in `public` that read from that schema, also those that
//! later migrations make; the grants are renewed after every migration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::connect::{deadline, failed};
use crate::{Database, Error, Secret};

/// The role that only reads. Without `role` there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReaderConfig {
    /// Its name, as in `grafana`: lower-case letters, digits and `_`. Default: none, so there is no
    /// such role. It is made if it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its password. Default: none; then with a server of one's own its administrator gives it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The file that has its password as first line, instead of `password`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// A loopback address where the managed server listens for this role alone, with its password
    /// (SCRAM); as in `127.0.0.1:5433`. Default: none, it has a Unix socket for ourselves only. Not
    /// used with `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Milliseconds for one of its queries. Default 30,000: what a dashboard waits for. A guard
    /// against mistakes: the role could change it for itself.
    pub statement_timeout_ms: u64,
    /// Its most connections. Default 10, of the 50 that the managed server takes.
    pub connections_max: u16,
}

impl Default for ReaderConfig {
    fn default() -> Self {
        Self {
            role: None,
            password: None,
            password_file: None,
            listen: None,
            statement_timeout_ms: 30_000,
            connections_max: 10,
        }
    }
}

impl ReaderConfig {
    /// The first key whose value cannot work, and what would.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let has_password = self.password.is_some() || self.password_file.is_some();
        match &self.role {
            Some(role) if !is_role_name(role) => Some((
                "reader.role",
                "1 to 63 lower-case letters, digits and `_`, not `bellwire` and not `pg_…`",
            )),
            None if self.listen.is_some() || has_password => Some(("reader.role", "set as well")),
            _ if self.password.is_some() && self.password_file.is_some() => {
                Some(("reader.password", "absent where reader.password_file is set"))
            }
            _ if self.listen.is_some_and(|listen| !listen.ip().is_loopback()) => {
                Some(("reader.listen", "a loopback address: there is no TLS"))
            }
            _ if self.listen.is_some_and(|listen| listen.port() == 0) => {
                Some(("reader.listen", "an address with a port"))
            }
            _ if self.listen.is_some() && !has_password => {
                Some(("reader.password_file", "set where reader.listen is (or reader.password)"))
            }
            _ if !(1..=2_147_483_647).contains(&self.statement_timeout_ms) => {
                Some(("reader.statement_timeout_ms", "1 to 2147483647"))
            }
            _ if self.connections_max == 0 => Some(("reader.connections_max", "at least 1")),
            _ => None,
        }
    }

    /// Whether the password can be had from its file, if one is named.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read, or has none.
    pub fn check_password(&self) -> Result<(), Error> {
        self.password().map(drop)
    }

    fn password(&self) -> Result<Option<Secret>, Error> {
        let Some(path) = &self.password_file else { return Ok(self.password.clone()) };
        let text = std::fs::read_to_string(path).map_err(|source| Error::Files {
            doing: "reading",
            path: path.clone(),
            source,
        })?;
        let first = text.lines().next().unwrap_or_default().trim();
        if first.is_empty() {
            let why = format!("`{}` has no password in its first line", path.display());
            return Err(Error::Reader { role: self.role.clone().unwrap_or_default(), why });
        }
        Ok(Some(Secret::new(first)))
    }
}

/// Names that need no quotes, so that nobody has to write them.
fn is_role_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let goes_on = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    begins
        && name.len() <= 63
        && name.chars().all(goes_on)
        && name != crate::managed::NAME
        && name != "public"
        && !name.starts_with("pg_")
}

/// What a reader may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The role.
    pub role: String,
    /// The views, by name.
    pub views: Vec<String>,
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {} may read {}", self.role, self.views.join(", "))
    }
}

impl Database {
    /// Makes the reader's role as it is configured, and lets it read the stable views; `None` if
    /// there is none. Run again, it changes nothing but what was changed by others.
    ///
    /// # Errors
    /// [`Error::Reader`] if the role is there already and may do more than read, or if its password
    /// cannot be read; [`Error`].
    pub async fn grant_reader(&self) -> Result<Option<Granted>, Error> {
        let reader = &self.config().reader;
        let Some(role) = &reader.role else { return Ok(None) };
        let password = reader.password()?;
        let limit = self.config().statement_timeout();
        let granting = async {
            let link = self.target().connect("bellwire reader").await?;
            let client = &link.client;
            client.batch_execute("BEGIN").await.map_err(failed(DOING))?;
            client
                .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
                .await
                .map_err(failed(DOING))?;
            let is_new = look_at(client, role).await?;
            let views = views(client).await?;
            let sql = grants(reader, role, password.as_ref(), is_new, &views);
            client.batch_execute(&sql).await.map_err(failed(DOING))?;
            client.batch_execute("COMMIT").await.map_err(failed(DOING))?;
            Ok(Granted { role: role.clone(), views })
        };
        match timeout(limit, granting).await {
            Ok(result) => result.map(Some),
            Err(_) => Err(deadline(DOING, limit)),
        }
    }
}

const DOING: &str = "setting up the reader's role";

/// Two that grant at once would trip over each other: "bw reads" in ASCII.
const LOCK: i64 = 0x6277_2072_6561_6473;

#[derive(Clone, Copy, PartialEq, Eq)]
enum IsNew {
    Yes,
    No,
}

/// Makes sure that the role, if it is there, is a mere reader.
async fn look_at(client: &Client, role: &str) -> Result<IsNew, Error> {
    let row = client
        .query_opt(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, \
                    rolname = current_user, \
                    EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) \
             FROM pg_roles r WHERE rolname = $1",
            &[&role],
        )
        .await
        .map_err(failed(DOING))?;
    let Some(row) = row else { return Ok(IsNew::Yes) };
    let why = match (row.get(0), row.get(1), row.get(2)) {
        (_, true, _) => "it is the one that Bellwire itself uses",
        (true, ..) => "it is there already and may administer the server",
        (_, _, true) => "it is there already and is a member of another role",
        _ => return Ok(IsNew::No),
    };
    Err(Error::Reader { role: role.to_owned(), why: why.to_owned() })
}

/// Our views in `public` that read from schema `bellwire`.
async fn views(client: &Client) -> Result<Vec<String>, Error> {
    let rows = client
        .query(
            "SELECT DISTINCT v.relname::text FROM pg_class v \
             JOIN pg_rewrite r ON r.ev_class = v.oid \
             JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
                             AND d.refclassid = 'pg_class'::regclass \
             JOIN pg_class t ON t.oid = d.refobjid \
             JOIN pg_namespace n ON n.oid = t.relnamespace \
             WHERE v.relnamespace = 'public'::regnamespace AND v.relkind = 'v' \
               AND n.nspname = 'bellwire' AND v.relowner = n.nspowner \
             ORDER BY 1",
            &[],
        )
        .await
        .map_err(failed(DOING))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn grants(
    reader: &ReaderConfig,
    role: &str,
    password: Option<&Secret>,
    is_new: IsNew,
    views: &[String],
) -> String {
    let mut sql = String::new();
    if is_new == IsNew::Yes {
        sql += &format!("CREATE ROLE {role};\n");
    }
    sql += &format!("ALTER ROLE {role} LOGIN CONNECTION LIMIT {}", reader.connections_max);
    if let Some(password) = password {
        // Hashed here: the server's log may show statements.
        let verifier = postgres_protocol::password::scram_sha_256(password.reveal().as_bytes());
        sql += &format!(" PASSWORD '{verifier}'");
    }
    let settings = [
        ("default_transaction_read_only", "on".to_owned()),
        ("statement_timeout", format!("'{}ms'", reader.statement_timeout_ms)),
        ("idle_in_transaction_session_timeout", "'60s'".to_owned()),
        ("search_path", "public".to_owned()),
    ];
    // Of the database, not of the role everywhere: the server may serve others too.
    sql += ";\nDO $$ DECLARE here text := quote_ident(current_database()); BEGIN\n";
    for (name, value) in settings {
        let value = value.replace('\'', "''");
        sql += &format!(
            "EXECUTE 'ALTER ROLE {role} IN DATABASE ' || here || ' SET {name} = {value}';\n"
        );
    }
    sql += &format!("EXECUTE 'GRANT CONNECT ON DATABASE ' || here || ' TO {role}';\nEND $$;\n");
    sql += &format!(
        "REVOKE ALL ON ALL TABLES IN SCHEMA bellwire FROM {role};\n\
         REVOKE ALL ON SCHEMA bellwire FROM {role};\n\
         REVOKE ALL ON SCHEMA public FROM {role};\n\
         GRANT USAGE ON SCHEMA public TO {role};\n"
    );
    for view in views {
        let view = view.replace('"', "\"\"");
        sql += &format!(
            "REVOKE ALL ON public.\"{view}\" FROM {role};\n\
             GRANT SELECT ON public.\"{view}\" TO {role};\n"
        );
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_quotes_or_are_taken_are_no_roles() {
        for good in ["grafana", "_r", "analysts_2"] {
            assert!(is_role_name(good), "{good}");
        }
        for bad in ["", "Grafana", "a-b", "2a", "bellwire", "pg_read", "public", "a;b", "ü"] {
            assert!(!is_role_name(bad), "{bad}");
        }
    }

    #[test]
    fn what_would_be_open_or_useless_is_refused() {
        let role = Some("grafana".to_owned());
        let with = |listen: &str| ReaderConfig {
            role: role.clone(),
            listen: Some(listen.parse().expect("an address")),
            password: Some(Secret::new("hush")),
            ..ReaderConfig::default()
        };
        assert_eq!(ReaderConfig::default().fault(), None);
        assert_eq!(with("127.0.0.1:5433").fault(), None);
        let key = |reader: ReaderConfig| reader.fault().map(|(key, _)| key);
        assert_eq!(key(with("0.0.0.0:5433")), Some("reader.listen"));
        assert_eq!(key(with("127.0.0.1:0")), Some("reader.listen"));
        let open = ReaderConfig { password: None, ..with("127.0.0.1:5433") };
        assert_eq!(key(open), Some("reader.password_file"));
        let nobody = ReaderConfig { role: None, ..with("127.0.0.1:5433") };
        assert_eq!(key(nobody), Some("reader.role"));
        let both = ReaderConfig { password_file: Some("p".into()), ..with("127.0.0.1:5433") };
        assert_eq!(key(both), Some("reader.password"));
    }

    #[test]
    fn a_password_is_not_in_what_is_sent() {
        let reader = ReaderConfig::default();
        let sql = grants(&reader, "grafana", Some(&Secret::new("hush")), IsNew::Yes, &[]);
        assert!(sql.contains("SCRAM-SHA-256$") && !sql.contains("hush"), "{sql}");
    }
}
