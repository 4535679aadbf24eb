//! What must be done for a reading of a device: which rules, with which of its values.
//!
//! Devices that the same rules are for share a plan.

use bellwire_model::{DeviceId, MetricKey, Names};
use hashbrown::HashMap;

use crate::lang::program::View;
use crate::rules::RuleSet;
use bellwire_model::Value;

/// No metric of any rule.
const NONE: u32 = u32::MAX;

/// The rules that are for some devices, and the values they need of each.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The rules, by their place in the set, ascending.
    pub(crate) rules: Box<[u32]>,
    /// For each of them, where its bindings begin.
    bindings_start: Box<[u32]>,
    /// For each input of each rule, its place among `inputs`.
    bindings: Box<[u32]>,
    /// The metrics that must be remembered, by their place in the set, ascending.
    pub(crate) inputs: Box<[u32]>,
    /// For each of `inputs`, where its part of `triggers` begins; and one end more.
    triggers_start: Box<[u32]>,
    /// The rules, by their place in this plan, that a value of a metric can change; ascending.
    triggers: Box<[u32]>,
}

impl Plan {
    fn new(rules: Box<[u32]>, set: &RuleSet) -> Self {
        let mut inputs: Vec<u32> =
            rules.iter().flat_map(|rule| set.at(*rule).input_ids.iter().copied()).collect();
        inputs.sort_unstable();
        inputs.dedup();
        let place = |id: &u32| inputs.binary_search(id).expect("collected above");
        let (mut bindings, mut bindings_start) = (Vec::new(), Vec::new());
        let mut triggered: Vec<Vec<u32>> = vec![Vec::new(); inputs.len()];
        for (position, rule) in (0_u32..).zip(&rules) {
            let rule = set.at(*rule);
            bindings_start.push(narrow(bindings.len()));
            bindings.extend(rule.input_ids.iter().map(|id| narrow(place(id))));
            for id in &rule.input_ids[..rule.n_judged] {
                triggered[place(id)].push(position);
            }
        }
        let mut triggers_start = vec![0];
        let mut triggers = Vec::new();
        for positions in triggered {
            triggers.extend(positions);
            triggers_start.push(narrow(triggers.len()));
        }
        Self {
            rules,
            bindings_start: bindings_start.into(),
            bindings: bindings.into(),
            inputs: inputs.into(),
            triggers_start: triggers_start.into(),
            triggers: triggers.into(),
        }
    }

    /// Where a device with this plan keeps the value of the set's input `id`.
    #[inline]
    pub(crate) fn slot(&self, id: u32) -> Option<usize> {
        self.inputs.binary_search(&id).ok()
    }

    /// The rules, by their place in this plan, that a value in `slot` can change.
    #[inline]
    pub(crate) fn triggers(&self, slot: usize) -> &[u32] {
        let range = self.triggers_start[slot] as usize..self.triggers_start[slot + 1] as usize;
        &self.triggers[range]
    }

    /// A device's values as the rule at this place in the plan sees them.
    #[inline]
    pub(crate) fn view<'a>(&'a self, position: usize, values: &'a [Option<Value>]) -> View<'a> {
        View { values, bindings: &self.bindings[self.bindings_start[position] as usize..] }
    }
}

/// `RULES_MAX` and the limits of expressions keep all counts within 32 bits.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32")
}

/// The plans of one rule set.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    plans: Vec<Plan>,
    by_rules: HashMap<Box<[u32]>, u32>,
    /// For each metric key, the set's input that it is, or [`NONE`].
    input_ids: Vec<u32>,
}

impl Plans {
    pub(crate) fn at(&self, plan: u32) -> &Plan {
        &self.plans[plan as usize]
    }

    /// The plan for `device`, known or new; `None` if no rule is for it.
    pub(crate) fn plan_for(&mut self, device: &DeviceId, set: &RuleSet) -> Option<u32> {
        let rules = set.rules_for(device).into_boxed_slice();
        if rules.is_empty() {
            return None;
        }
        if let Some(plan) = self.by_rules.get(&rules) {
            return Some(*plan);
        }
        let plan = narrow(self.plans.len());
        self.plans.push(Plan::new(rules.clone(), set));
        self.by_rules.insert(rules, plan);
        Some(plan)
    }

    /// The set's input that `metric` is, if any rule uses it.
    #[inline]
    pub(crate) fn input_id(
        &mut self,
        metric: MetricKey,
        set: &RuleSet,
        names: &Names,
    ) -> Option<u32> {
        if metric.index() >= self.input_ids.len() {
            self.learn(set, names);
        }
        self.input_ids.get(metric.index()).copied().filter(|id| *id != NONE)
    }

    #[cold]
    fn learn(&mut self, set: &RuleSet, names: &Names) {
        for name in &names.metrics()[self.input_ids.len()..] {
            self.input_ids.push(set.input_id(name.as_str()).unwrap_or(NONE));
        }
    }
}
