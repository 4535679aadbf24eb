//! Rules: the alert engine behind *judge's* port, and the file they come from.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bellwire_alerts::{Engine, RuleSet};
use bellwire_ingest::ports::{Moment, Rules};
use bellwire_model::{Alert, Names, Observation, Timestamp, Transition};
use tracing::error;

/// The rules in force, for those who show them.
pub type SharedRules = Arc<ArcSwap<RuleSet>>;

/// The alert engine, as *judge* drives it.
#[derive(Debug)]
pub struct EngineRules {
    engine: Engine,
    text: String,
    shared: SharedRules,
}

impl EngineRules {
    /// An engine without rules; whichever it gets are put into `shared` too.
    #[must_use]
    pub fn new(shared: SharedRules) -> Self {
        Self { engine: Engine::new(), text: String::new(), shared }
    }
}

impl Rules for EngineRules {
    fn load(&mut self, text: &str, moment: Moment, names: &Names, out: &mut Vec<Transition>) {
        match RuleSet::parse(text) {
            Ok(rules) => {
                let rules = Arc::new(rules);
                text.clone_into(&mut self.text);
                self.shared.store(Arc::clone(&rules));
                self.engine.set_rules(rules, moment.received_at, moment.position, names, out);
            }
            // Checked before it was logged: only an older version of this program can get here.
            Err(errors) => error!(
                n_errors = errors.len(),
                "The rules logged at {} are not understood; those before stay in force.", moment.position
            ),
        }
    }

    fn started(&mut self, moment: Moment, names: &Names, out: &mut Vec<Transition>) {
        self.engine.started(moment.received_at, moment.position, names, out);
    }

    fn tick(&mut self, moment: Moment, names: &Names, out: &mut Vec<Transition>) {
        self.engine.tick(moment.received_at, moment.position, names, out);
    }

    fn observe(&mut self, observation: &Observation<'_>, names: &Names, out: &mut Vec<Transition>) {
        self.engine.observe(observation, names, out);
    }

    fn active(&self) -> Vec<Alert> {
        self.engine.active().cloned().collect()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.engine.next_deadline()
    }

    /// Length of the rules' text, the text, the engine.
    fn snapshot(&self, names: &Names, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.text.len() as u64).to_le_bytes());
        out.extend_from_slice(self.text.as_bytes());
        self.engine.snapshot(names, out);
    }

    fn restore(&mut self, bytes: &[u8], names: &mut Names) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (len, rest) = bytes.split_first_chunk::<8>().ok_or("the rules are cut short")?;
        let len = usize::try_from(u64::from_le_bytes(*len))?;
        let (text, engine) = rest.split_at_checked(len).ok_or("the rules are cut short")?;
        let text = std::str::from_utf8(text)?;
        let rules = RuleSet::parse(text).map_err(|_| "the rules are not understood")?;
        let rules = Arc::new(rules);
        self.engine = Engine::restore(engine, Arc::clone(&rules), names)?;
        text.clone_into(&mut self.text);
        self.shared.store(rules);
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
    let rules = RuleSet::parse(&text).map_err(|errors| {
        let reports: Vec<_> = errors.iter().map(|error| error.report(path, &text)).collect();
        RulesFileError::Wrong { report: reports.join("\n") }
    })?;
    Ok((text, rules))
}
