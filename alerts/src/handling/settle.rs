//! What the engine said of a record, and what that does to the handling of alerts.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwire_model::{
    Alert, AlertId, AlertState, Correction, Handling, SilenceId, Step, StepKind, Target,
};
use hashbrown::HashMap;

use super::held::{Accepted, Held, is_active};
use super::inhibit::roles_of;
use super::{Handlings, LATCHED_MAX, Record, said, step};
use crate::engine::clock::Pace;

/// An alert's transitions in what the engine said.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// Where the last of them is.
    last: usize,
    /// Whether something was taken back.
    is_taken_back: bool,
}

/// Whether an alert has fired, as it is now known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Was,
    /// It was said, and taken back for good.
    NeverWas,
}

/// What must wait until all alerts stand as the record says.
#[derive(Debug, Default)]
struct Aftermath {
    /// Alerts that may be inhibited now, or not any more.
    concerned: BTreeSet<AlertId>,
    /// Alerts for which a latched one makes room.
    newcomers: Vec<AlertId>,
    /// Latched alerts that had made room for what never was.
    back: Vec<Held>,
}

/// How an alert is handled that another goes on with.
#[derive(Debug)]
struct Legacy {
    of: AlertId,
    handling: Option<Box<Handling>>,
    accepted: Option<Accepted>,
}

impl Handlings {
    /// Takes what the engine has pushed to `record.out` from `first` on: fills in labels and handling,
    /// and pushes what follows.
    pub(crate) fn follow(&mut self, first: usize, record: &mut Record<'_>) {
        let mut order = Vec::new();
        let mut all: HashMap<AlertId, Said> = HashMap::new();
        for (index, transition) in record.out.iter().enumerate().skip(first) {
            let id = transition.alert.id;
            let is_withdrawn = transition.correction == Some(Correction::Withdrawn);
            let said = all.entry(id).or_insert_with(|| {
                order.push(id);
                Said { last: index, is_taken_back: false }
            });
            said.last = index;
            said.is_taken_back |= is_withdrawn;
        }
        for index in first..record.out.len() {
            let id = record.out[index].alert.id;
            if all.get(&id).is_some_and(|said| said.last != index) {
                self.stamp(index, record);
            }
        }
        let mut legacies = self.legacies(&order, &all, record);
        let mut after = Aftermath::default();
        for id in order {
            if let Some(said) = all.get(&id) {
                let legacy = legacies.remove(&id);
                self.settle(id, *said, legacy, record, &mut after);
            }
        }
        self.finish(after, record);
    }

    /// What alerts do to others, when all stand as the record says.
    fn finish(&mut self, after: Aftermath, record: &mut Record<'_>) {
        for id in after.newcomers {
            let Some(alert) = self.held.get(&id).map(|held| held.alert.clone()) else { continue };
            let before = self.take_place(&alert, record);
            if let (Some(held), Some(before)) = (self.held.get_mut(&id), before) {
                held.before = Some(before);
            }
        }
        self.reinhibit(after.concerned, record);
        for back in after.back {
            self.bring_back(back, record);
        }
        self.limit_latched(record);
    }

    /// What is taken back, and said again as another alert: by the other's id, how the first is handled.
    fn legacies(
        &self,
        order: &[AlertId],
        all: &HashMap<AlertId, Said>,
        record: &Record<'_>,
    ) -> HashMap<AlertId, Legacy> {
        let as_it_is = |id: &AlertId| all.get(id).map(|said| (said, &record.out[said.last].alert));
        let mut legacies = HashMap::new();
        for (id, (said, alert)) in order.iter().filter_map(|id| Some((id, as_it_is(id)?))) {
            if !said.is_taken_back || alert.state != AlertState::Inactive {
                continue;
            }
            let held = self.held.get(id).filter(|it| it.is_acknowledged() || it.is_snoozed());
            let heir = order.iter().filter_map(as_it_is).map(|(_, heir)| heir).find(|heir| {
                heir.rule == alert.rule
                    && heir.device == alert.device
                    && is_active(heir.state)
                    && !self.held.contains_key(&heir.id)
                    && !legacies.contains_key(&heir.id)
            });
            if let (Some(held), Some(heir)) = (held, heir) {
                let (handling, accepted) = (held.alert.handling.clone(), held.accepted);
                legacies.insert(heir.id, Legacy { of: *id, handling, accepted });
            }
        }
        legacies
    }

    /// A transition that another of its alert follows: it is handled as before.
    fn stamp(&self, index: usize, record: &mut Record<'_>) {
        let alert = &record.out[index].alert;
        let before = self.held.get(&alert.id).map(|held| &held.alert);
        let labels = match before.and_then(|before| before.labels.clone()) {
            Some(labels) => labels,
            None => Arc::new(record.labels_of(&alert.device)),
        };
        let mut handling = before.and_then(|before| before.handling.clone());
        if let Some(handling) = &mut handling {
            handling.latched = false;
        }
        let alert = &mut record.out[index].alert;
        alert.labels = Some(labels);
        alert.handling = handling.filter(|it| !it.is_empty());
    }

    /// Takes an alert as it stands after all that was said of it.
    fn settle(
        &mut self,
        id: AlertId,
        said_of: Said,
        legacy: Option<Legacy>,
        record: &mut Record<'_>,
        after: &mut Aftermath,
    ) {
        let transition = &record.out[said_of.last];
        let place = (transition.position, transition.ordinal);
        let pace = if transition.historical { Pace::Historical } else { Pace::Live };
        let now = transition.alert.clone();
        let before = self.remove(id);
        let was_active = before.as_ref().is_some_and(Held::is_active);
        let mut held = match before {
            None => {
                let labels = Some(Arc::new(record.labels_of(&now.device)));
                Held::new(Alert { labels, ..now })
            }
            Some(mut held) => {
                let (labels, handling) = (held.alert.labels.take(), held.alert.handling.take());
                held.alert = Alert { labels, handling, ..now };
                held.worst = match said_of.is_taken_back {
                    true => held.alert.severity,
                    false => held.worst.max(held.alert.severity),
                };
                held
            }
        };
        (held.place, held.pace) = (place, pace);
        let mut steps = Vec::new();
        if let Some(legacy) = legacy {
            inherit(&mut held, legacy, &mut steps);
        }
        let past = match held.alert.state {
            AlertState::Pending | AlertState::Inactive if said_of.is_taken_back => Past::NeverWas,
            _ => Past::Was,
        };
        drop_if_worse(&mut held, past, &mut steps);
        if past == Past::NeverWas {
            held.change(|handling| handling.escalation = 0);
        }
        if let (false, Some(accepted)) = (said_of.is_taken_back, &mut held.accepted) {
            accepted.severity = accepted.severity.min(held.alert.severity);
        }
        self.latch_or_not(&mut held, said_of, record);
        after.concerned.append(&mut self.leave_roles(&mut held));
        self.mute(&mut held, &mut steps);
        after.concerned.append(&mut self.join_roles(&mut held, record));
        self.inhibit(&mut held, &mut steps);
        held.reconsider(record.rules, record.received_at);
        record.out[said_of.last].alert = held.alert.clone();
        for step in steps {
            self.count(&step);
            record.write(&held.alert, step);
        }
        if past == Past::NeverWas {
            after.back.extend(held.before.take().map(|back| *back));
        }
        if (held.is_active() && !was_active) || held.is_latched() {
            after.newcomers.push(id);
        }
        if held.alert.is_open() {
            self.insert(held);
        }
    }

    /// Whether an alert that is over stays in sight.
    fn latch_or_not(&self, held: &mut Held, said_of: Said, record: &Record<'_>) {
        let transition = &record.out[said_of.last];
        let has_ended = held.alert.state == AlertState::Resolved
            && transition.correction != Some(Correction::Withdrawn)
            && !transition.historical;
        let rule = record.rules.rule(held.alert.rule.as_str());
        let latches = rule.is_some_and(|rule| rule.latches(held.worst));
        let latched = has_ended && latches && !held.is_acknowledged();
        let is_over = held.alert.state.is_over();
        held.change(|handling| {
            handling.latched = latched;
            if is_over {
                handling.snoozed_until = None;
            }
        });
        held.latched_at = held.place;
    }

    /// The silences that mute it, brought up to date.
    fn mute(&self, held: &mut Held, steps: &mut Vec<Step>) {
        if held.alert.state.is_over() {
            return;
        }
        let before = held.handling().map_or_else(Vec::new, |it| it.silenced_by.clone());
        let now: Vec<SilenceId> = match held.is_active() {
            true => self.silences.muting(&held.alert).map(|silence| silence.id).collect(),
            false => Vec::new(),
        };
        if before == now {
            return;
        }
        for id in before.iter().filter(|id| !now.contains(id)) {
            let why =
                self.silences.active(*id).map_or("it is over", |_| "it is not meant any more");
            steps.push(said(StepKind::Unsilenced, why));
        }
        for id in now.iter().filter(|id| !before.contains(id)) {
            steps.extend(self.silences.active(*id).map(|silence| silenced(silence)));
        }
        held.change(|handling| handling.silenced_by = now);
    }

    /// Takes it out of inhibition; gives those to whom that matters.
    fn leave_roles(&mut self, held: &mut Held) -> BTreeSet<AlertId> {
        let roles = std::mem::take(&mut held.roles);
        self.inhibition.leave(held.alert.id, &roles)
    }

    /// Puts it into inhibition as what it is now; gives those to whom that matters.
    fn join_roles(&mut self, held: &mut Held, record: &Record<'_>) -> BTreeSet<AlertId> {
        if held.is_active() {
            held.roles = roles_of(&record.rules.inhibits, &held.alert);
        }
        self.inhibition.join(held.alert.id, &held.roles)
    }

    /// Whether another alert inhibits it, brought up to date.
    fn inhibit(&self, held: &mut Held, steps: &mut Vec<Step>) {
        if held.alert.state.is_over() {
            return;
        }
        let before = held.handling().and_then(|handling| handling.inhibited_by);
        let now = self.inhibition.inhibitor_of(&held.roles);
        steps.extend(inhibition_step(before, now));
        if before.is_some() != now.is_some() {
            held.change(|handling| handling.inhibited_by = now);
        }
    }

    /// Looks again whether these are inhibited.
    fn reinhibit(&mut self, ids: BTreeSet<AlertId>, record: &mut Record<'_>) {
        for id in ids {
            let Some(held) = self.held.get(&id) else { continue };
            let before = held.handling().and_then(|handling| handling.inhibited_by);
            let now = self.inhibition.inhibitor_of(&held.roles);
            if let Some(step) = inhibition_step(before, now) {
                self.touch(id, step, record, |handling| handling.inhibited_by = now);
            }
        }
    }

    /// Another alert of the same rule and target that is latched.
    fn latched_like(&self, alert: &Alert) -> Option<AlertId> {
        let mut ids = self.by_target.get(&alert.device)?.iter().copied();
        ids.find(|id| {
            let held = self.held.get(id).filter(|it| it.is_latched() && *id != alert.id);
            held.is_some_and(|it| it.alert.rule == alert.rule)
        })
    }

    /// An alert is there: a latched one of the same rule and target makes room for it.
    fn take_place(&mut self, alert: &Alert, record: &mut Record<'_>) -> Option<Box<Held>> {
        let older = self.latched_like(alert)?;
        let held = self.held.get(&older).cloned()?;
        let text = format!("{} took its place", alert.id);
        self.unlatch(older, said(StepKind::Unlatched, text), record, |_| {});
        Some(Box::new(Held { before: None, ..held }))
    }

    /// The alert that had taken its place never was.
    fn bring_back(&mut self, mut back: Held, record: &mut Record<'_>) {
        if self.latched_like(&back.alert).is_some() {
            return;
        }
        let silences = &self.silences;
        back.change(|it| it.silenced_by.retain(|id| silences.active(*id).is_some()));
        let step = said(StepKind::Latched, "what took its place never was");
        self.count(&step);
        record.write(&back.alert, step);
        self.insert(back);
    }

    /// A latched alert is out of sight.
    pub(super) fn unlatch(
        &mut self,
        id: AlertId,
        step: Step,
        record: &mut Record<'_>,
        change: impl FnOnce(&mut Handling),
    ) {
        let Some(mut held) = self.remove(id) else { return };
        held.change(|handling| {
            handling.latched = false;
            change(handling);
        });
        self.count(&step);
        record.write(&held.alert, step);
    }

    fn limit_latched(&mut self, record: &mut Record<'_>) {
        while self.latched.len() > LATCHED_MAX
            && let Some((_, id)) = self.latched.first_key_value()
        {
            self.stats.latched_dropped += 1;
            self.unlatch(*id, said(StepKind::Unlatched, "there are too many"), record, |_| {});
        }
    }

    /// There are other rules: what each alert is to them. To be called before [`Handlings::follow`] is
    /// with what became of alerts, and [`Handlings::rules_changed`] after it.
    pub(crate) fn meet_rules(&mut self, record: &Record<'_>) {
        self.inhibition = super::Inhibition::default();
        let ids: Vec<_> = self.held.keys().copied().collect();
        for id in ids {
            let Some(mut held) = self.remove(id) else { continue };
            relabel(&mut held, record);
            held.roles.clear();
            self.join_roles(&mut held, record);
            self.insert(held);
        }
    }

    /// There are other rules: what follows from them.
    pub(crate) fn rules_changed(&mut self, record: &mut Record<'_>) {
        let ids: Vec<_> = self.held.keys().copied().collect();
        for id in ids {
            self.look_again(id, record);
        }
    }

    /// A device has other labels.
    pub(crate) fn relabelled(&mut self, device: &Target, record: &mut Record<'_>) {
        let ids = self.by_target.get(device).cloned().unwrap_or_default();
        for id in ids {
            self.look_again(id, record);
        }
    }

    /// Brings up to date what follows from an alert's labels and from the rules.
    fn look_again(&mut self, id: AlertId, record: &mut Record<'_>) {
        let Some(mut held) = self.remove(id) else { return };
        relabel(&mut held, record);
        let mut steps = Vec::new();
        let mut others = self.leave_roles(&mut held);
        self.mute(&mut held, &mut steps);
        others.append(&mut self.join_roles(&mut held, record));
        self.inhibit(&mut held, &mut steps);
        held.reconsider(record.rules, record.received_at);
        for step in steps {
            self.count(&step);
            record.write(&held.alert, step);
        }
        self.insert(held);
        self.reinhibit(others, record);
    }

    /// Puts an alert in place that was there before handling was, or comes from a snapshot.
    pub(super) fn admit(&mut self, mut held: Held, record: &Record<'_>) {
        if held.alert.labels.is_none() {
            relabel(&mut held, record);
        }
        self.join_roles(&mut held, record);
        held.reconsider(record.rules, record.received_at);
        self.insert(held);
    }
}

/// An alert that is another only because it began at another instant is handled as that was.
fn inherit(held: &mut Held, legacy: Legacy, steps: &mut Vec<Step>) {
    let Some(handling) = legacy.handling else { return };
    let text: Arc<str> = format!("as {} was", legacy.of).into();
    let step =
        |kind, by: Option<&Arc<str>>| Step { kind, by: by.cloned(), text: Some(Arc::clone(&text)) };
    if let Some(ack) = &handling.acknowledged {
        steps.push(step(StepKind::Acknowledged, Some(&ack.by)));
    }
    if handling.snoozed_until.is_some() {
        steps.push(step(StepKind::Snoozed, None));
    }
    if let Some(to) = &handling.assigned_to {
        steps.push(said(StepKind::Assigned, format!("to {to}: {text}")));
    }
    held.accepted = legacy.accepted;
    held.change(|it| {
        it.acknowledged = handling.acknowledged;
        it.snoozed_until = handling.snoozed_until;
        it.assigned_to = handling.assigned_to;
        it.escalation = handling.escalation;
    });
}

/// Gives an alert the labels that its device has now.
fn relabel(held: &mut Held, record: &Record<'_>) {
    let labels = record.labels_of(&held.alert.device);
    if held.alert.labels.as_deref() != Some(&labels) {
        held.alert.labels = Some(Arc::new(labels));
    }
}

/// A silence mutes an alert.
pub(super) fn silenced(silence: &bellwire_model::Silence) -> Step {
    Step {
        kind: StepKind::Silenced,
        by: Some(Arc::clone(&silence.author)),
        text: Some(Arc::clone(&silence.reason)),
    }
}

fn inhibition_step(before: Option<AlertId>, now: Option<AlertId>) -> Option<Step> {
    match (before, now) {
        (None, Some(by)) => Some(said(StepKind::Inhibited, format!("{by} is there"))),
        (Some(_), None) => Some(step(StepKind::Uninhibited)),
        _ => None,
    }
}

/// An alert that is worse than what somebody took or snoozed, or that never was, is nobody's.
fn drop_if_worse(held: &mut Held, past: Past, steps: &mut Vec<Step>) {
    let Some(accepted) = held.accepted else { return };
    let is_worse = is_active(held.alert.state) && accepted.is_exceeded_by(&held.alert);
    if past == Past::Was && !is_worse {
        return;
    }
    let why = if past == Past::NeverWas {
        "a late reading shows that it was not so".to_owned()
    } else if held.alert.severity > accepted.severity {
        format!("it was {} and is {}", accepted.severity, held.alert.severity)
    } else {
        "it fires now".to_owned()
    };
    if held.is_acknowledged() {
        steps.push(said(StepKind::AckDropped, why.as_str()));
    }
    if held.is_snoozed() {
        steps.push(said(StepKind::SnoozeEnded, why.as_str()));
    }
    held.change(|handling| {
        handling.acknowledged = None;
        handling.snoozed_until = None;
    });
    held.accepted = None;
}
