//! Looks at the configuration again while the service runs: what can be changed is, and it is said what
//! needs a restart.

use tracing::warn;

use super::Common;
use crate::app::Looked;
use crate::config::{self, Config, ConfigError};
use crate::logging::Filter;

/// The configuration of a running service.
pub(super) struct Running<'a> {
    common: &'a Common,
    config: Config,
    filter: Filter,
}

impl<'a> Running<'a> {
    /// The service was started by `common` with `config`, and logs what `filter` lets through.
    pub(super) const fn new(common: &'a Common, config: Config, filter: Filter) -> Self {
        Self { common, config, filter }
    }

    /// Reads it again. Only what is logged is changed.
    pub(super) fn look(&mut self) -> Looked {
        let config::Looked { config, faults, .. } = self.common.look();
        if let Some(error) = ConfigError::of(faults) {
            let why = crate::app::chain(&error);
            return Err(format!("The configuration in force stays as it is: {why}"));
        }
        let is_new = config.log_filter != self.config.log_filter;
        if is_new {
            self.filter
                .set(&config.log_filter)
                .map_err(|error| format!("What is logged stays as it is: log_filter: {error}"))?;
            self.config.log_filter.clone_from(&config.log_filter);
        }
        let keys = config::differing(&self.config, &config);
        if !keys.is_empty() {
            warn!("Changed, and in force after a restart only: {}.", keys.join(", "));
        }
        Ok(is_new.then(|| format!("`{}`", config.log_filter)))
    }
}
