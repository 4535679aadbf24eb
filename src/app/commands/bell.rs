//! *Judge* → whoever brings commands: there is a new one for these devices.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwire_ingest::commands::SharedCommands;
use bellwire_model::{Command, CommandState, DeviceId};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tokio::sync::Notify;

/// Which devices there is a new command for; each once. Clones are the same bell.
#[derive(Clone, Debug)]
pub(in crate::app) struct Bell {
    commands: SharedCommands,
    waiting: Arc<Waiting>,
    states: IntCounterVec,
    open: IntGauge,
}

#[derive(Debug, Default)]
struct Waiting {
    devices: Mutex<BTreeSet<DeviceId>>,
    rung: Notify,
}

impl Waiting {
    fn devices(&self) -> MutexGuard<'_, BTreeSet<DeviceId>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    /// A bell that was not rung.
    ///
    /// # Errors
    /// If a metric's name is taken.
    pub(in crate::app) fn new(
        commands: SharedCommands,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let states = IntCounterVec::new(
            Opts::new("bellwire_commands_total", "Commands that came into a state."),
            &["state"],
        )?;
        for state in CommandState::ALL {
            states.with_label_values(&[state.label()]);
        }
        let open = IntGauge::new("bellwire_commands_open", "Commands of which more is expected.")?;
        registry.register(Box::new(states.clone()))?;
        registry.register(Box::new(open.clone()))?;
        Ok(Self { commands, waiting: Arc::default(), states, open })
    }

    /// The commands, as *judge* has them.
    pub(in crate::app) const fn commands(&self) -> &SharedCommands {
        &self.commands
    }

    /// These have changed, just now.
    pub(in crate::app) fn changed<'a>(&self, changed: impl Iterator<Item = &'a Command>) {
        let mut any = false;
        for command in changed {
            any = true;
            self.states.with_label_values(&[command.state.label()]).inc();
            if command.state == CommandState::Queued {
                self.waiting.devices().insert(command.device.clone());
                self.waiting.rung.notify_one();
            }
        }
        if any {
            self.count();
            self.commands.tell();
        }
    }

    /// Says how many are open.
    pub(in crate::app) fn count(&self) {
        let n_open = self.commands.with(|it| it.n_open());
        self.open.set(i64::try_from(n_open).unwrap_or(i64::MAX));
    }

    /// The devices that there is something new for; waits until there are some.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn rung(&self) -> BTreeSet<DeviceId> {
        loop {
            let rung = self.waiting.rung.notified();
            let devices = std::mem::take(&mut *self.waiting.devices());
            if !devices.is_empty() {
                return devices;
            }
            rung.await;
        }
    }
}
