//! Which devices are connected.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bellwire_model::{DeviceId, Presence};
use hashbrown::HashMap;
use tokio::sync::Notify;

/// How many connections each device has, and whose number has become, or ceased to be, zero since that
/// was last asked. However often a device comes and goes meanwhile, only how it stands is told.
#[derive(Debug, Default)]
pub struct Presences {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    connections: HashMap<DeviceId, u32>,
    /// Each device once: no more than there are.
    changed: BTreeSet<DeviceId>,
}

impl Presences {
    /// The devices that came or went since the last call, by name; waits until there are some.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not given yet is given the next time.
    pub async fn changes(&self) -> Vec<(DeviceId, Presence)> {
        loop {
            let changed = self.changed.notified();
            let changes = self.take_changes();
            if !changes.is_empty() {
                return changes;
            }
            changed.await;
        }
    }

    fn take_changes(&self) -> Vec<(DeviceId, Presence)> {
        let mut state = self.state();
        let devices = std::mem::take(&mut state.changed).into_iter();
        let standing = devices.map(|device| {
            let presence = Presence::from(state.connections.contains_key(&device));
            (device, presence)
        });
        standing.collect()
    }

    /// How a device stands now.
    #[must_use]
    pub fn of(&self, device: &DeviceId) -> Presence {
        Presence::from(self.state().connections.contains_key(device))
    }

    /// A connection of `device` begins.
    pub(crate) fn enter(&self, device: &DeviceId) {
        let mut state = self.state();
        let n = state.connections.entry_ref(device).or_default();
        *n += 1;
        if *n == 1 {
            state.changed.insert(device.clone());
            self.changed.notify_one();
        }
    }

    /// A connection of `device` that entered has ended.
    pub(crate) fn leave(&self, device: &DeviceId) {
        let mut state = self.state();
        let Some(n) = state.connections.get_mut(device) else { return };
        *n -= 1;
        if *n == 0 {
            state.connections.remove(device);
            state.changed.insert(device.clone());
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it is left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).expect("valid")
    }

    #[tokio::test]
    async fn only_the_first_and_the_last_connection_count() {
        let presences = Presences::default();
        let (a, b) = (device("a"), device("b"));
        presences.enter(&b);
        presences.enter(&a);
        let both = [(a.clone(), Presence::Online), (b.clone(), Presence::Online)];
        assert_eq!(presences.changes().await, both);
        presences.enter(&a);
        presences.leave(&a);
        presences.leave(&b);
        assert_eq!(presences.changes().await, [(b.clone(), Presence::Offline)]);
        assert_eq!((presences.of(&a), presences.of(&b)), (Presence::Online, Presence::Offline));
    }

    #[tokio::test]
    async fn who_waits_hears_of_it() {
        let presences = Presences::default();
        let coming = async {
            tokio::task::yield_now().await;
            presences.enter(&device("a"));
        };
        let (changes, ()) = tokio::join!(presences.changes(), coming);
        assert_eq!(changes, [(device("a"), Presence::Online)]);
    }

    #[tokio::test]
    async fn one_that_went_and_came_is_told_as_it_stands() {
        let presences = Presences::default();
        presences.enter(&device("a"));
        presences.changes().await;
        presences.leave(&device("a"));
        presences.enter(&device("a"));
        assert_eq!(presences.changes().await, [(device("a"), Presence::Online)]);
    }
}
