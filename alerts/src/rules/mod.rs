//! A rules file, checked and compiled.

pub(crate) mod body;
mod conditions;
pub(crate) mod field;
pub(crate) mod file;
pub(crate) mod handling;
pub(crate) mod keys;
pub(crate) mod labels;
pub mod one;
pub(crate) mod options;
pub(crate) mod place;
pub(crate) mod rule;
pub(crate) mod schedule;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{DeviceId, Labels, MetricName, Registry};
use hashbrown::HashMap;

use crate::error::RuleError;
use crate::lang::select::Select;
use handling::{Escalation, Inhibit};
use labels::LabelRule;
use rule::Rule;

/// The longest rules file, in bytes.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most rules in a file.
pub const RULES_MAX: usize = 10_000;
/// The most `[[labels]]` entries in a file.
pub const LABELS_MAX: usize = 10_000;

/// The labels by which a group is known, and what they say.
pub(crate) type GroupLabels = Vec<(Box<str>, Box<str>)>;

/// All rules and labels of one file. It never changes; a changed file is another set.
#[derive(Default)]
pub struct RuleSet {
    text: Arc<str>,
    version: u64,
    rules: Vec<Rule>,
    /// Rules with other parameters for some devices; their places go on behind those of `rules`.
    variants: Vec<Rule>,
    /// For each of `rules`, the selections of its variants and their places; the first that chooses a
    /// device counts.
    variants_of: Vec<Vec<(u32, u32)>>,
    /// The places of the rules about groups, ascending.
    group_rules: Vec<u32>,
    /// How long a reading may come after others of its device that are younger.
    lateness: Duration,
    /// Places of the rules by name.
    by_name: HashMap<Box<str>, u32>,
    /// The selections, each text once.
    selects: Vec<Select>,
    labels: Vec<LabelRule>,
    pub(crate) inhibits: Vec<Inhibit>,
    pub(crate) escalations: Vec<Escalation>,
    /// The metrics that any rule uses, each once.
    inputs: HashMap<MetricName, u32>,
}

impl RuleSet {
    /// Reads and checks the text of a rules file.
    ///
    /// # Errors
    /// Everything that is wrong with it, by line; never empty. One syntax error hides what else is
    /// wrong with the same expression, and a file that is no TOML hides everything else.
    pub fn parse(text: &str) -> Result<Self, Vec<RuleError>> {
        file::read(text)
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A hash of the text (FNV-1a, 64 bits): it never changes for the same text. 0 for no file.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The rules, in file order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How long a reading may come after younger ones of its device and still be judged where it
    /// belongs (`lateness`), in event time.
    #[must_use]
    pub const fn lateness(&self) -> Duration {
        self.lateness
    }

    /// The rule with this name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.index_of(name).map(|index| self.at(index))
    }

    /// What the file's `[[labels]]` say about `device`. Where several entries give the same label,
    /// the last of them wins. The label `device`, which selections may use, is not listed.
    #[must_use]
    pub fn said_of(&self, device: &DeviceId) -> Labels {
        labels::labels_of(&self.labels, device)
    }

    /// The labels of `device` that count: what the registry says, else the file, else its births.
    #[must_use]
    pub fn labels_of(&self, device: &DeviceId, registry: &Registry) -> Labels {
        let said = self.said_of(device);
        match registry.get(device) {
            Some(profile) => profile.around(&said),
            None => said,
        }
    }

    /// The rules that are for `device`, by their place, ascending.
    pub(crate) fn rules_for(&self, device: &DeviceId, registry: &Registry) -> Vec<u32> {
        let labels = self.labels_of(device, registry);
        let label_of = |name: &str| match name {
            "device" => device.as_str(),
            _ => labels.get(name).unwrap_or_default(),
        };
        let chosen: Vec<bool> =
            self.selects.iter().map(|select| select.chooses(&label_of)).collect();
        (0_u32..)
            .zip(&self.rules)
            .filter(|(_, rule)| rule.group.is_none())
            .filter(|(_, rule)| rule.select.is_none_or(|select| chosen[select as usize]))
            .map(|(index, _)| {
                let variants = self.variants_of[index as usize].iter();
                let chosen = variants.copied().find(|(select, _)| chosen[*select as usize]);
                chosen.map_or(index, |(_, variant)| variant)
            })
            .collect()
    }

    /// The rules about groups that `device` is a member for, by their place, ascending; with what its
    /// labels say, in the order of each rule's `by`.
    pub(crate) fn groups_for(
        &self,
        device: &DeviceId,
        registry: &Registry,
    ) -> Vec<(u32, GroupLabels)> {
        let labels = self.labels_of(device, registry);
        let label_of = |name: &str| match name {
            "device" => device.as_str(),
            _ => labels.get(name).unwrap_or_default(),
        };
        let is_chosen = |rule: &Rule| {
            rule.select.is_none_or(|select| self.selects[select as usize].chooses(&label_of))
        };
        let rules = self.group_rules.iter().filter(|index| is_chosen(self.at(**index)));
        rules
            .filter_map(|index| Some((*index, self.at(*index).group.as_ref()?)))
            .map(|(index, group)| {
                let by = group.spec.by.iter();
                (index, by.map(|name| (name.clone(), label_of(name).into())).collect())
            })
            .collect()
    }

    /// Whether there are rules about groups.
    pub(crate) fn has_groups(&self) -> bool {
        !self.group_rules.is_empty()
    }

    /// The rule with this name as it is for `device`: with the parameters of the first override that
    /// chooses it; `None` if it is not for this device. A rule about groups is for their members.
    #[must_use]
    pub fn rule_for(&self, name: &str, device: &DeviceId, registry: &Registry) -> Option<&Rule> {
        let index = self.index_of(name)?;
        let labels = self.labels_of(device, registry);
        let label_of = |name: &str| match name {
            "device" => device.as_str(),
            _ => labels.get(name).unwrap_or_default(),
        };
        let chosen = |select: u32| self.selects[select as usize].chooses(&label_of);
        if !self.at(index).select.is_none_or(chosen) {
            return None;
        }
        let mut variants = self.variants_of[index as usize].iter().copied();
        let variant = variants.find(|(select, _)| chosen(*select));
        Some(self.at(variant.map_or(index, |(_, variant)| variant)))
    }

    pub(crate) fn at(&self, index: u32) -> &Rule {
        let index = index as usize;
        self.rules.get(index).unwrap_or_else(|| &self.variants[index - self.rules.len()])
    }

    /// Puts the variants of each rule in place; all rules are there.
    pub(crate) fn add_variants(&mut self, all: Vec<Vec<body::Variant>>) {
        for variants in all {
            let mut places = Vec::new();
            for (select, rule) in variants {
                // `FILE_BYTES_MAX` keeps it within 32 bits.
                let place = self.rules.len() + self.variants.len();
                places.push((select, u32::try_from(place).expect("few rules")));
                self.variants.push(rule);
            }
            self.variants_of.push(places);
        }
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The place of a metric among those that rules use.
    pub(crate) fn input_id(&self, metric: &str) -> Option<u32> {
        self.inputs.get(metric).copied()
    }

    /// The metrics that rules use, with their places.
    pub(crate) fn inputs(&self) -> impl ExactSizeIterator<Item = (&MetricName, u32)> {
        self.inputs.iter().map(|(name, id)| (name, *id))
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet")
            .field("version", &format_args!("{:016x}", self.version))
            .field("n_rules", &self.rules.len())
            .field("n_labels", &self.labels.len())
            .finish_non_exhaustive()
    }
}

/// FNV-1a: it must never change, since transitions in the database name versions by it.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
