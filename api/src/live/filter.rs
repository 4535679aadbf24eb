//! Which alerts a client wants to hear of. Clients that want the same share a [`Filter`], which says
//! once for each transition what they hear of it.
//!
//! An alert has the labels that its device had at the alert's latest transition; a change of labels
//! alone is no event of the feed. So an alert comes into a filter, and leaves it, with a transition,
//! and never silently: those who have seen it open are told that it is gone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bellwire_model::{Alert, Labels, Matchers, RuleName, Severity, Target};
use hashbrown::HashMap;

use crate::auth::within::Within;
use crate::live::encoded::Encoded;
use crate::live::frames::{Entry, Resume};

/// Which alerts a client wants to hear of: all that all of these allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertSpec {
    /// Of these devices or groups; of each if absent.
    pub(crate) devices: Option<Vec<Target>>,
    /// With these labels. Each list must hold: a client's own, and any that bound what it may see.
    pub(crate) labels: Vec<Matchers>,
    /// Of these rules; of each if absent.
    pub(crate) rules: Option<Vec<RuleName>>,
    /// At least this bad.
    pub(crate) severity: Option<Severity>,
    /// Of what there is for the client at all.
    pub(crate) within: Within,
}

impl AlertSpec {
    /// Whether no alert is left out.
    pub(crate) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether such an alert is wanted.
    pub(crate) fn wants(&self, alert: &Facts) -> bool {
        self.severity.is_none_or(|least| alert.severity >= least)
            && self.rules.as_ref().is_none_or(|rules| rules.contains(&alert.rule))
            && self.devices.as_ref().is_none_or(|devices| devices.contains(&alert.target))
            && self.labels.iter().all(|labels| labels.is_match(|name| alert.label(name)))
            && self.within.has_target(&alert.target)
    }
}

/// What of an alert filters look at, as it was after one transition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) rule: RuleName,
    pub(crate) target: Target,
    pub(crate) severity: Severity,
    pub(crate) labels: Arc<Labels>,
}

impl Facts {
    /// Of an alert; `look_up` is asked where it does not say its labels.
    pub(crate) fn of(alert: &Alert, look_up: impl FnOnce() -> Labels) -> Self {
        let labels = alert.labels.clone().unwrap_or_else(|| Arc::new(look_up()));
        Self {
            rule: alert.rule.clone(),
            target: alert.device.clone(),
            severity: alert.severity,
            labels,
        }
    }

    /// The value of a label; empty if there is none.
    fn label(&self, name: &str) -> &str {
        match name {
            "rule" | "alertname" => self.rule.as_str(),
            "device" => self.target.as_str(),
            "severity" => self.severity.label(),
            _ => self.labels.get(name).unwrap_or_default(),
        }
    }
}

/// What is known of an alert before a transition.
#[derive(Clone, Debug)]
pub(crate) enum Before {
    /// It was not open.
    Nothing,
    /// It was open, and so.
    Open(Arc<Facts>),
    /// It was open; how it was then is not known any more.
    Unknown,
}

/// What the clients of a filter hear of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it.
    Told,
    /// That the alert is none of theirs any more.
    Gone,
    /// Nothing.
    Passed,
}

/// A filter that clients share.
#[derive(Debug)]
pub(crate) struct Filter {
    spec: AlertSpec,
    is_everything: bool,
    verdicts: Mutex<Verdicts>,
    /// The latest snapshot for each way of coming to it, with the head it was made at.
    snapshots: Mutex<HashMap<Resume, (u64, Arc<Encoded>)>>,
    /// How many entries its clients were not woken for.
    n_unwoken: AtomicU64,
}

/// What was said of the latest transitions, by their numbers.
#[derive(Debug, Default)]
struct Verdicts {
    first: u64,
    said: VecDeque<Verdict>,
}

impl Filter {
    pub(crate) fn new(spec: AlertSpec) -> Self {
        Self {
            is_everything: spec.is_everything(),
            spec,
            verdicts: Mutex::default(),
            snapshots: Mutex::default(),
            n_unwoken: AtomicU64::new(0),
        }
    }

    pub(crate) const fn spec(&self) -> &AlertSpec {
        &self.spec
    }

    /// Whether an open alert is in the snapshot.
    pub(crate) fn shows(&self, alert: &Facts) -> bool {
        self.is_everything || self.spec.wants(alert)
    }

    /// What is heard of `entry`.
    pub(crate) fn look_at(&self, entry: &Entry) -> Verdict {
        if self.shows(&entry.after) {
            return Verdict::Told;
        }
        match &entry.before {
            Before::Open(before) if self.spec.wants(before) => Verdict::Gone,
            // Not even that there is such an alert is told to whom it is out of sight.
            Before::Unknown if self.spec.within.has_target(&entry.after.target) => Verdict::Gone,
            Before::Open(_) | Before::Nothing | Before::Unknown => Verdict::Passed,
        }
    }

    /// The same, of consecutive entries of the ring from `number` on: looked at once for all clients.
    /// `remember_max` is how many the ring has.
    pub(crate) fn look_at_all<'a>(
        &self,
        number: u64,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        remember_max: usize,
        mut hear: impl FnMut(&'a Arc<Entry>, Verdict) -> std::ops::ControlFlow<()>,
    ) {
        if self.is_everything {
            for entry in entries {
                if hear(entry, Verdict::Told).is_break() {
                    return;
                }
            }
            return;
        }
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, entry) in (number..).zip(entries) {
            let verdict = verdicts.of(number, remember_max, || self.look_at(entry));
            if hear(entry, verdict).is_break() {
                return;
            }
        }
    }

    /// Counts entries that its clients hear nothing of. Gives whether they must be woken all the same,
    /// lest the ring move past them: after each `most`.
    pub(crate) fn passed(&self, n_entries: u64, most: u64) -> bool {
        let n_unwoken = self.n_unwoken.fetch_add(n_entries, Ordering::Relaxed) + n_entries;
        if n_unwoken >= most {
            self.woken();
        }
        n_unwoken >= most
    }

    pub(crate) fn woken(&self) {
        self.n_unwoken.store(0, Ordering::Relaxed);
    }

    /// The snapshot at `head`, made by `make` if nobody came the same way to it before.
    pub(crate) fn snapshot(
        &self,
        resume: Resume,
        head: u64,
        make: impl FnOnce() -> Encoded,
    ) -> Arc<Encoded> {
        let snapshots = || self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_at, text)) = snapshots().get(&resume)
            && *made_at == head
        {
            return Arc::clone(text);
        }
        // Made without the lock: two who come at once may both make it, and that is all.
        let text = Arc::new(make());
        snapshots().insert(resume, (head, Arc::clone(&text)));
        text
    }
}

impl Verdicts {
    fn of(&mut self, number: u64, remember_max: usize, look: impl FnOnce() -> Verdict) -> Verdict {
        let next = self.first + self.said.len() as u64;
        if number < self.first {
            return look();
        }
        if number < next {
            return self.said[usize::try_from(number - self.first).expect("it is in memory")];
        }
        if number > next {
            self.said.clear();
            self.first = number;
        }
        let verdict = look();
        self.said.push_back(verdict);
        if self.said.len() > remember_max {
            self.said.pop_front();
            self.first += 1;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::testing;

    fn facts(rule: &str, device: &str, severity: Severity, site: &str) -> Facts {
        let mut labels = Labels::default();
        labels.set(&"site".into(), &site.into());
        Facts {
            rule: RuleName::new(rule).expect("valid"),
            target: Target::new(device).expect("valid"),
            severity,
            labels: Arc::new(labels),
        }
    }

    fn matchers(text: &str) -> Vec<Matchers> {
        vec![Matchers::parse(text).expect("valid")]
    }

    #[test]
    fn all_that_is_asked_must_hold() {
        let alert = facts("hot", "oven-1", Severity::Warning, "berlin");
        let wants = |spec: AlertSpec| spec.wants(&alert);
        assert!(wants(AlertSpec::default()));
        for (text, expected) in [
            ("site=berlin", true),
            ("site=~\"ber.*\",alertname=hot,severity=warning", true),
            ("device=oven-1,rule!=cold", true),
            ("nothing=\"\"", true),
            ("site=paris", false),
        ] {
            let spec = AlertSpec { labels: matchers(text), ..AlertSpec::default() };
            assert_eq!(wants(spec), expected, "{text}");
        }
        for (severity, expected) in
            [(Severity::Info, true), (Severity::Warning, true), (Severity::Critical, false)]
        {
            let spec = AlertSpec { severity: Some(severity), ..AlertSpec::default() };
            assert_eq!(wants(spec), expected, "{severity:?}");
        }
        let rules = |name| Some(vec![RuleName::new(name).expect("valid")]);
        let devices = |name| Some(vec![Target::new(name).expect("valid")]);
        assert!(wants(AlertSpec {
            rules: rules("hot"),
            devices: devices("oven-1"),
            ..AlertSpec::default()
        }));
        assert!(!wants(AlertSpec { rules: rules("cold"), ..AlertSpec::default() }));
        assert!(!wants(AlertSpec { devices: devices("oven-2"), ..AlertSpec::default() }));
        let bounded = [matchers("site=berlin"), matchers("device=oven-2")].concat();
        assert!(!wants(AlertSpec { labels: bounded, ..AlertSpec::default() }));
    }

    #[test]
    fn who_saw_an_alert_open_is_told_that_it_is_gone() {
        let spec = AlertSpec { severity: Some(Severity::Critical), ..AlertSpec::default() };
        let filter = Filter::new(spec);
        let (bad, worse) = (Severity::Warning, Severity::Critical);
        let open = |severity| Before::Open(Arc::new(facts("hot", "oven-1", severity, "x")));
        for (before, after, expected) in [
            (Before::Nothing, worse, Verdict::Told),
            (Before::Nothing, bad, Verdict::Passed),
            (open(worse), worse, Verdict::Told),
            (open(worse), bad, Verdict::Gone),
            (open(bad), bad, Verdict::Passed),
            (open(bad), worse, Verdict::Told),
            (Before::Unknown, bad, Verdict::Gone),
            (Before::Unknown, worse, Verdict::Told),
        ] {
            let mut entry = testing::plain_entry(1, 0, 1);
            entry.before = before.clone();
            entry.after = Arc::new(facts("hot", "oven-1", after, "x"));
            assert_eq!(filter.look_at(&entry), expected, "{before:?} → {after:?}");
        }
    }

    #[test]
    fn a_transition_is_looked_at_once_for_all_clients() {
        let mut verdicts = Verdicts::default();
        let mut n_looks = 0;
        let mut ask = |number: u64| {
            verdicts.of(number, 4, || {
                n_looks += 1;
                if number.is_multiple_of(2) { Verdict::Told } else { Verdict::Passed }
            })
        };
        for number in [10, 11, 12, 10, 11, 12, 13, 14, 12, 14] {
            let expected = if number % 2 == 0 { Verdict::Told } else { Verdict::Passed };
            assert_eq!(ask(number), expected, "{number}");
        }
        // What is not remembered any more, or was passed over, is looked at again.
        ask(10);
        ask(20);
        ask(20);
        assert_eq!(n_looks, 5 + 2);
    }
}
