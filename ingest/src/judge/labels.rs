//! What a record says of devices beside readings: to the registry, and to the rules.

use std::sync::Arc;

use bellwire_model::{DeviceKey, DevicePatch, Noted, Profile};

use super::core::Judge;
use crate::group::Group;
use crate::ports::{Moment, Rules};

impl<R: Rules> Judge<R> {
    /// Takes what operators say of devices.
    pub(super) fn register(
        &mut self,
        moment: Moment,
        changes: &[(DeviceKey, DevicePatch)],
        group: &mut Group,
    ) {
        let names = self.names.read();
        let place = (moment.position, moment.received_at);
        let noted = self.registry.write(|registry| {
            let all = changes.iter();
            let noted =
                all.map(|(key, patch)| (*key, registry.patch(names.device(*key), patch, place)));
            noted.collect::<Vec<_>>()
        });
        drop(names);
        self.relabel(moment, noted, group);
    }

    /// Takes what devices say of themselves, before their readings are judged.
    pub(super) fn take_births(&mut self, moment: Moment, first: usize, group: &mut Group) {
        let said = &group.output.labels[first..];
        if said.is_empty() {
            return;
        }
        let names = self.names.read();
        let noted = self.registry.write(|registry| {
            let noted = said.iter().map(|said| {
                let labels = (said.base, &said.labels[..]);
                let device = names.device(said.device);
                (said.device, registry.born(device, labels, moment.received_at))
            });
            noted.collect::<Vec<_>>()
        });
        drop(names);
        self.relabel(moment, noted, group);
    }

    /// Tells the rules and *keep* what is otherwise now.
    fn relabel(&mut self, moment: Moment, noted: Vec<(DeviceKey, Noted)>, group: &mut Group) {
        let mut changed: Vec<(DeviceKey, Arc<Profile>)> = Vec::new();
        for (key, noted) in noted {
            match noted {
                Noted::Changed(profile) => changed.push((key, profile)),
                Noted::Same => {}
                Noted::Refused => group.n_labels_refused += 1,
            }
        }
        if changed.is_empty() {
            return;
        }
        group.profiled.extend(changed.iter().map(|(key, _)| *key));
        self.rules.relabel(&changed, moment, &self.names.read(), &mut group.transitions);
    }
}
