//! Rules: the alert engine, and how its alerts are handled, behind *judge's* port; and the file that rules
//! come from.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use bellwire_alerts::{Handled, Metrics, RuleError, RuleSet};
use bellwire_ingest::ports::{Moment, Rules};
use bellwire_model::{
    Action, Alert, DeviceKey, Names, Observation, Presence, Profile, Registry, Silence, Timestamp,
    Transition,
};
use tracing::error;

use super::file_error::FileError;
use super::handling::Board;

/// The rules in force, for those who show them.
pub type SharedRules = Arc<ArcSwap<RuleSet>>;

/// The set that was last made of a text which goes into the log, so that *judge* need not make it again.
pub type PreparedRules = Arc<ArcSwapOption<RuleSet>>;

/// The alert engine, as *judge* drives it.
#[derive(Debug)]
pub struct EngineRules {
    engine: Handled,
    shared: SharedRules,
    prepared: PreparedRules,
    board: Board,
    metrics: Metrics,
}

impl EngineRules {
    /// An engine without rules; whichever it gets are put into `shared` too, and taken from `prepared`
    /// if they are there. What comes of actions is told on `board`.
    #[must_use]
    pub(super) fn new(
        (shared, prepared): (SharedRules, PreparedRules),
        board: Board,
        metrics: Metrics,
    ) -> Self {
        Self { engine: Handled::new(), shared, prepared, board, metrics }
    }

    /// The set of a text: the same whether it is made here or was before.
    fn set_of(&self, text: &str) -> Result<Arc<RuleSet>, Vec<RuleError>> {
        match self.prepared.load_full() {
            Some(set) if set.text() == text => Ok(set),
            _ => RuleSet::parse(text).map(Arc::new),
        }
    }
}

impl Rules for EngineRules {
    fn load(&mut self, text: &str, moment: Moment, names: &Names, out: &mut Vec<Transition>) {
        match self.set_of(text) {
            Ok(rules) => {
                self.shared.store(Arc::clone(&rules));
                self.engine.set_rules(rules, (moment.received_at, moment.position), names, out);
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
        self.engine.tick((moment.received_at, moment.position), names, out);
        self.board.show(self.engine.handlings());
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

    fn relabel(
        &mut self,
        changes: &[(DeviceKey, Arc<Profile>)],
        moment: Moment,
        names: &Names,
        out: &mut Vec<Transition>,
    ) {
        self.engine.relabel(changes, (moment.received_at, moment.position), names, out);
    }

    fn act(
        &mut self,
        action: &Action,
        moment: Moment,
        out: &mut Vec<Transition>,
        silences: &mut Vec<Arc<Silence>>,
    ) {
        let moment = (moment.received_at, moment.position);
        let answer = self.engine.act(action, moment, out, silences);
        self.board.show(self.engine.handlings());
        self.board.answer(action.id, &answer);
    }

    fn active(&self) -> Vec<Alert> {
        self.engine.open().cloned().collect()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.engine.next_deadline()
    }

    fn judged(&self) {
        self.metrics.record(self.engine.engine(), self.engine.handlings());
    }

    fn snapshot(&self, names: &Names, out: &mut Vec<u8>) {
        self.engine.snapshot(names, out);
    }

    fn restore(
        &mut self,
        bytes: &[u8],
        names: &mut Names,
        registry: &Registry,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.engine = Handled::restore(bytes, names, registry.clone())?;
        self.shared.store(Arc::clone(self.engine.engine().rules()));
        self.board.show(self.engine.handlings());
        Ok(())
    }
}

/// Reads a rules file and checks it.
///
/// # Errors
/// [`FileError`] with every mistake that was found.
pub fn read(path: &Path) -> Result<(String, RuleSet), FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        what: "rules",
        path: path.to_owned(),
        source,
    })?;
    let file = path.display().to_string();
    let rules = RuleSet::parse(&text).map_err(|errors| {
        let reports: Vec<_> = errors.iter().map(|error| error.render(&file, &text)).collect();
        FileError::Wrong { report: reports.join("\n") }
    })?;
    Ok((text, rules))
}
