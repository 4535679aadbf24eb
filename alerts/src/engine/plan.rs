//! What must be done for a reading of a device: which rules, with which of its values and windows.
//!
//! Devices that the same rules are for share a plan.

use std::time::Duration;

use bellwire_model::{DeviceId, MetricKey, Names, Registry};
use hashbrown::HashMap;

use super::series::Span;
use super::state::State;
use crate::lang::program::View;
use crate::rules::RuleSet;
use crate::rules::rule::Rule;

/// No metric of any rule.
const NONE: u32 = u32::MAX;

/// A list of numbers for each place of another list.
#[derive(Debug)]
struct Lists {
    starts: Box<[u32]>,
    items: Box<[u32]>,
}

impl Lists {
    fn new(lists: impl Iterator<Item = Vec<u32>>) -> Self {
        let (mut starts, mut items) = (vec![0], Vec::new());
        for list in lists {
            items.extend(list);
            starts.push(narrow(items.len()));
        }
        Self { starts: starts.into(), items: items.into() }
    }

    #[inline]
    fn at(&self, place: usize) -> &[u32] {
        &self.items[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

/// The rules that are for some devices, and what they need of each.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The rules, by their place in the set, ascending by the rule that each is a variant of.
    pub(crate) rules: Box<[u32]>,
    /// For each of them, the place of each of its inputs among `inputs`.
    bindings: Lists,
    /// For each of them, the place of each of its windows among `windows`.
    window_bindings: Lists,
    /// The metrics that must be remembered, by their place in the set, ascending.
    pub(crate) inputs: Box<[u32]>,
    /// For each of `inputs`, the rules that a value can change, by their place here; ascending.
    triggers: Lists,
    /// The windows that must be kept, each of the input with this place among `inputs`.
    pub(crate) windows: Box<[(u32, Span)]>,
    /// For each of `inputs`, the windows of it.
    fed: Lists,
    /// Inputs, the silence of each after which a rule is judged, and the rule's place here.
    pub(crate) deadlines: Box<[(u32, Duration, u32)]>,
    /// Windows, and the rules that are judged as readings leave them.
    pub(crate) ebbing: Box<[(u32, u32)]>,
    /// The rules that may flap, and those with hours, by their place here; ascending.
    pub(crate) flapping: Box<[u32]>,
    pub(crate) scheduled: Box<[u32]>,
}

impl Plan {
    fn new(rules: Box<[u32]>, set: &RuleSet) -> Self {
        let members: Vec<_> = rules.iter().map(|rule| set.at(*rule)).collect();
        let mut inputs: Vec<u32> =
            members.iter().flat_map(|rule| rule.input_ids.iter().copied()).collect();
        inputs.sort_unstable();
        inputs.dedup();
        let place = |id: &u32| narrow(inputs.binary_search(id).expect("collected above"));
        let mut windows: Vec<(u32, Span)> = Vec::new();
        let mut by_window: HashMap<(u32, Span), u32> = HashMap::new();
        let mut triggered: Vec<Vec<u32>> = vec![Vec::new(); inputs.len()];
        let (mut deadlines, mut ebbing, mut window_bindings) = (Vec::new(), Vec::new(), Vec::new());
        for (position, rule) in (0_u32..).zip(&members) {
            let slot_of = |input: u16| place(&rule.input_ids[usize::from(input)]);
            let bound: Vec<u32> = rule
                .windows
                .iter()
                .map(|spec| {
                    let window = (slot_of(spec.input), Span::of(spec));
                    *by_window.entry(window).or_insert_with(|| {
                        windows.push(window);
                        narrow(windows.len() - 1)
                    })
                })
                .collect();
            ebbing.extend(rule.ebbing.iter().map(|it| (bound[usize::from(*it)], position)));
            deadlines
                .extend(rule.deadlines.iter().map(|(it, for_)| (slot_of(*it), *for_, position)));
            window_bindings.push(bound);
            for id in &rule.input_ids[..rule.n_judged] {
                triggered[place(id) as usize].push(position);
            }
        }
        let mut fed: Vec<Vec<u32>> = vec![Vec::new(); inputs.len()];
        for (window, (slot, _)) in (0..).zip(&windows) {
            fed[*slot as usize].push(window);
        }
        let bindings = members.iter().map(|rule| rule.input_ids.iter().map(&place).collect());
        Self {
            bindings: Lists::new(bindings),
            window_bindings: Lists::new(window_bindings.into_iter()),
            triggers: Lists::new(triggered.into_iter()),
            fed: Lists::new(fed.into_iter()),
            windows: windows.into(),
            deadlines: deadlines.into(),
            ebbing: ebbing.into(),
            flapping: which(&members, |rule| rule.flapping.is_some()),
            scheduled: which(&members, |rule| rule.schedule.is_some()),
            rules,
            inputs: inputs.into(),
        }
    }

    /// Where a device with this plan keeps the value of the set's input `id`.
    #[inline]
    pub(crate) fn slot(&self, id: u32) -> Option<u32> {
        self.inputs.binary_search(&id).ok().map(narrow)
    }

    /// The rules, by their place in this plan, that a value in `slot` can change.
    #[inline]
    pub(crate) fn triggers(&self, slot: u32) -> &[u32] {
        self.triggers.at(slot as usize)
    }

    /// The windows of the values in `slot`.
    #[inline]
    pub(crate) fn fed(&self, slot: u32) -> &[u32] {
        self.fed.at(slot as usize)
    }

    /// The windows that the rule at this place needs.
    #[inline]
    pub(crate) fn windows_of(&self, position: usize) -> &[u32] {
        self.window_bindings.at(position)
    }

    /// Whether a rule may change without a reading, even if there is no alert.
    pub(crate) fn is_timed(&self) -> bool {
        !self.deadlines.is_empty() || !self.ebbing.is_empty() || !self.scheduled.is_empty()
    }

    /// Where the inputs of the rule at this place are.
    pub(crate) fn slots_of(&self, position: usize) -> &[u32] {
        self.bindings.at(position)
    }

    /// A device's state as the rule at this place in the plan sees it.
    #[inline]
    pub(crate) fn view<'a>(&'a self, position: usize, state: &'a State) -> View<'a> {
        View {
            values: &state.values,
            bindings: self.bindings.at(position),
            seen: &state.seen,
            windows: &state.windows,
            window_bindings: self.window_bindings.at(position),
            now: state.now,
        }
    }

    /// Where the rule with the name of `set`'s rule `index`, or a variant of it, is in this plan.
    pub(crate) fn position_of(&self, index: u32, set: &RuleSet) -> Option<usize> {
        self.rules.binary_search_by_key(&index, |rule| set.at(*rule).base).ok()
    }
}

/// The places of the rules that are so.
fn which(rules: &[&Rule], is_so: impl Fn(&Rule) -> bool) -> Box<[u32]> {
    (0..).zip(rules).filter(|(_, rule)| is_so(rule)).map(|(place, _)| place).collect()
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
    pub(crate) fn plan_for(
        &mut self,
        device: &DeviceId,
        set: &RuleSet,
        registry: &Registry,
    ) -> Option<u32> {
        let rules = set.rules_for(device, registry).into_boxed_slice();
        if rules.is_empty() {
            return None;
        }
        Some(self.find_or_make(rules, set))
    }

    /// The plan for the groups of a rule: its inputs are the rule's parts.
    pub(crate) fn plan_for_group(&mut self, rule: u32, set: &RuleSet) -> u32 {
        self.find_or_make(Box::new([rule]), set)
    }

    fn find_or_make(&mut self, rules: Box<[u32]>, set: &RuleSet) -> u32 {
        if let Some(plan) = self.by_rules.get(&rules) {
            return *plan;
        }
        let plan = narrow(self.plans.len());
        self.plans.push(Plan::new(rules.clone(), set));
        self.by_rules.insert(rules, plan);
        plan
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
