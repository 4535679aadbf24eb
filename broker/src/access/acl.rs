//! Rules about who may publish and subscribe where: the first that matches decides.
//!
//! Compiled once, shared by all connections, and asked without allocating: [`Acl::may_publish`]
//! walks the topic's levels beside each pattern. Whether a subscription is allowed is the business of
//! [`contain`](super::contain); what it is to get is then asked for each message, if a rule denies
//! anything.

use bellwire_model::TopicFilter;

use super::Subscribing;
use super::contain::{self, Found};
use super::pattern::TopicPattern;
use super::principal::{Principal, Subject};

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// `*`: everyone.
    Everyone,
    /// `device`: devices, gateways among them.
    Devices,
    /// `user:NAME`: the device or service account of this name.
    User(Box<str>),
}

impl Who {
    fn is(&self, principal: &Principal) -> bool {
        match self {
            Self::Everyone => true,
            Self::Devices => matches!(principal, Principal::Device(_)),
            Self::User(name) => principal.name() == Some(&**name),
        }
    }
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To publish.
    Publish,
    /// To subscribe.
    Subscribe,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is allowed.
    Allow,
    /// It is not.
    Deny,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about.
    pub who: Who,
    /// What.
    pub action: Action,
    /// Where.
    pub topic: TopicPattern,
    /// What it says.
    pub effect: Effect,
}

/// One rule of an action.
#[derive(Debug)]
pub(super) struct Line {
    who: Who,
    pub(super) topic: TopicPattern,
    pub(super) effect: Effect,
}

/// All rules, compiled.
#[derive(Debug)]
pub struct Acl {
    publish: Box<[Line]>,
    subscribe: Box<[Line]>,
    /// Where no rule matches.
    fallback: Effect,
    /// A rule denies to subscribe somewhere.
    denies_reading: bool,
}

/// What a device may do where no rule says otherwise: its own telemetry and status out, its own
/// commands in, and an answer to each. Docs: docs/guides/devices.md.
const OF_DEVICES: [(Action, &str); 4] = [
    (Action::Publish, "devices/{device}/telemetry/#"),
    (Action::Publish, "devices/{device}/status"),
    (Action::Publish, "devices/{device}/commands/+/reply"),
    (Action::Subscribe, "devices/{device}/commands/#"),
];

impl Acl {
    /// `rules`, then what devices may do by default; all else is denied.
    #[must_use]
    pub fn strict(rules: Vec<Rule>) -> Self {
        let own = OF_DEVICES.map(|(action, topic)| Rule {
            who: Who::Devices,
            action,
            topic: TopicPattern::new(topic).expect("a pattern of ours"),
            effect: Effect::Allow,
        });
        Self::new(rules.into_iter().chain(own), Effect::Deny)
    }

    /// `rules`; all else is allowed.
    #[must_use]
    pub fn open(rules: Vec<Rule>) -> Self {
        Self::new(rules.into_iter(), Effect::Allow)
    }

    fn new(rules: impl Iterator<Item = Rule>, fallback: Effect) -> Self {
        let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
        for Rule { who, action, topic, effect } in rules {
            let lines = match action {
                Action::Publish => &mut publish,
                Action::Subscribe => &mut subscribe,
            };
            lines.push(Line { who, topic, effect });
        }
        let denies_reading = subscribe.iter().any(|line| line.effect == Effect::Deny);
        Self { publish: publish.into(), subscribe: subscribe.into(), fallback, denies_reading }
    }

    fn lines(&self, action: Action) -> &[Line] {
        match action {
            Action::Publish => &self.publish,
            Action::Subscribe => &self.subscribe,
        }
    }

    /// What the first rule says that is about `subject` doing `action` on `topic`, a valid topic name;
    /// `None` if there is none.
    pub(super) fn verdict(&self, subject: &Subject, action: Action, topic: &str) -> Option<Effect> {
        let mut lines = self.lines(action).iter();
        let first = lines.find(|line| {
            line.who.is(&subject.principal)
                && line.topic.matches(topic, |id| subject.speaks_for(id))
        });
        first.map(|line| line.effect)
    }

    fn decide(&self, subject: &Subject, action: Action, topic: &str) -> Effect {
        self.verdict(subject, action, topic).unwrap_or(self.fallback)
    }

    /// Whether `subject` may publish on `topic`, a valid topic name.
    pub(super) fn may_publish(&self, subject: &Subject, topic: &str) -> bool {
        self.decide(subject, Action::Publish, topic) == Effect::Allow
    }

    /// Whether `subject` may subscribe to `filter`.
    pub(super) fn subscribing(&self, subject: &Subject, filter: &TopicFilter) -> Subscribing {
        match self.search(subject, filter) {
            Found::None => Subscribing::Allowed,
            Found::Denied(_) => Subscribing::Denied,
            Found::Unspoken(_) | Found::TooMuch => Subscribing::NotAuthorized,
        }
    }

    /// Whether `subject` may be sent messages of `topic` that it is subscribed to.
    pub(super) fn may_receive(&self, subject: &Subject, topic: &str) -> bool {
        !self.denies_reading || self.decide(subject, Action::Subscribe, topic) == Effect::Allow
    }

    /// Looks for a topic that `filter` matches and that speaks against it.
    pub(super) fn search(&self, subject: &Subject, filter: &TopicFilter) -> Found {
        let lines = self.lines(Action::Subscribe).iter();
        let lines: Vec<&Line> = lines.filter(|line| line.who.is(&subject.principal)).collect();
        contain::denied_topic(&lines, self.fallback, subject, filter)
    }
}
