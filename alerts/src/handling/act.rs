//! What operators do: to alerts, and to silences.

use std::sync::Arc;

use bellwire_model::{
    Acknowledgement, Action, ActionOutcome, Alert, AlertDeed, AlertId, AlertOutcome, AlertState,
    Deed, LogPosition, Prior, Silence, SilenceId, SilenceOutcome, Step, StepKind, Timestamp,
};

use super::done::Past;
use super::held::Accepted;
use super::{Handlings, Record};

/// What came of an action, and how the alerts that were named stand now, where they are open or were.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionAnswer {
    /// What came of it.
    pub outcome: ActionOutcome,
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// What it replaced, where it named one thing and was not done before.
    pub prior: Option<Prior>,
}

/// Something asked of an alert.
#[derive(Clone, Copy, Debug)]
struct Ask<'a> {
    author: &'a Arc<str>,
    what: &'a AlertDeed,
    seen: Option<(LogPosition, u32)>,
    comment: Option<&'a Arc<str>>,
    now: Timestamp,
}

impl Handlings {
    /// Does what a record of the log says; silences as they stand after it are added to `silences`.
    pub(crate) fn act(
        &mut self,
        action: &Action,
        record: &mut Record<'_>,
        silences: &mut Vec<Arc<Silence>>,
    ) -> ActionAnswer {
        // What time did before it, it did before it.
        self.advance(record);
        let first = record.out.len();
        let (prior, outcome) = match self.done.outcome_of(action) {
            Some(outcome) => (None, outcome),
            None => {
                let prior = self.prior(&action.deed);
                let outcome = self.do_it(action, record, silences);
                let (id, request, at) = (action.id, action.request, record.received_at);
                self.done.note(Past { id, request, at, outcome: outcome.clone() });
                (prior, outcome)
            }
        };
        let alerts = match &outcome {
            ActionOutcome::Alerts(all) => {
                let written = &record.out[first..];
                all.iter().filter_map(|(id, _)| self.as_it_stands(*id, written)).collect()
            }
            ActionOutcome::Silence(..) | ActionOutcome::IdReused => Vec::new(),
        };
        ActionAnswer { outcome, alerts, prior }
    }

    /// What it is about as it stands before it is done.
    fn prior(&self, deed: &Deed) -> Option<Prior> {
        let silence = |id| self.silences.get(id).cloned().map(Prior::Silence);
        match deed {
            Deed::Alerts { ids, .. } => {
                let [id] = ids.as_slice() else { return None };
                self.held.get(id).map(|held| Prior::Alert(Box::new(held.alert.clone())))
            }
            Deed::Silence(draft) => silence(draft.id),
            Deed::Expire { id, .. } => silence(*id),
        }
    }

    fn as_it_stands(&self, id: AlertId, written: &[bellwire_model::Transition]) -> Option<Alert> {
        let held = self.held.get(&id).map(|held| &held.alert);
        let gone = || written.iter().rev().map(|it| &it.alert).find(|alert| alert.id == id);
        held.or_else(gone).cloned()
    }

    fn do_it(
        &mut self,
        action: &Action,
        record: &mut Record<'_>,
        silences: &mut Vec<Arc<Silence>>,
    ) -> ActionOutcome {
        let (author, now) = (&action.author, record.received_at);
        let (id, made) = match &action.deed {
            Deed::Alerts { ids, what, seen, comment } => {
                let ask = Ask { author, what, seen: *seen, comment: comment.as_ref(), now };
                let ids = ids.iter().take(Action::ALERTS_MAX);
                let outcomes = ids.map(|id| (*id, self.handle(*id, ask, record)));
                return ActionOutcome::Alerts(outcomes.collect());
            }
            Deed::Silence(draft) => (draft.id, self.silences.put(draft, author, now)),
            Deed::Expire { id, version } => {
                (*id, self.silences.expire((*id, *version), author, now))
            }
        };
        ActionOutcome::Silence(id, self.silence(id, made, author, record, silences))
    }

    fn silence(
        &mut self,
        id: SilenceId,
        made: Result<Arc<Silence>, SilenceOutcome>,
        author: &Arc<str>,
        record: &mut Record<'_>,
        silences: &mut Vec<Arc<Silence>>,
    ) -> SilenceOutcome {
        match made {
            Ok(silence) => {
                silences.push(silence);
                self.apply_silence(id, Some(author), record);
                SilenceOutcome::Done
            }
            Err(outcome) => outcome,
        }
    }

    /// Does something with one alert.
    fn handle(&mut self, id: AlertId, ask: Ask<'_>, record: &mut Record<'_>) -> AlertOutcome {
        let Some(held) = self.held.get(&id) else { return AlertOutcome::NotOpen };
        if ask.seen.is_some_and(|seen| held.place > seen) {
            return AlertOutcome::Changed;
        }
        let is_latched = held.is_latched();
        let is_pending = held.alert.state == AlertState::Pending;
        let step =
            |kind| Step { kind, by: Some(Arc::clone(ask.author)), text: ask.comment.cloned() };
        match ask.what {
            AlertDeed::Acknowledge | AlertDeed::Snooze(_) if is_pending => AlertOutcome::Pending,
            AlertDeed::Acknowledge if held.is_acknowledged() => AlertOutcome::Acknowledged,
            AlertDeed::Acknowledge => {
                let by = Arc::clone(ask.author);
                let acknowledged = Some(Acknowledgement { by, at: ask.now });
                if is_latched {
                    let step = step(StepKind::Unlatched);
                    self.unlatch(id, step, record, |it| it.acknowledged = acknowledged);
                } else {
                    self.accept(id);
                    let step = step(StepKind::Acknowledged);
                    self.touch(id, step, record, |it| it.acknowledged = acknowledged);
                }
                AlertOutcome::Done
            }
            AlertDeed::Comment => {
                self.touch(id, step(StepKind::Commented), record, |_| {});
                AlertOutcome::Done
            }
            AlertDeed::Assign(to) => {
                let kind = to.as_ref().map_or(StepKind::Unassigned, |_| StepKind::Assigned);
                let text = assigned(to.as_ref(), ask.comment);
                let step = Step { text, ..step(kind) };
                self.touch(id, step, record, |it| it.assigned_to.clone_from(to));
                AlertOutcome::Done
            }
            AlertDeed::Unacknowledge | AlertDeed::Snooze(_) | AlertDeed::Unsnooze if is_latched => {
                AlertOutcome::Over
            }
            AlertDeed::Unacknowledge if !held.is_acknowledged() => AlertOutcome::NotAcknowledged,
            AlertDeed::Unacknowledge => {
                let step = step(StepKind::Unacknowledged);
                self.touch(id, step, record, |it| it.acknowledged = None);
                AlertOutcome::Done
            }
            AlertDeed::Snooze(until) if *until <= ask.now => AlertOutcome::TooLate,
            AlertDeed::Snooze(until) => {
                self.accept(id);
                let step = step(StepKind::Snoozed);
                self.touch(id, step, record, |it| it.snoozed_until = Some(*until));
                AlertOutcome::Done
            }
            AlertDeed::Unsnooze if !held.is_snoozed() => AlertOutcome::NotSnoozed,
            AlertDeed::Unsnooze => {
                let step = step(StepKind::SnoozeEnded);
                self.touch(id, step, record, |it| it.snoozed_until = None);
                AlertOutcome::Done
            }
        }
    }

    /// Somebody knows how bad it is.
    fn accept(&mut self, id: AlertId) {
        if let Some(held) = self.held.get_mut(&id) {
            held.accepted = Some(Accepted::of(&held.alert));
        }
    }
}

/// To whom it was assigned, and what was said to that.
fn assigned(to: Option<&Arc<str>>, comment: Option<&Arc<str>>) -> Option<Arc<str>> {
    match (to, comment) {
        (Some(to), Some(comment)) => Some(format!("to {to}: {comment}").into()),
        (Some(to), None) => Some(format!("to {to}").into()),
        (None, comment) => comment.cloned(),
    }
}
