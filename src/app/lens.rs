//! Which devices a scope chooses, as rules and registry say at the moment; what was found is remembered.

use std::sync::{Arc, Mutex, PoisonError};

use bellwire_alerts::{RuleSet, Selection};
use bellwire_api::ports::{Chooser, SelectionError};
use bellwire_model::{DeviceId, Labels, Profile, SharedRegistry};
use hashbrown::HashMap;

use super::present;
use super::rules::SharedRules;

/// The most devices that are remembered; beyond, all are forgotten and found again.
const REMEMBERED_MAX: usize = 100_000;

/// A selection, beside what labels are taken from.
#[derive(Debug)]
pub(super) struct Lens {
    selection: Selection,
    rules: SharedRules,
    registry: SharedRegistry,
    remembered: Mutex<Remembered>,
}

/// What was found, as long as labels come from the same place.
#[derive(Debug)]
struct Remembered {
    rules: Arc<RuleSet>,
    /// By device: what the registry and births said of it then, and whether it was chosen.
    devices: HashMap<DeviceId, (Option<Arc<Profile>>, bool)>,
}

impl Lens {
    pub(super) fn new(
        select: &str,
        rules: SharedRules,
        registry: SharedRegistry,
    ) -> Result<Self, SelectionError> {
        let selection = present::selection(select)?;
        let remembered = Remembered { rules: rules.load_full(), devices: HashMap::new() };
        Ok(Self { selection, rules, registry, remembered: Mutex::new(remembered) })
    }
}

fn are_same(one: Option<&Arc<Profile>>, other: Option<&Arc<Profile>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Chooser for Lens {
    fn chooses(&self, device: &DeviceId) -> bool {
        let (rules, profile) = (self.rules.load(), self.registry.profile(device));
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&remembered.rules, &rules) {
            *remembered = Remembered { rules: Arc::clone(&rules), devices: HashMap::new() };
        }
        if let Some((seen, chosen)) = remembered.devices.get(device)
            && are_same(seen.as_ref(), profile.as_ref())
        {
            return *chosen;
        }
        let said = rules.said_of(device);
        let labels = profile.as_ref().map_or_else(|| said.clone(), |it| it.around(&said));
        let chosen = self.selection.chooses(device, &labels);
        if remembered.devices.len() >= REMEMBERED_MAX {
            remembered.devices.clear();
        }
        remembered.devices.insert(device.clone(), (profile, chosen));
        chosen
    }

    fn chooses_group(&self, labels: &Labels) -> bool {
        self.selection.chooses_group(labels)
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use bellwire_model::{Base, DevicePatch, LogPosition, Timestamp};

    use super::*;

    fn rules(site: &str) -> Arc<RuleSet> {
        let text = format!("[[labels]]\ndevice = 'f-*'\nset = {{ site = '{site}' }}\n");
        Arc::new(RuleSet::parse(&text).expect("rules"))
    }

    #[test]
    fn a_device_is_chosen_by_the_labels_that_it_has_now() {
        let (shared, registry) = (Arc::new(ArcSwap::new(rules("a"))), SharedRegistry::default());
        let lens = Lens::new("site = 'a'", Arc::clone(&shared), registry.clone()).unwrap();
        let [f, g] = ["f-1", "g-1"].map(|it| DeviceId::new(it).unwrap());
        let seen = || (lens.chooses(&f), lens.chooses(&g));
        assert_eq!((seen(), seen()), ((true, false), (true, false)));
        shared.store(rules("b"));
        assert_eq!(seen(), (false, false));
        let label = |value: &str| vec![("site".into(), Some(value.into()))];
        let put = |value: &str| {
            let patch = DevicePatch::Put(Base::Kept, label(value));
            let moment = (LogPosition(9), Timestamp::EPOCH);
            registry.write(|it| drop(it.patch(&g, &patch, moment)));
        };
        put("a");
        assert_eq!(seen(), (false, true));
        put("c");
        assert_eq!(seen(), (false, false));
        assert!(Lens::new("site = ", shared, registry).is_err());
    }
}
