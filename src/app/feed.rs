//! *Judge* → live feed: transitions to the hub, readings only of devices that someone watches; which nodes of
//! Sparkplug must tell all again; which devices there are new commands for; and that there is something to
//! send to others.

use std::sync::Arc;

use bellwire_api::Hub;
use bellwire_api::ports::DeviceLabels;
use bellwire_ingest::group::Group;
use bellwire_ingest::ports::{Feed, Phase};
use bellwire_model::{Alert, DeviceId, Labels, LogPosition, SharedRegistry, StageTimes};
use tokio::sync::watch;

use super::commands::Bell;
use super::rebirth::Asking;
use super::rules::SharedRules;

/// The hub, as *judge* sees it.
#[derive(Debug)]
pub struct HubFeed {
    hub: Arc<Hub>,
    rebirths: Asking,
    commands: Bell,
    /// Rung when there are new transitions.
    transitions: watch::Sender<()>,
}

impl HubFeed {
    /// A feed into `hub`; nodes that must tell all again go to `rebirths`, changes of commands to
    /// `commands`; that there are new transitions is told by `transitions`.
    #[must_use]
    pub(super) const fn new(
        hub: Arc<Hub>,
        rebirths: Asking,
        commands: Bell,
        transitions: watch::Sender<()>,
    ) -> Self {
        Self { hub, rebirths, commands, transitions }
    }
}

/// The labels of devices that count, as rules see them.
#[derive(Debug)]
pub(super) struct KnownLabels {
    rules: SharedRules,
    registry: SharedRegistry,
}

impl KnownLabels {
    /// What these rules and this registry say together.
    pub(super) const fn new(rules: SharedRules, registry: SharedRegistry) -> Self {
        Self { rules, registry }
    }
}

impl DeviceLabels for KnownLabels {
    fn labels(&self, device: &DeviceId) -> Labels {
        self.rules.load().labels_of(device, &self.registry.read())
    }
}

impl Feed for HubFeed {
    fn judged(&mut self, group: &Group, times: StageTimes, phase: Phase) {
        if phase == Phase::Recovery {
            return;
        }
        for topic in &group.rebirths {
            self.rebirths.ask(topic);
        }
        self.commands.changed(group.commands.iter().map(|(_, command)| command));
        for transition in &group.transitions {
            let times = StageTimes { received: transition.received_at, ..times };
            self.hub.transition(transition, times);
        }
        if !group.transitions.is_empty() {
            self.transitions.send_replace(());
        }
        for span in &group.output.spans {
            if self.hub.wants(span.device) {
                let first = span.first as usize;
                self.hub.readings(&group.output.readings[first..first + span.len as usize]);
            }
        }
    }

    fn recovered(&mut self, end: LogPosition, active: Vec<Alert>) {
        self.hub.set_snapshot(end, active);
    }
}
