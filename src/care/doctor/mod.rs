//! One look at everything: what is well, what is not, and what to do about it. It changes nothing.

mod bridge;
mod certificate;
mod channels;
mod database;
mod log;
mod machine;
mod people;

pub(crate) use self::log::shown as shown_time;

use std::path::Path;

use bellwire_ingest::log::Lock;
use serde::Serialize;

use crate::config::Config;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// It works; something may become of it.
    Warn,
    /// It does not work, or not for long.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// A stable word for it.
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    /// What was found.
    pub(crate) detail: String,
    /// What to do, where it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, detail: detail.into(), remedy: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { name, status: Status::Warn, detail: detail.into(), remedy }
    }

    fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(name, detail, remedy) }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// The worst of all.
    pub(crate) status: Status,
    pub(crate) checks: Vec<Check>,
}

/// Whether a service runs on the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Runs,
    Stopped,
}

/// Looks at everything that `config`, which came from `source`, names.
pub(crate) async fn look(config: &Config, source: &str, data_dir: &Path) -> Report {
    let service = match Lock::is_taken(&data_dir.join("log")) {
        true => Service::Runs,
        false => Service::Stopped,
    };
    let mut checks = vec![Check::ok("config", source), machine::service(service)];
    checks.extend(machine::data_dir(data_dir));
    let (log_checks, contents) = log::look(config, data_dir);
    checks.extend(log_checks);
    checks.push(machine::space(config, data_dir, contents.as_ref()));
    checks.extend(database::look(config, data_dir, contents.as_ref(), service).await);
    checks.extend(machine::ports(config, service));
    checks.extend(certificate::look(config));
    checks.push(people::look(config, data_dir));
    checks.extend(channels::look(config, data_dir));
    checks.extend(bridge::look(config, data_dir, service).await);
    checks.push(machine::open_files(config));
    let status = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
    Report { status, checks }
}
