//! One alert rule, checked and compiled.

use std::time::Duration;

use bellwire_model::{MetricName, RuleName, Severity};

use crate::engine::flap::Bounds;
use crate::engine::machine::Timing;
use crate::lang::explain::Condition;
use crate::lang::group::GroupSpec;
use crate::lang::names::WindowSpec;
use crate::lang::template::Template;
use crate::rules::schedule::Schedule;

/// What to watch, how long it must hold, and what to say.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) name: RuleName,
    pub(crate) when: Condition,
    pub(crate) clear: Option<Condition>,
    pub(crate) timing: Timing,
    pub(crate) severity: Severity,
    /// Levels above the first, ascending.
    pub(crate) levels: Vec<Level>,
    pub(crate) no_data: NoData,
    pub(crate) flapping: Option<Bounds>,
    pub(crate) schedule: Option<Schedule>,
    /// Whether its alerts stay in sight when they are over, until somebody acknowledges them, where it
    /// says so.
    pub(crate) latch: Option<bool>,
    /// As written.
    pub(crate) select_text: Option<Box<str>>,
    /// Which of the rule set's selections it is.
    pub(crate) select: Option<u32>,
    /// As written.
    pub(crate) summary_text: Box<str>,
    pub(crate) summary: Template,
    /// The metrics it uses; conditions and summary know them by their place here.
    pub(crate) inputs: Vec<MetricName>,
    /// What each of the inputs that it judges must be; empty if it does not matter to the rule, which
    /// then waits for a value that it can judge.
    pub(crate) kinds: Box<[InputKind]>,
    /// Of these, how many `when` and `clear` use: the first ones. The others are only shown.
    pub(crate) n_judged: usize,
    /// The same inputs, by their place in [`crate::RuleSet`]; of a rule about groups, the numbers of
    /// its parts, and of the second in which a member was last heard.
    pub(crate) input_ids: Box<[u32]>,
    /// What it asks of the members, if it is about groups.
    pub(crate) group: Option<Group>,
    /// The windows that conditions know by their place here.
    pub(crate) windows: Vec<WindowSpec>,
    /// Of these, those that are judged anew as readings leave them.
    pub(crate) ebbing: Vec<u16>,
    /// Inputs, and the silence of each after which it is judged anew.
    pub(crate) deadlines: Vec<(u16, Duration)>,
    /// The place in [`crate::RuleSet`] of the rule that this is a variant of; its own if of none.
    pub(crate) base: u32,
}

/// Of a rule about groups of devices.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) spec: GroupSpec,
    /// The members' metrics, by their place in [`crate::RuleSet`].
    pub(crate) input_ids: Box<[u32]>,
    /// How long what a member says counts (`max_gap`).
    pub(crate) fresh: Duration,
}

impl Group {
    /// The numbers of its parts, and of the second in which a member was last heard.
    pub(crate) fn slots(&self) -> Box<[u32]> {
        // The limits of expressions keep it within 32 bits.
        (0..=self.spec.parts.len()).map(|part| u32::try_from(part).unwrap_or(u32::MAX)).collect()
    }
}

/// How bad it is where more than the rule's first condition holds.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) severity: Severity,
    /// Its condition or that of a higher level.
    pub(crate) when: Condition,
    pub(crate) clear: Option<Condition>,
}

/// What a metric must be for a condition to be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// Either.
    #[default]
    Any,
    Number,
    Text,
}

impl InputKind {
    /// What it must be where it must be both this and `other`.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, kind) | (kind, Self::Any) => kind,
            (one, same) if one == same => one,
            _ => Self::Any,
        }
    }
}

/// What becomes of an alert when the readings it needs stop coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoData {
    /// It stays as it is.
    Keep,
    /// It says so after this long, also where all was well.
    Alert(Duration),
    /// It resolves after this long.
    Resolve(Duration),
}

impl NoData {
    /// After how long a silence something happens.
    pub(crate) const fn after(self) -> Option<Duration> {
        match self {
            Self::Keep => None,
            Self::Alert(after) | Self::Resolve(after) => Some(after),
        }
    }
}

impl Rule {
    /// Whether nothing stands between its condition and its alerts.
    pub(crate) fn is_plain(&self) -> bool {
        self.no_data == NoData::Keep && self.flapping.is_none() && self.schedule.is_none()
    }

    /// How bad it is at a level.
    pub(crate) fn severity_at(&self, level: u8) -> Severity {
        let above = usize::from(level).checked_sub(1).and_then(|index| self.levels.get(index));
        above.map_or(self.severity, |level| level.severity)
    }

    /// Whether an alert that was as bad as this stays in sight when it is over, until somebody
    /// acknowledges it (`latch`); critical ones do where the rule does not say.
    #[must_use]
    pub fn latches(&self, severity: Severity) -> bool {
        self.latch.unwrap_or(severity == Severity::Critical)
    }

    /// Its name, unlike any other rule's.
    #[must_use]
    pub const fn name(&self) -> &RuleName {
        &self.name
    }

    /// How bad it is when it fires.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The condition, as written.
    #[must_use]
    pub fn when(&self) -> &str {
        self.when.source()
    }

    /// The condition that clears it, as written; without one it clears when `when` is false.
    #[must_use]
    pub fn clear(&self) -> Option<&str> {
        self.clear.as_ref().map(Condition::source)
    }

    /// How long the condition must hold before it fires (`for`), in event time.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.timing.hold
    }

    /// How long it stays after it has cleared (`keep_firing_for`), in event time.
    #[must_use]
    pub const fn keep_firing(&self) -> Duration {
        self.timing.keep_firing
    }

    /// The longest time without a reading that does not break `for` (`max_gap`), in event time.
    #[must_use]
    pub const fn max_gap(&self) -> Duration {
        self.timing.max_gap
    }

    /// Whether it is about groups of devices, not about each.
    #[must_use]
    pub const fn is_about_groups(&self) -> bool {
        self.group.is_some()
    }

    /// Which devices it is for, as written; without it, all.
    #[must_use]
    pub fn select(&self) -> Option<&str> {
        self.select_text.as_deref()
    }

    /// What operators read, as written.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary_text
    }

    /// The metrics it uses.
    #[must_use]
    pub fn metrics(&self) -> &[MetricName] {
        &self.inputs
    }

    /// Whether `other` decides the same from the same readings, durations aside.
    #[must_use]
    pub fn decides_like(&self, other: &Self) -> bool {
        let clear = same(self.clear.as_ref(), other.clear.as_ref());
        let levels = self.levels.len() == other.levels.len()
            && self.levels.iter().zip(&other.levels).all(|(mine, theirs)| {
                mine.severity == theirs.severity
                    && mine.when.decides_like(&theirs.when)
                    && same(mine.clear.as_ref(), theirs.clear.as_ref())
            });
        let judged = match (&self.group, &other.group) {
            (None, None) => self.inputs[..self.n_judged] == other.inputs[..other.n_judged],
            (Some(mine), Some(theirs)) => mine.spec == theirs.spec && mine.fresh == theirs.fresh,
            _ => false,
        };
        let windows = self.windows == other.windows;
        let others = self.schedule == other.schedule && self.no_data == other.no_data;
        clear && levels && judged && windows && others && self.when.decides_like(&other.when)
    }
}

fn same(mine: Option<&Condition>, theirs: Option<&Condition>) -> bool {
    match (mine, theirs) {
        (None, None) => true,
        (Some(mine), Some(theirs)) => mine.decides_like(theirs),
        _ => false,
    }
}
