//! Who is told of which alerts, and how: the routes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::Matchers;

use super::facts::Labels;
use super::group::GroupKey;

/// How often a receiver that groups by itself is told what fires. Alertmanager takes for over what it
/// has not heard of for a while.
pub const MIRROR_REPEAT: Duration = Duration::from_secs(60);

/// How a receiver wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A message says how a whole group stands.
    Grouped,
    /// Each alert is told as it is, and again and again while it fires: the receiver groups.
    Mirrored,
}

/// Somebody who is told: an address of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverPlan {
    /// What it is remembered by over restarts.
    pub key: Arc<str>,
    /// How it wants to be told.
    pub style: Style,
    /// The most alerts in one message, at least 1.
    pub alerts_max: usize,
}

/// Which alerts are told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Those with the same values of these labels.
    Labels(Vec<Box<str>>),
    /// Each for itself.
    EachAlert,
}

/// When a line of a group has something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) wait: Duration,
    pub(super) interval: Duration,
    pub(super) repeat: Duration,
}

/// Which alerts go to which receivers.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    /// What it is remembered by over restarts: another text is another route.
    pub key: Arc<str>,
    /// Which alerts.
    pub matchers: Matchers,
    /// Only those that were escalated so far.
    pub escalation: u8,
    /// To whom: indexes of receivers.
    pub receivers: Vec<usize>,
    /// Which are told together.
    pub group_by: GroupBy,
    /// How long the first of a group waits for others.
    pub group_wait: Duration,
    /// The least time between two messages of a group.
    pub group_interval: Duration,
    /// How often what still fires is told again.
    pub repeat_interval: Duration,
    /// Whether the routes behind it are looked at too.
    pub goes_on: GoesOn,
}

/// Whether the routes behind one that matches are looked at too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GoesOn {
    /// They are not.
    #[default]
    No,
    /// They are.
    Yes,
}

/// All routes and receivers.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The first that matches is taken.
    pub routes: Vec<RoutePlan>,
    /// Everyone who is told.
    pub receivers: Vec<ReceiverPlan>,
}

impl Plan {
    /// The groups that an alert belongs to.
    pub(super) fn groups_of(&self, labels: &Labels, escalation: u8) -> BTreeSet<GroupKey> {
        let mut groups = BTreeSet::new();
        let label_of = |name: &str| labels.get(name).map_or("", |value| &**value);
        for (index, route) in self.routes.iter().enumerate() {
            if escalation < route.escalation || !route.matchers.is_match(label_of) {
                continue;
            }
            let (mirrors, others): (Vec<usize>, Vec<usize>) =
                route.receivers.iter().partition(|&&it| self.is_mirror(it));
            groups.extend(mirrors.into_iter().map(|receiver| GroupKey::Mirror { receiver }));
            if !others.is_empty() {
                groups.insert(GroupKey::Route { route: index, labels: route.common(labels) });
            }
            if route.goes_on == GoesOn::No {
                break;
            }
        }
        groups
    }

    fn is_mirror(&self, receiver: usize) -> bool {
        self.receivers[receiver].style == Style::Mirrored
    }

    /// When and to whom a group is told.
    pub(super) fn of_group(&self, key: &GroupKey) -> (Timing, Vec<usize>) {
        match key {
            GroupKey::Route { route, .. } => {
                let route = &self.routes[*route];
                let timing = Timing {
                    wait: route.group_wait,
                    interval: route.group_interval,
                    repeat: route.repeat_interval,
                };
                let receivers = route.receivers.iter().copied();
                (timing, receivers.filter(|&it| !self.is_mirror(it)).collect())
            }
            GroupKey::Mirror { receiver } => {
                let (wait, interval) = (Duration::ZERO, Duration::ZERO);
                (Timing { wait, interval, repeat: MIRROR_REPEAT }, vec![*receiver])
            }
        }
    }
}

impl RoutePlan {
    /// The labels that make an alert's group.
    fn common(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::EachAlert => labels.clone(),
            GroupBy::Labels(names) => {
                let of = |name: &str| Some((name.into(), labels.get(name)?.clone()));
                names.iter().filter_map(|name| of(name)).collect()
            }
        }
    }
}
