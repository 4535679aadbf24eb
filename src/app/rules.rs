//! Rules: the alert engine behind *judge's* port, and the file they come from.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bellwire_alerts::{Engine, Metrics, RuleSet};
use bellwire_api::ports::RuleInfo;
use bellwire_ingest::ports::{Moment, Rules};
use bellwire_model::{Alert, DeviceKey, Names, Observation, Presence, Timestamp, Transition};
use tracing::error;

/// The rules in force, for those who show them.
pub type SharedRules = Arc<ArcSwap<RuleSet>>;

/// The alert engine, as *judge* drives it.
#[derive(Debug)]
pub struct EngineRules {
    engine: Engine,
    shared: SharedRules,
    metrics: Metrics,
}

impl EngineRules {
    /// An engine without rules; whichever it gets are put into `shared` too.
    #[must_use]
    pub fn new(shared: SharedRules, metrics: Metrics) -> Self {
        Self { engine: Engine::new(), shared, metrics }
    }
}

impl Rules for EngineRules {
    fn load(&mut self, text: &str, moment: Moment, names: &Names, out: &mut Vec<Transition>) {
        match RuleSet::parse(text) {
            Ok(rules) => {
                let rules = Arc::new(rules);
                self.shared.store(Arc::clone(&rules));
                self.engine.set_rules(rules, moment.received_at, moment.position, names, out);
            }
            // Checked before it was logged: only an older version of this program can get here.
            Err(errors) => error!(
                n_errors = errors.len(),
                "The rules logged at {} are not understood; those before stay in force.",
                moment.position
            ),
        }
    }

    fn started(&mut self, moment: Moment) {
        self.engine.started(moment.received_at);
    }

    fn tick(&mut self, moment: Moment, names: &Names, out: &mut Vec<Transition>) {
        self.engine.tick(moment.received_at, moment.position, names, out);
    }

    fn observe(&mut self, observation: &Observation<'_>, names: &Names, out: &mut Vec<Transition>) {
        self.engine.observe(observation, names, out);
    }

    fn presence(
        &mut self,
        change: (DeviceKey, Presence),
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        self.engine.presence(change, (moment.received_at, moment.position), names, out);
    }

    fn active(&self) -> Vec<Alert> {
        self.engine.active().cloned().collect()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.engine.next_deadline()
    }

    fn judged(&self) {
        self.metrics.record(&self.engine);
    }

    fn snapshot(&self, names: &Names, out: &mut Vec<u8>) {
        self.engine.snapshot(names, out);
    }

    fn restore(
        &mut self,
        bytes: &[u8],
        names: &mut Names,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.engine = Engine::restore(bytes, names)?;
        self.shared.store(Arc::clone(self.engine.rules()));
        Ok(())
    }
}

/// Why a rules file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesFileError {
    /// It cannot be read.
    #[error("cannot read rules file {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has mistakes; the text shows each with its place.
    #[error("{report}")]
    Wrong {
        /// For a person.
        report: String,
    },
}

/// Reads a rules file and checks it.
///
/// # Errors
/// [`RulesFileError`] with every mistake that was found.
pub fn read(path: &Path) -> Result<(String, RuleSet), RulesFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| RulesFileError::Read { path: path.to_owned(), source })?;
    let file = path.display().to_string();
    let rules = RuleSet::parse(&text).map_err(|errors| {
        let reports: Vec<_> = errors.iter().map(|error| error.render(&file, &text)).collect();
        RulesFileError::Wrong { report: reports.join("\n") }
    })?;
    Ok((text, rules))
}

/// The rules as the API shows them.
#[must_use]
pub fn infos(rules: &RuleSet) -> Vec<RuleInfo> {
    let info = |rule: &bellwire_alerts::Rule| RuleInfo {
        name: rule.name().clone(),
        severity: rule.severity(),
        when: rule.when().to_owned(),
        clear: rule.clear().map(ToOwned::to_owned),
        hold: duration(rule.hold()),
        keep_firing_for: duration(rule.keep_firing()),
        select: rule.select().map(ToOwned::to_owned),
        summary: Some(rule.summary().to_owned()),
        version: rules.version(),
    };
    rules.rules().iter().map(info).collect()
}

/// A duration as rules write it; absent if it is zero.
fn duration(duration: Duration) -> Option<String> {
    let ms = duration.as_millis();
    match ms {
        0 => None,
        _ if ms.is_multiple_of(3_600_000) => Some(format!("{}h", ms / 3_600_000)),
        _ if ms.is_multiple_of(60_000) => Some(format!("{}m", ms / 60_000)),
        _ if ms.is_multiple_of(1_000) => Some(format!("{}s", ms / 1_000)),
        _ => Some(format!("{ms}ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_their_largest_whole_unit() {
        let shown = |ms| duration(Duration::from_millis(ms));
        assert_eq!(shown(0), None);
        assert_eq!(shown(120_000).as_deref(), Some("2m"));
        assert_eq!(shown(90_000).as_deref(), Some("90s"));
        assert_eq!(shown(7_200_000).as_deref(), Some("2h"));
        assert_eq!(shown(1_500).as_deref(), Some("1500ms"));
    }
}
