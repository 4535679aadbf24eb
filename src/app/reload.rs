//! Reads again what the service follows of itself, at once and in one turn: the rules, the mappings, the
//! certificates, people and credentials. It is the code that also runs when a file changes.

use bellwire_api::PeopleReader;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::access::Asking;
use super::certificates::{self, Certificates};
use super::file_watch;
use super::mappings::MappingsFile;
use super::rules_file::RulesFile;

/// What a look brought: what is new, for a person; nothing, if all is as it was; or a sentence that says why
/// the old goes on.
pub(crate) type Looked = Result<Option<String>, String>;

/// What can be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Configuration,
    Rules,
    Mappings,
    MqttCertificates,
    HttpsCertificates,
    People,
    Credentials,
}

impl What {
    const ALL: [Self; 7] = [
        Self::Configuration,
        Self::Rules,
        Self::Mappings,
        Self::MqttCertificates,
        Self::HttpsCertificates,
        Self::People,
        Self::Credentials,
    ];

    /// In `/metrics`.
    const fn label(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Rules => "rules",
            Self::Mappings => "mappings",
            Self::MqttCertificates => "mqtt_certificates",
            Self::HttpsCertificates => "https_certificates",
            Self::People => "people",
            Self::Credentials => "credentials",
        }
    }

    /// For a person.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "log level",
            Self::MqttCertificates => "certificates for MQTT",
            Self::HttpsCertificates => "certificates for HTTPS",
            other => other.label(),
        }
    }
}

/// Counts what was read anew, and what could not be.
#[derive(Clone, Debug)]
pub(super) struct Reloads(IntCounterVec);

impl Reloads {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "bellwire_reloads_total",
            "What was changed and read while the service runs, on SIGHUP or because a file changed; \
             and what could not be, so that the old goes on.",
        );
        let counter = IntCounterVec::new(opts, &["what", "result"])?;
        for what in What::ALL {
            for result in ["ok", "failed"] {
                counter.with_label_values(&[what.label(), result]);
            }
        }
        registry.register(Box::new(counter.clone()))?;
        Ok(Self(counter))
    }

    /// Counts a look, unless all was as before.
    pub(super) fn count(&self, what: What, looked: &Looked) {
        let result = match looked {
            Ok(None) => return,
            Ok(Some(_)) => "ok",
            Err(_) => "failed",
        };
        self.0.with_label_values(&[what.label(), result]).inc();
    }
}

/// All that can be read again.
#[derive(Clone, Debug)]
pub(super) struct Reloading {
    pub(super) rules: Option<RulesFile>,
    pub(super) mappings: Option<MappingsFile>,
    /// Those of MQTT and of HTTPS.
    pub(super) certificates: [Option<Certificates>; 2],
    pub(super) people: Option<PeopleReader>,
    pub(super) credentials: Option<Asking>,
    pub(super) reloads: Reloads,
}

/// The watches on files; they end when dropped.
#[derive(Debug)]
pub(super) struct Watching {
    _files: [Option<file_watch::Watching>; 2],
    _certificates: [Option<certificates::Watching>; 2],
}

impl Reloading {
    /// Watches the files too, and reads each of them when it changes.
    ///
    /// # Errors
    /// If the system watches no more files.
    pub(super) fn watch(&self, tracker: &TaskTracker) -> anyhow::Result<Watching> {
        let watch = |it: &Option<Certificates>| it.as_ref().map(|it| it.watch(tracker)).transpose();
        let [mqtt, https] = &self.certificates;
        Ok(Watching {
            _files: [
                self.rules.as_ref().map(|it| it.watch(tracker)).transpose()?,
                self.mappings.as_ref().map(|it| it.watch(tracker)).transpose()?,
            ],
            _certificates: [watch(mqtt)?, watch(https)?],
        })
    }

    /// Reads everything again, and says in one line what came of it. `configuration` is what came of that
    /// already. What cannot be used is said, and the old goes on.
    pub(super) async fn run(self, configuration: Looked) {
        self.reloads.count(What::Configuration, &configuration);
        let mut report = Report::default();
        report.add(What::Configuration, configuration);
        if let Some(rules) = &self.rules {
            report.add(What::Rules, rules.look().await);
        }
        if let Some(mappings) = &self.mappings {
            report.add(What::Mappings, mappings.look().await);
        }
        for certificates in self.certificates.iter().flatten() {
            report.add(certificates.what(), certificates.look());
        }
        if let Some(people) = &self.people {
            let read = people.read_again().await;
            let looked = read
                .map(|is_new| is_new.then(String::new))
                .map_err(|error| format!("Users and tokens that are known stay valid: {error}."));
            self.reloads.count(What::People, &looked);
            report.add(What::People, looked);
        }
        if let Some(credentials) = &self.credentials {
            let looked = credentials.look().await;
            self.reloads.count(What::Credentials, &looked);
            report.add(What::Credentials, looked);
        }
        for why in &report.failures {
            warn!("{why}");
        }
        info!("{}", report.sentence());
    }
}

/// What came of everything.
#[derive(Debug, Default)]
struct Report {
    changed: Vec<String>,
    same: Vec<&'static str>,
    failed: Vec<&'static str>,
    failures: Vec<String>,
}

impl Report {
    fn add(&mut self, what: What, looked: Looked) {
        match looked {
            Ok(None) => self.same.push(what.name()),
            Ok(Some(new)) if new.is_empty() => self.changed.push(what.name().to_owned()),
            Ok(Some(new)) => self.changed.push(format!("{} ({new})", what.name())),
            Err(why) => {
                self.failed.push(what.name());
                self.failures.push(why);
            }
        }
    }

    fn sentence(&self) -> String {
        let mut parts = vec!["Read everything again".to_owned()];
        if self.changed.is_empty() {
            parts.push("nothing has changed".to_owned());
        } else {
            parts.push(format!("changed: {}", self.changed.join(", ")));
        }
        if !self.failed.is_empty() {
            parts.push(format!("wrong, the old goes on: {}", self.failed.join(", ")));
        }
        if !self.same.is_empty() {
            parts.push(format!("as before: {}", self.same.join(", ")));
        }
        parts.join("; ") + "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_says_what_changed_what_is_wrong_and_what_is_as_before() {
        let mut report = Report::default();
        report.add(What::Mappings, Ok(None));
        assert_eq!(
            report.sentence(),
            "Read everything again; nothing has changed; as before: mappings."
        );
        report.add(What::Rules, Ok(Some("3 in r.toml".to_owned())));
        report.add(What::People, Ok(Some(String::new())));
        report.add(What::HttpsCertificates, Err("no key".to_owned()));
        assert_eq!(
            report.sentence(),
            "Read everything again; changed: rules (3 in r.toml), people; wrong, the old goes on: \
             certificates for HTTPS; as before: mappings."
        );
        assert_eq!(report.failures, ["no key"]);
    }

    #[test]
    fn what_is_as_before_is_not_counted() {
        let reloads = Reloads::register(&Registry::new()).unwrap();
        reloads.count(What::Rules, &Ok(None));
        reloads.count(What::Rules, &Ok(Some(String::new())));
        reloads.count(What::Rules, &Err(String::new()));
        let of = |result| reloads.0.with_label_values(&["rules", result]).get();
        assert_eq!((of("ok"), of("failed")), (1, 1));
    }
}
