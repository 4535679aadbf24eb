//! Who wants the readings of which device, and a cheap answer to "does anyone?".
//!
//! *Judge* asks [`Interest::wants`] for every observation, so that costs three relaxed loads and
//! no lock. What it is told may be a moment old. Clients that want the same are one audience, for
//! which labels and metrics are looked at once.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bellwire_model::names::DEVICES_MAX;
use bellwire_model::{
    DeviceId, DeviceKey, Labels, Matchers, MetricKey, MetricName, Names, SharedNames,
};
use hashbrown::HashMap;
use tokio::time::Instant;

use crate::auth::within::Within;
use crate::live::client::Client;

/// How long it takes at most until a change of labels counts.
const LABELS_COUNT_FOR: Duration = Duration::from_secs(1);

/// Which devices, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Devices {
    /// None.
    #[default]
    Nothing,
    /// These, whether they have spoken yet or not.
    Named(Vec<DeviceId>),
    /// All.
    Everything,
}

/// Which readings one client wants: all that all of these allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadingSpec {
    pub(crate) devices: Devices,
    /// Of devices with these labels. Each list must hold: a client's own, and any that bound what it
    /// may see.
    pub(crate) labels: Vec<Matchers>,
    /// Of these metrics; of each if absent.
    pub(crate) metrics: Option<Vec<MetricName>>,
    /// Of what there is for the client at all.
    pub(crate) within: Within,
}

impl ReadingSpec {
    /// Whether no reading is wanted.
    pub(crate) fn is_nothing(&self) -> bool {
        self.devices == Devices::Nothing
    }

    /// Whether readings of a device with these labels are wanted, if it is among `devices`.
    fn wants_device(&self, device: &DeviceId, known: &Labels) -> bool {
        let label = |name: &str| match name {
            "device" => device.as_str(),
            _ => known.get(name).unwrap_or_default(),
        };
        self.labels.iter().all(|labels| labels.is_match(label)) && self.within.has(device)
    }

    fn wants_metric(&self, metric: &MetricName) -> bool {
        self.metrics.as_ref().is_none_or(|metrics| metrics.contains(metric))
    }
}

/// Says which labels a device has.
pub(crate) type LabelsOf<'a> = &'a dyn Fn(&DeviceId) -> Labels;

/// Who wants the readings of which device.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// How many audiences may want any device.
    n_wide: AtomicUsize,
    /// A bit per device key, made when the first client subscribes: 125 KB.
    bits: OnceLock<Box<[AtomicU64]>>,
    /// Devices with this key or a greater one may be among those that were wanted before they had
    /// one; the number of keys + 1, so that 0 says no one waits for such a device.
    unresolved_from: AtomicU32,
    routes: Mutex<Routes>,
}

/// The number of an audience.
type Number = u32;

#[derive(Debug, Default)]
struct Routes {
    audiences: HashMap<Number, Audience>,
    next: Number,
    /// Those that may want any device.
    wide: Vec<Number>,
    by_device: HashMap<DeviceKey, Vec<Number>>,
    /// Wanted devices that no one has heard of.
    unresolved: HashMap<DeviceId, Vec<Number>>,
    /// Since when what is known of labels counts.
    labels_since: Option<Instant>,
}

/// Clients that want the same.
#[derive(Debug)]
struct Audience {
    spec: Arc<ReadingSpec>,
    clients: Vec<Arc<Client>>,
    /// Whether a device's labels are those that are wanted.
    chosen: HashMap<DeviceKey, bool>,
}

impl Audience {
    fn wants(
        &mut self,
        (device, metric): (DeviceKey, MetricKey),
        names: &Names,
        labels_of: LabelsOf<'_>,
    ) -> bool {
        let spec = &self.spec;
        if spec.metrics.is_some() && !spec.wants_metric(names.metric(metric)) {
            return false;
        }
        if spec.labels.is_empty() && spec.within.is_everything() {
            return true;
        }
        let id = names.device(device);
        *self.chosen.entry(device).or_insert_with(|| spec.wants_device(id, &labels_of(id)))
    }
}

impl Interest {
    /// Whether someone may want the readings of `device`.
    pub(crate) fn wants(&self, device: DeviceKey) -> bool {
        if self.n_wide.load(Ordering::Relaxed) > 0 {
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
        old: &ReadingSpec,
        new: &ReadingSpec,
        names: &SharedNames,
    ) {
        if old.is_nothing() && new.is_nothing() {
            return;
        }
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        self.withdraw(&mut routes, client, old, names);
        if !new.is_nothing() {
            self.admit(&mut routes, client, new);
        }
        self.resolve(&mut routes, &names.read());
    }

    /// Puts `client` into the audience that wants the same, or a new one.
    fn admit(&self, routes: &mut Routes, client: &Arc<Client>, spec: &ReadingSpec) {
        if let Some(audience) = routes.audiences.values_mut().find(|it| *it.spec == *spec) {
            audience.clients.push(Arc::clone(client));
            return;
        }
        let number = routes.next;
        routes.next += 1;
        match &spec.devices {
            Devices::Nothing => {}
            Devices::Everything => {
                routes.wide.push(number);
                self.n_wide.fetch_add(1, Ordering::Relaxed);
            }
            Devices::Named(devices) => {
                for device in devices {
                    routes.unresolved.entry(device.clone()).or_default().push(number);
                }
            }
        }
        let (spec, clients) = (Arc::new(spec.clone()), vec![Arc::clone(client)]);
        routes.audiences.insert(number, Audience { spec, clients, chosen: HashMap::new() });
    }

    fn withdraw(
        &self,
        routes: &mut Routes,
        client: &Arc<Client>,
        old: &ReadingSpec,
        names: &SharedNames,
    ) {
        let found = routes.audiences.iter_mut().find(|(_, it)| *it.spec == *old);
        let Some((&number, audience)) = found else { return };
        audience.clients.retain(|other| !Arc::ptr_eq(other, client));
        if !audience.clients.is_empty() {
            return;
        }
        routes.audiences.remove(&number);
        let others = |other: &Number| *other != number;
        let devices = match &old.devices {
            Devices::Nothing => return,
            Devices::Everything => {
                routes.wide.retain(others);
                self.n_wide.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            Devices::Named(devices) => devices,
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
            if let Some(audiences) = routes.by_device.get_mut(&key) {
                audiences.retain(others);
                if audiences.is_empty() {
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
        unresolved.retain(|device, audiences| {
            let Some(key) = names.device_key(device.as_str()) else { return true };
            by_device.entry(key).or_default().append(audiences);
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

    /// Calls `deliver` with every client that wants it, for each of `readings` and its index.
    pub(crate) fn route(
        &self,
        readings: impl Iterator<Item = (DeviceKey, MetricKey)>,
        names: &Names,
        labels_of: LabelsOf<'_>,
        mut deliver: impl FnMut(usize, &Arc<Client>),
    ) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.look_again_at_labels();
        for (index, reading) in readings.enumerate() {
            let device = reading.0;
            let from = self.unresolved_from.load(Ordering::Relaxed);
            if from > 0 && device.0 >= from - 1 {
                self.resolve(&mut routes, names);
            }
            let Routes { audiences, wide, by_device, .. } = &mut *routes;
            let named = by_device.get(&device).into_iter().flatten();
            for number in wide.iter().chain(named) {
                let Some(audience) = audiences.get_mut(number) else { continue };
                if audience.wants(reading, names, labels_of) {
                    audience.clients.iter().for_each(|client| deliver(index, client));
                }
            }
        }
    }
}

impl Routes {
    /// Forgets what is known of labels, if that is long ago.
    fn look_again_at_labels(&mut self) {
        let now = Instant::now();
        if self.labels_since.is_none_or(|since| now - since >= LABELS_COUNT_FOR) {
            self.labels_since = Some(now);
            self.audiences.values_mut().for_each(|audience| audience.chosen.clear());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).expect("valid")
    }

    fn metric(name: &str) -> MetricName {
        MetricName::new(name).expect("valid")
    }

    fn names(known: &[&str]) -> SharedNames {
        let names = SharedNames::default();
        names.write(|names| names.add_metric(&metric("temperature")));
        names.write(|names| names.add_metric(&metric("door")));
        for name in known {
            names.write(|names| names.add_device(&device(name)));
        }
        names
    }

    fn nothing() -> ReadingSpec {
        ReadingSpec::default()
    }

    fn of(devices: Devices) -> ReadingSpec {
        ReadingSpec { devices, ..ReadingSpec::default() }
    }

    fn named(name: &str) -> ReadingSpec {
        of(Devices::Named(vec![device(name)]))
    }

    fn count(interest: &Interest, key: u32, names: &SharedNames) -> usize {
        let mut n = 0;
        let reading = (DeviceKey(key), MetricKey(0));
        let unlabelled = |_: &DeviceId| Labels::default();
        interest.route(std::iter::once(reading), &names.read(), &unlabelled, |_, _| n += 1);
        n
    }

    #[test]
    fn only_devices_that_someone_asked_for_are_wanted() {
        let (interest, names) = (Interest::default(), names(&["a", "b"]));
        let client = Arc::new(Client::new(1, 8));
        assert!(!interest.wants(DeviceKey(0)));
        let a = named("a");
        interest.change(&client, &nothing(), &a, &names);
        assert!(interest.wants(DeviceKey(0)));
        assert!(!interest.wants(DeviceKey(1)));
        assert_eq!(count(&interest, 0, &names), 1);
        interest.change(&client, &a, &of(Devices::Everything), &names);
        assert!(interest.wants(DeviceKey(1)));
        assert_eq!(count(&interest, 0, &names), 1, "once, though asked for twice over");
        interest.change(&client, &of(Devices::Everything), &nothing(), &names);
        assert!(!interest.wants(DeviceKey(0)));
    }

    #[test]
    fn a_device_is_wanted_as_long_as_one_client_wants_it() {
        let (interest, names) = (Interest::default(), names(&["a"]));
        let (one, two) = (Arc::new(Client::new(1, 8)), Arc::new(Client::new(2, 8)));
        let a = named("a");
        interest.change(&one, &nothing(), &a, &names);
        interest.change(&two, &nothing(), &a, &names);
        assert_eq!(count(&interest, 0, &names), 2);
        interest.change(&one, &a, &nothing(), &names);
        assert!(interest.wants(DeviceKey(0)));
        assert_eq!(count(&interest, 0, &names), 1);
        interest.change(&two, &a, &nothing(), &names);
        assert!(!interest.wants(DeviceKey(0)));
    }

    #[test]
    fn a_device_may_be_asked_for_before_it_speaks() {
        let (interest, names) = (Interest::default(), names(&["a"]));
        let client = Arc::new(Client::new(1, 8));
        let later = named("later");
        interest.change(&client, &nothing(), &later, &names);
        assert!(!interest.wants(DeviceKey(0)));
        assert!(interest.wants(DeviceKey(1)), "it may be the one");
        names.write(|names| names.add_device(&device("other")));
        assert_eq!(count(&interest, 1, &names), 0);
        assert!(!interest.wants(DeviceKey(1)), "it was another");
        names.write(|names| names.add_device(&device("later")));
        assert_eq!(count(&interest, 2, &names), 1);
        assert!(interest.wants(DeviceKey(2)));
        assert!(!interest.wants(DeviceKey(3)));
        interest.change(&client, &later, &nothing(), &names);
        assert!(!interest.wants(DeviceKey(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn labels_and_metrics_are_looked_at_once_for_all_who_want_the_same() {
        let (interest, names) = (Interest::default(), names(&["a", "b"]));
        let site = std::cell::Cell::new("berlin");
        let n_asked = std::cell::Cell::new(0);
        let labels_of = |_: &DeviceId| {
            n_asked.set(n_asked.get() + 1);
            [(Arc::from("site"), Arc::from(site.get()))].into_iter().collect::<Labels>()
        };
        let spec = ReadingSpec {
            devices: Devices::Everything,
            labels: vec![Matchers::parse("site=berlin,device!=b").expect("valid")],
            metrics: Some(vec![metric("door")]),
            within: Within::default(),
        };
        for id in 0..3 {
            interest.change(&Arc::new(Client::new(id, 8)), &nothing(), &spec, &names);
        }
        let count = |device, metric| {
            let mut n = 0;
            let reading = std::iter::once((DeviceKey(device), MetricKey(metric)));
            interest.route(reading, &names.read(), &labels_of, |_, _| n += 1);
            n
        };
        assert!(interest.wants(DeviceKey(0)));
        assert_eq!((count(0, 0), count(0, 1), count(0, 1), count(1, 1)), (0, 3, 3, 0));
        assert_eq!(n_asked.get(), 2, "once for each device");
        site.set("paris");
        tokio::time::advance(LABELS_COUNT_FOR).await;
        assert_eq!(count(0, 1), 0, "it has moved out");
        site.set("berlin");
        tokio::time::advance(LABELS_COUNT_FOR).await;
        assert_eq!(count(0, 1), 3, "and in again");
    }
}
