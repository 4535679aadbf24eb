//! What a migration would do.

use std::path::Path;

use tokio::time::timeout;

use crate::connect::{Target, deadline, failed};
use crate::managed::{Binaries, cluster_major};
use crate::migrate;
use crate::{Config, Database, Error, Mode};

/// What [`Database::migrate`] would do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The schema version, 0 for a database without our tables.
    pub from: i32,
    /// The schema version that this program brings it to.
    pub to: i32,
    /// How readings are stored; for a database without our tables, how they would be.
    pub mode: Mode,
    /// The migrations that would run, in order.
    pub pending: Vec<&'static str>,
}

impl Plan {
    /// What would be made where there is no managed server in `data_dir` yet; `None` if there is
    /// one, or another is named by URL. Changes nothing.
    ///
    /// # Errors
    /// [`Error::BinariesNotFound`].
    pub fn of_new_server(config: &Config, data_dir: &Path) -> Result<Option<Self>, Error> {
        if config.url.is_some() || cluster_major(&data_dir.join("postgres")).is_some() {
            return Ok(None);
        }
        let found = Binaries::find(config.bin_dir.as_deref(), None)?;
        let mode = if found.have_timescale() { Mode::Timescale } else { Mode::Plain };
        let pending = migrate::names_after(0);
        Ok(Some(Self { from: 0, to: migrate::newest_version(), mode, pending }))
    }
}

impl Database {
    /// What [`Database::migrate`] would do. Changes nothing.
    ///
    /// # Errors
    /// [`Error`]: no connection, a server that is too old or not UTF-8, a schema that is newer.
    pub async fn plan(&self) -> Result<Plan, Error> {
        let limit = self.config().statement_timeout();
        match timeout(limit, plan(self.target())).await {
            Ok(result) => result,
            Err(_) => Err(deadline("looking at the schema", limit)),
        }
    }
}

async fn plan(target: &Target) -> Result<Plan, Error> {
    let link = target.connect("bellwire care").await?;
    let client = &link.client;
    migrate::check_server(client).await?;
    let (from, to) = (migrate::version(client).await?, migrate::newest_version());
    if from > to {
        return Err(Error::SchemaNewer { found: from, known: to });
    }
    let mode = match migrate::mode(client).await? {
        Some(mode) => mode,
        None => {
            // Its loader's setting is there only where the library is preloaded.
            let sql = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') \
                       OR (current_setting('timescaledb.max_background_workers', true) IS NOT NULL \
                           AND EXISTS (SELECT FROM pg_available_extensions \
                                       WHERE name = 'timescaledb'))";
            let row =
                client.query_one(sql, &[]).await.map_err(failed("looking for TimescaleDB"))?;
            if row.get(0) { Mode::Timescale } else { Mode::Plain }
        }
    };
    Ok(Plan { from, to, mode, pending: migrate::names_after(from) })
}
