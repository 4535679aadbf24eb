//! Inhibition: while an alert of one kind is there, those of another with the same labels say nothing new.
//!
//! As in Alertmanager (`inhibit/inhibit.go`, 0.25) an alert that is of both kinds is not inhibited by one that
//! is of both kinds too: so alerts of one kind cannot inhibit each other.

use std::collections::BTreeSet;

use bellwire_model::{Alert, AlertId};
use hashbrown::HashMap;

use crate::rules::handling::{Inhibit, chooses};

/// What an alert is to a rule of inhibition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Source,
    Target,
    Both,
}

/// What an alert is to one of the rules, and with which labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    rule: usize,
    part: Part,
    key: Box<[Box<str>]>,
}

/// The alerts that have the same labels to one rule.
#[derive(Debug, Default)]
struct Bucket {
    sources: BTreeSet<AlertId>,
    both: BTreeSet<AlertId>,
    targets: BTreeSet<AlertId>,
}

impl Bucket {
    fn part(&mut self, part: Part) -> &mut BTreeSet<AlertId> {
        match part {
            Part::Source => &mut self.sources,
            Part::Target => &mut self.targets,
            Part::Both => &mut self.both,
        }
    }

    /// What inhibits those that are targets only, and those that are both.
    fn inhibitors(&self) -> (Option<AlertId>, Option<AlertId>) {
        let pure = self.sources.first().copied();
        (pure.or_else(|| self.both.first().copied()), pure)
    }

    fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.both.is_empty() && self.targets.is_empty()
    }
}

/// Who inhibits whom.
#[derive(Debug, Default)]
pub(super) struct Inhibition {
    /// For each rule.
    buckets: Vec<HashMap<Box<[Box<str>]>, Bucket>>,
}

/// What an alert that is there is to the rules.
pub(super) fn roles_of(rules: &[Inhibit], alert: &Alert) -> Vec<Role> {
    let role = |(rule, inhibit): (usize, &Inhibit)| {
        let part = match (chooses(&inhibit.source, alert), chooses(&inhibit.target, alert)) {
            (true, true) => Part::Both,
            (true, false) => Part::Source,
            (false, true) => Part::Target,
            (false, false) => return None,
        };
        let key = inhibit.equal.iter().map(|name| alert.label(name).into()).collect();
        Some(Role { rule, part, key })
    };
    rules.iter().enumerate().filter_map(role).collect()
}

impl Inhibition {
    /// Notes what an alert is; gives those for which that may change something.
    pub(super) fn join(&mut self, id: AlertId, roles: &[Role]) -> BTreeSet<AlertId> {
        let mut concerned = BTreeSet::new();
        for role in roles {
            if role.rule >= self.buckets.len() {
                self.buckets.resize_with(role.rule + 1, HashMap::new);
            }
            let bucket = self.buckets[role.rule].entry_ref(&role.key).or_default();
            let before = bucket.inhibitors();
            bucket.part(role.part).insert(id);
            note(bucket, before, &mut concerned);
        }
        concerned.remove(&id);
        concerned
    }

    /// Forgets what an alert was; gives those for which that may change something.
    pub(super) fn leave(&mut self, id: AlertId, roles: &[Role]) -> BTreeSet<AlertId> {
        let mut concerned = BTreeSet::new();
        for role in roles {
            let Some(buckets) = self.buckets.get_mut(role.rule) else { continue };
            let Some(bucket) = buckets.get_mut(&role.key) else { continue };
            let before = bucket.inhibitors();
            bucket.part(role.part).remove(&id);
            note(bucket, before, &mut concerned);
            if bucket.is_empty() {
                buckets.remove(&role.key);
            }
        }
        concerned.remove(&id);
        concerned
    }

    /// An alert that inhibits one of these roles, if any does.
    pub(super) fn inhibitor_of(&self, roles: &[Role]) -> Option<AlertId> {
        roles.iter().find_map(|role| {
            let bucket = self.buckets.get(role.rule)?.get(&role.key)?;
            let (of_targets, of_both) = bucket.inhibitors();
            match role.part {
                Part::Source => None,
                Part::Target => of_targets,
                Part::Both => of_both,
            }
        })
    }
}

/// Notes those of a bucket that have an inhibitor now and had none, or the other way round. Which of
/// several it is makes no difference: a storm of sources costs no more than the first and the last.
fn note(
    bucket: &Bucket,
    (of_targets, of_both): (Option<AlertId>, Option<AlertId>),
    concerned: &mut BTreeSet<AlertId>,
) {
    let now = bucket.inhibitors();
    if of_targets.is_some() != now.0.is_some() {
        concerned.extend(&bucket.targets);
    }
    if of_both.is_some() != now.1.is_some() {
        concerned.extend(&bucket.both);
    }
}
