//! An alert that is not over, and how its steps become transitions with words.

use std::sync::Arc;

use bellwire_model::{
    Alert, AlertId, AlertState, DeviceId, LogPosition, Registry, Severity, Target, Timestamp,
    Transition, Value,
};

use super::Stats;
use super::climb::Climb;
use super::clock::Pace;
use super::machine::{Edge, Phase, Timing, Why};
use crate::lang::duration;
use crate::lang::explain::show;
use crate::lang::program::View;
use crate::lang::template::Fill;
use crate::rules::rule::Rule;
use crate::rules::{GroupLabels, RuleSet};

/// An alert that is not over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Episode {
    pub(crate) phase: Phase,
    pub(crate) climb: Climb,
    pub(crate) alert: Alert,
    /// When its latest transition happened: the next one is not before it.
    pub(crate) last_at: Timestamp,
    /// What the next transition's reason must mention.
    pub(crate) note: Option<String>,
}

/// The record that is being judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause {
    pub(crate) position: LogPosition,
    pub(crate) received_at: Timestamp,
    /// Whether what is judged is measured now.
    pub(crate) pace: Pace,
}

/// Counts the transitions of each record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ordinals {
    pub(crate) position: LogPosition,
    pub(crate) next: u32,
}

impl Ordinals {
    /// The next number of the record, which is used up.
    pub(crate) fn take(&mut self, position: LogPosition) -> u32 {
        let ordinal = self.peek(position);
        self.next += 1;
        ordinal
    }

    fn peek(&mut self, position: LogPosition) -> u32 {
        if self.position != position {
            *self = Self { position, next: 0 };
        }
        self.next
    }
}

/// Where transitions are written.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) set: &'a RuleSet,
    pub(crate) registry: &'a Registry,
    pub(crate) cause: Cause,
    pub(crate) ordinals: &'a mut Ordinals,
    pub(crate) stats: &'a mut Stats,
    pub(crate) out: &'a mut Vec<Transition>,
}

/// Who says labels.
type Known<'a> = (&'a RuleSet, &'a Registry);

/// What rules are judged for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    Device(&'a DeviceId),
    Group(&'a GroupName),
}

/// A group's name, and the labels that its members have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupName {
    pub(crate) target: Target,
    pub(crate) labels: GroupLabels,
}

impl GroupName {
    pub(crate) fn new(labels: GroupLabels) -> Self {
        let target = Target::group(labels.iter().map(|(name, value)| (&**name, &**value)));
        Self { target, labels }
    }
}

impl Who<'_> {
    /// As an alert names it.
    pub(crate) fn target(self) -> Target {
        match self {
            Self::Device(device) => device.into(),
            Self::Group(group) => group.target.clone(),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Device(device) => device.as_str(),
            Self::Group(group) => group.target.as_str(),
        }
    }

    /// What a label says of it.
    fn label(self, name: &str, (set, registry): Known<'_>) -> Option<String> {
        match self {
            Self::Device(device) => set.labels_of(device, registry).get(name).map(str::to_owned),
            Self::Group(group) => {
                let mut labels = group.labels.iter();
                labels.find(|(known, _)| **known == *name).map(|(_, value)| value.to_string())
            }
        }
    }
}

/// One rule on one device or group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) who: Who<'a>,
    pub(crate) view: View<'a>,
}

impl Desk<'_> {
    /// Opens an episode: the condition has come true at `at`.
    pub(crate) fn open(
        &mut self,
        subject: Subject<'_>,
        phase: Phase,
        climb: Climb,
        at: Timestamp,
        why: Why,
    ) -> Arc<Episode> {
        let Subject { rule, who, .. } = subject;
        let target = who.target();
        let ordinal = self.ordinals.peek(self.cause.position);
        let mut episode = Episode {
            phase,
            climb,
            alert: Alert {
                id: AlertId::of(&rule.name, &target, self.cause.position, ordinal),
                rule: rule.name.clone(),
                device: target,
                severity: rule.severity,
                state: AlertState::Inactive,
                since: at,
                fired_at: None,
                resolved_at: None,
                value: None,
                summary: String::new(),
                labels: None,
                handling: None,
            },
            last_at: at,
            note: None,
        };
        self.step(subject, &mut episode, Edge { to: phase.state(), at, why });
        Arc::new(episode)
    }

    /// Writes down a step that the episode's phase has taken.
    pub(crate) fn step(&mut self, subject: Subject<'_>, episode: &mut Episode, edge: Edge) {
        let reason = reason(subject, edge, episode.climb.level);
        self.write(subject, episode, edge.to, edge.at, reason);
    }

    /// Writes down that the episode is now in state `to`, which may be the one it was in.
    pub(crate) fn write(
        &mut self,
        subject: Subject<'_>,
        episode: &mut Episode,
        to: AlertState,
        at: Timestamp,
        mut reason: String,
    ) {
        if let Some(note) = episode.note.take() {
            reason = format!("{reason}; {note}");
        }
        let at = at.max(episode.last_at);
        episode.last_at = at;
        let alert = &mut episode.alert;
        let from = std::mem::replace(&mut alert.state, to);
        match to {
            AlertState::Firing => alert.fired_at = alert.fired_at.or(Some(at)),
            AlertState::Resolved => alert.resolved_at = Some(at),
            _ => {}
        }
        let severity = subject.rule.severity_at(episode.climb.level);
        say((self.set, self.registry), subject, severity, alert);
        self.stats.count(from, to);
        let alert = alert.clone();
        self.push(Transition {
            position: self.cause.position,
            ordinal: 0,
            alert,
            from,
            to,
            at,
            received_at: self.cause.received_at,
            rule_version: self.set.version(),
            reason: reason.into(),
            correction: None,
            historical: self.cause.pace == Pace::Historical,
            step: None,
        });
    }

    /// Says it now, whenever it was.
    pub(crate) fn push(&mut self, mut step: Transition) {
        step.position = self.cause.position;
        step.received_at = self.cause.received_at;
        step.historical = self.cause.pace == Pace::Historical;
        step.ordinal = self.ordinals.take(self.cause.position);
        self.out.push(step);
    }

    /// The name of an alert that the next transition begins.
    pub(crate) fn next_id(&mut self, alert: &Alert) -> AlertId {
        let ordinal = self.ordinals.peek(self.cause.position);
        AlertId::of(&alert.rule, &alert.device, self.cause.position, ordinal)
    }
}

/// Brings value, severity and summary up to date.
fn say(known: Known<'_>, subject: Subject<'_>, severity: Severity, alert: &mut Alert) {
    let value = subject.rule.when.value(subject.view);
    alert.value = value.as_ref().and_then(bellwire_model::Value::number);
    alert.severity = severity;
    let words = Words { known, subject, severity: alert.severity, value: show(value.as_ref()) };
    alert.summary = subject.rule.summary.render(&words);
}

/// Why a step was taken, for a person.
fn reason(Subject { rule, view, .. }: Subject<'_>, edge: Edge, level: u8) -> String {
    let Edge { to, why, .. } = edge;
    let when = || rule.when.explain(view);
    let hold = || duration::format(rule.timing.hold);
    let keep = || duration::format(rule.timing.keep_firing);
    match why {
        Why::Began if to == AlertState::Pending => format!("{}, must {}", when(), must(rule)),
        Why::Began => when(),
        Why::Held if rule.timing.repeat > 1 && rule.timing.hold.is_zero() => {
            format!("{} in {} readings in a row", when(), rule.timing.repeat)
        }
        Why::Held => format!("{} held for {}", when(), hold()),
        Why::Stopped if rule.timing.repeat > 1 => format!("{}: did not {}", when(), must(rule)),
        Why::Stopped => format!("{}: held for less than {}", when(), hold()),
        Why::Silence => format!("no reading for {}", duration::format(rule.timing.max_gap)),
        Why::Cleared => {
            let facts = rule.clear.as_ref().unwrap_or(&rule.when).explain(view);
            match to {
                AlertState::Recovering => format!("{facts}, must stay clear for {}", keep()),
                _ => facts,
            }
        }
        Why::CameBack => format!("{} again", when()),
        Why::StayedClear => format!("clear for {}", keep()),
        Why::NoData => {
            let after = rule.no_data.after().unwrap_or_default();
            format!("no reading for {}", duration::format(after))
        }
        Why::Returned => format!("readings have come again: {}", when()),
        Why::Unsuitable(input) => unsuitable(rule, view, input),
        Why::Mended => format!("it can be judged again: {}", when()),
        Why::Level => format!("now {}: {}", rule.severity_at(level), when()),
        Why::Flapping => "its condition changes all the time: held while it flaps".to_owned(),
    }
}

/// What must happen before a pending alert fires.
fn must(rule: &Rule) -> String {
    let Timing { hold, repeat, .. } = rule.timing;
    let hold = || format!("hold for {}", duration::format(hold));
    let often = || format!("come in {repeat} readings in a row");
    match (rule.timing.hold.is_zero(), repeat > 1) {
        (false, true) => format!("{} and {}", hold(), often()),
        (true, true) => often(),
        _ => hold(),
    }
}

/// Why a rule cannot be judged.
fn unsuitable(rule: &Rule, view: View<'_>, input: u16) -> String {
    let metric = &rule.inputs[usize::from(input)];
    match view.value(input) {
        Some(Value::Text(text)) => {
            format!("{metric} is '{text}', a text where a number is needed")
        }
        value => format!("{metric} is {}, a number where a text is needed", show(value)),
    }
}

/// What stands in the places of a summary.
struct Words<'a> {
    known: Known<'a>,
    subject: Subject<'a>,
    severity: Severity,
    value: String,
}

impl Fill for Words<'_> {
    fn device(&self) -> String {
        self.subject.who.text().to_owned()
    }

    fn rule(&self) -> String {
        self.subject.rule.name.to_string()
    }

    fn severity(&self) -> String {
        self.severity.to_string()
    }

    fn value(&self) -> String {
        self.value.clone()
    }

    fn metric(&self, input: u16) -> String {
        show(self.subject.view.value(input))
    }

    fn label(&self, name: &str) -> String {
        match name {
            "device" => self.device(),
            _ => self.subject.who.label(name, self.known).unwrap_or_else(|| show(None)),
        }
    }
}
