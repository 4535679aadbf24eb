//! History as it is known in the end: with what was taken back left out.

use bellwire_model::{Correction, Transition};

use super::account::is_undone;

/// What is left of `said` when its corrections are applied, by time; of one instant, in the order in which
/// it came to light.
#[must_use]
pub fn effective(said: Vec<Transition>) -> Vec<Transition> {
    let mut known: Vec<Transition> = Vec::with_capacity(said.len());
    for step in said {
        if step.correction != Some(Correction::Withdrawn) {
            known.push(step);
            continue;
        }
        let is_it = |said: &Transition| {
            (&said.alert.rule, &said.alert.device) == (&step.alert.rule, &step.alert.device)
                && is_undone(said, &step)
        };
        if let Some(index) = known.iter().rposition(is_it) {
            known.remove(index);
        }
    }
    known.sort_by_key(|step| step.at);
    known
}
