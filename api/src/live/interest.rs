//! Who wants the readings of which device, and a cheap answer to "does anyone?".
//!
//! *Judge* asks [`Interest::wants`] for every observation, so that costs three relaxed loads and
//! no lock. What it is told may be a moment old.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bellwire_model::names::DEVICES_MAX;
use bellwire_model::{DeviceId, DeviceKey, Names, SharedNames};
use hashbrown::HashMap;

use crate::live::client::Client;

/// Which devices' readings one client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// None.
    #[default]
    Nothing,
    /// These, whether they have spoken yet or not.
    Devices(Vec<DeviceId>),
    /// All.
    Everything,
}

/// Who wants the readings of which device.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// How many want everything.
    n_everything: AtomicUsize,
    /// A bit per device key, made when the first client subscribes: 125 KB.
    bits: OnceLock<Box<[AtomicU64]>>,
    /// Devices with this key or a greater one may be among those that were wanted before they had
    /// one; the number of keys + 1, so that 0 says no one waits for such a device.
    unresolved_from: AtomicU32,
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct Routes {
    everything: Vec<Arc<Client>>,
    by_device: HashMap<DeviceKey, Vec<Arc<Client>>>,
    /// Wanted devices that no one has heard of.
    unresolved: HashMap<DeviceId, Vec<Arc<Client>>>,
}

impl Interest {
    /// Whether someone may want the readings of `device`.
    pub(crate) fn wants(&self, device: DeviceKey) -> bool {
        if self.n_everything.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let from = self.unresolved_from.load(Ordering::Relaxed);
        if from > 0 && device.0 >= from - 1 {
            return true;
        }
        self.bits.get().is_some_and(|bits| {
            let bit = 1 << (device.0 % 64);
            bits.get(device.index() / 64).is_some_and(|w| w.load(Ordering::Relaxed) & bit != 0)
        })
    }

    /// Changes what `client` wants from `old` to `new`.
    pub(crate) fn change(
        &self,
        client: &Arc<Client>,
        old: &Subscription,
        new: &Subscription,
        names: &SharedNames,
    ) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        self.withdraw(&mut routes, client, old, names);
        match new {
            Subscription::Nothing => {}
            Subscription::Everything => {
                routes.everything.push(Arc::clone(client));
                self.n_everything.fetch_add(1, Ordering::Relaxed);
            }
            Subscription::Devices(devices) => {
                for device in devices {
                    let waiting = routes.unresolved.entry(device.clone()).or_default();
                    waiting.push(Arc::clone(client));
                }
            }
        }
        self.resolve(&mut routes, &names.read());
    }

    fn withdraw(
        &self,
        routes: &mut Routes,
        client: &Arc<Client>,
        old: &Subscription,
        names: &SharedNames,
    ) {
        let others = |other: &Arc<Client>| !Arc::ptr_eq(other, client);
        let devices = match old {
            Subscription::Nothing => return,
            Subscription::Everything => {
                routes.everything.retain(others);
                self.n_everything.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            Subscription::Devices(devices) => devices,
        };
        let names = names.read();
        for device in devices {
            if let Some(waiting) = routes.unresolved.get_mut(device) {
                waiting.retain(others);
                if waiting.is_empty() {
                    routes.unresolved.remove(device);
                }
            }
            let Some(key) = names.device_key(device.as_str()) else { continue };
            if let Some(clients) = routes.by_device.get_mut(&key) {
                clients.retain(others);
                if clients.is_empty() {
                    routes.by_device.remove(&key);
                    let (word, bit) = self.bit(key);
                    word.fetch_and(!bit, Ordering::Relaxed);
                }
            }
        }
    }

    /// Finds the keys of wanted devices that have one by now.
    fn resolve(&self, routes: &mut Routes, names: &Names) {
        let Routes { by_device, unresolved, .. } = routes;
        unresolved.retain(|device, clients| {
            let Some(key) = names.device_key(device.as_str()) else { return true };
            by_device.entry(key).or_default().append(clients);
            let (word, bit) = self.bit(key);
            word.fetch_or(bit, Ordering::Relaxed);
            false
        });
        let n_names = u32::try_from(names.devices().len()).unwrap_or(u32::MAX - 1);
        let from = if routes.unresolved.is_empty() { 0 } else { n_names + 1 };
        self.unresolved_from.store(from, Ordering::Relaxed);
    }

    /// The word that has the bit of a device, and the bit. Keys are below [`DEVICES_MAX`].
    fn bit(&self, key: DeviceKey) -> (&AtomicU64, u64) {
        let bits = self
            .bits
            .get_or_init(|| (0..DEVICES_MAX.div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
        (&bits[key.index() / 64], 1 << (key.0 % 64))
    }

    /// Calls `deliver` with every client that wants `device`'s readings, for each `device` of
    /// `devices` and its index.
    pub(crate) fn route(
        &self,
        devices: impl Iterator<Item = DeviceKey>,
        names: &Names,
        mut deliver: impl FnMut(usize, &Arc<Client>),
    ) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, device) in devices.enumerate() {
            let from = self.unresolved_from.load(Ordering::Relaxed);
            if from > 0 && device.0 >= from - 1 {
                self.resolve(&mut routes, names);
            }
            let ours = routes.by_device.get(&device).into_iter().flatten();
            for client in routes.everything.iter().chain(ours) {
                deliver(index, client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).expect("valid")
    }

    fn names(known: &[&str]) -> SharedNames {
        let names = SharedNames::default();
        for name in known {
            names.write(|names| names.add_device(&device(name)));
        }
        names
    }

    fn count(interest: &Interest, key: u32, names: &SharedNames) -> usize {
        let mut n = 0;
        interest.route(std::iter::once(DeviceKey(key)), &names.read(), |_, _| n += 1);
        n
    }

    #[test]
    fn only_devices_that_someone_asked_for_are_wanted() {
        let (interest, names) = (Interest::default(), names(&["a", "b"]));
        let client = Arc::new(Client::new(1, 8));
        assert!(!interest.wants(DeviceKey(0)));
        let a = Subscription::Devices(vec![device("a")]);
        interest.change(&client, &Subscription::Nothing, &a, &names);
        assert!(interest.wants(DeviceKey(0)));
        assert!(!interest.wants(DeviceKey(1)));
        assert_eq!(count(&interest, 0, &names), 1);
        interest.change(&client, &a, &Subscription::Everything, &names);
        assert!(interest.wants(DeviceKey(1)));
        assert_eq!(count(&interest, 0, &names), 1, "once, though asked for twice over");
        interest.change(&client, &Subscription::Everything, &Subscription::Nothing, &names);
        assert!(!interest.wants(DeviceKey(0)));
    }

    #[test]
    fn a_device_is_wanted_as_long_as_one_client_wants_it() {
        let (interest, names) = (Interest::default(), names(&["a"]));
        let (one, two) = (Arc::new(Client::new(1, 8)), Arc::new(Client::new(2, 8)));
        let a = Subscription::Devices(vec![device("a")]);
        interest.change(&one, &Subscription::Nothing, &a, &names);
        interest.change(&two, &Subscription::Nothing, &a, &names);
        interest.change(&one, &a, &Subscription::Nothing, &names);
        assert!(interest.wants(DeviceKey(0)));
        assert_eq!(count(&interest, 0, &names), 1);
        interest.change(&two, &a, &Subscription::Nothing, &names);
        assert!(!interest.wants(DeviceKey(0)));
    }

    #[test]
    fn a_device_may_be_asked_for_before_it_speaks() {
        let (interest, names) = (Interest::default(), names(&["a"]));
        let client = Arc::new(Client::new(1, 8));
        let later = Subscription::Devices(vec![device("later")]);
        interest.change(&client, &Subscription::Nothing, &later, &names);
        assert!(!interest.wants(DeviceKey(0)));
        assert!(interest.wants(DeviceKey(1)), "it may be the one");
        names.write(|names| names.add_device(&device("other")));
        assert_eq!(count(&interest, 1, &names), 0);
        assert!(!interest.wants(DeviceKey(1)), "it was another");
        names.write(|names| names.add_device(&device("later")));
        assert_eq!(count(&interest, 2, &names), 1);
        assert!(interest.wants(DeviceKey(2)));
        assert!(!interest.wants(DeviceKey(3)));
        interest.change(&client, &later, &Subscription::Nothing, &names);
        assert!(!interest.wants(DeviceKey(2)));
    }
}
