//! *Judge* → live feed: transitions to the hub, readings only of devices that someone watches; which nodes of
//! Sparkplug must tell all again; and which devices there are new commands for.

use std::sync::Arc;

use bellwire_api::Hub;
use bellwire_ingest::group::Group;
use bellwire_ingest::ports::{Feed, Phase};
use bellwire_model::{Alert, LogPosition, StageTimes};

use super::commands::Bell;
use super::rebirth::Asking;

/// The hub, as *judge* sees it.
#[derive(Debug)]
pub struct HubFeed {
    hub: Arc<Hub>,
    rebirths: Asking,
    commands: Bell,
}

impl HubFeed {
    /// A feed into `hub`; nodes that must tell all again go to `rebirths`, changes of commands to
    /// `commands`.
    #[must_use]
    pub(super) const fn new(hub: Arc<Hub>, rebirths: Asking, commands: Bell) -> Self {
        Self { hub, rebirths, commands }
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
