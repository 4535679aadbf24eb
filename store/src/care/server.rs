//! The managed server, looked at from outside: whether it runs, and what it would be started from.

use std::path::Path;

use crate::managed::{Binaries, cluster_major};
use crate::{Config, Database, Error, Managed};

impl Database {
    /// Whether the managed server runs, whoever started it. Changes nothing; false with a URL.
    #[must_use]
    pub fn is_managed_running(&self) -> bool {
        self.managed().is_some_and(Managed::is_running)
    }
}

/// Which server programs a managed server in `data_dir` is started from, in a line. Changes nothing.
///
/// # Errors
/// [`Error::BinariesNotFound`]; [`Error::WrongMajor`] if the cluster there needs others.
pub fn server_programs(config: &Config, data_dir: &Path) -> Result<String, Error> {
    let cluster = data_dir.join("postgres");
    let wanted = cluster_major(&cluster).map(|major| (major, cluster.as_path()));
    let found = Binaries::find(config.bin_dir.as_deref(), wanted)?;
    let timescale = if found.have_timescale() { "with" } else { "without" };
    Ok(format!("{found}, {timescale} TimescaleDB"))
}
