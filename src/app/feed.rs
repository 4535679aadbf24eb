//! *Judge* → live feed: transitions to the hub, readings only of devices that someone watches; and
//! which nodes of Sparkplug must tell all again.

use std::sync::Arc;

use bellwire_api::Hub;
use bellwire_ingest::group::Group;
use bellwire_ingest::ports::{Feed, Phase};
use bellwire_model::{Alert, LogPosition, StageTimes};

use super::rebirth::Asking;

/// The hub, as *judge* sees it.
#[derive(Debug)]
pub struct HubFeed {
    hub: Arc<Hub>,
    rebirths: Asking,
}

impl HubFeed {
    /// A feed into `hub`; nodes that must tell all again go to `rebirths`.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, rebirths: Asking) -> Self {
        Self { hub, rebirths }
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
