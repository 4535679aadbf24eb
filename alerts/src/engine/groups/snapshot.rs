//! Groups in the engine's snapshot.

use bellwire_model::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::group::{Group, Member};
use super::samples::{Sample, Samples};
use super::{Budget, Groups, Progress};
use crate::engine::Engine;
use crate::engine::episode::{GroupName, Who};
use crate::engine::snapshot::{DeviceState, SnapshotError, ValueState, save_device};
use crate::rules::RuleSet;

#[derive(Serialize, Deserialize)]
pub(in crate::engine) struct GroupsState<'a> {
    budget: (i64, i64),
    #[serde(borrow)]
    all: Vec<GroupState<'a>>,
}

#[derive(Serialize, Deserialize)]
struct GroupState<'a> {
    /// The rule's name.
    rule: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    due: i64,
    #[serde(borrow)]
    members: Vec<MemberState<'a>>,
    #[serde(borrow)]
    device: DeviceState<'a>,
}

#[derive(Serialize, Deserialize)]
struct MemberState<'a> {
    device: &'a str,
    since: i64,
    /// By the number of the metric in the rule.
    #[serde(borrow)]
    samples: Vec<Vec<SampleState<'a>>>,
}

#[derive(Serialize, Deserialize)]
struct SampleState<'a> {
    second: i64,
    at: i64,
    seq: Option<u64>,
    #[serde(borrow)]
    value: ValueState<'a>,
}

impl Groups {
    pub(in crate::engine) fn save<'a>(&'a self, rules: &'a RuleSet) -> GroupsState<'a> {
        let save = |group: &'a Group| GroupState {
            rule: rules.at(group.rule).name.as_str(),
            labels: group.name.labels.iter().map(|(name, value)| (&**name, &**value)).collect(),
            due: group.due,
            members: group.members().map(save_member).collect(),
            device: save_device("", &group.device),
        };
        let Budget { left, since } = self.budget;
        GroupsState { budget: (left, since.as_micros()), all: self.iter().map(save).collect() }
    }
}

fn save_member(member: &Member) -> MemberState<'_> {
    let samples = member.samples.iter().map(|samples| samples.iter().map(save_sample).collect());
    MemberState {
        device: member.name.as_str(),
        since: member.since.as_micros(),
        samples: samples.collect(),
    }
}

fn save_sample(sample: &Sample) -> SampleState<'_> {
    SampleState {
        second: sample.second,
        at: sample.at.as_micros(),
        seq: sample.seq,
        value: ValueState::of(&sample.value),
    }
}

impl Engine {
    pub(in crate::engine) fn load_groups(
        &mut self,
        state: GroupsState<'_>,
    ) -> Result<(), SnapshotError> {
        let (left, since) = state.budget;
        self.groups.budget = Budget { left, since: Timestamp::from_micros(since) };
        for group in state.all {
            self.load_group(group)?;
        }
        Ok(())
    }

    fn load_group(&mut self, state: GroupState<'_>) -> Result<(), SnapshotError> {
        let rule = self.rules.index_of(state.rule);
        let group = rule.and_then(|index| Some((index, self.rules.at(index).group.as_ref()?)));
        let (rule, n_inputs) = group
            .map(|(index, rule)| (index, rule.spec.inputs.len()))
            .ok_or(SnapshotError::Inconsistent("a group is of no rule"))?;
        let labels = state.labels.into_iter().map(|(name, value)| (name.into(), value.into()));
        let name = GroupName::new(labels.collect());
        let plan = self.plans.plan_for_group(rule, &self.rules);
        let device = self.revive(state.device, Who::Group(&name), plan)?;
        let asked = device.timer;
        let mut group = Group::new(rule, name, device);
        group.due = state.due;
        for member in state.members {
            group.add(load_member(member, n_inputs)?);
        }
        let index = self.groups.put(group);
        self.groups.timers.extend(asked.map(|at| (at, index)));
        if asked.is_none() {
            self.groups.set_timer(index, Progress::Done, self.now);
        }
        Ok(())
    }
}

fn load_member(state: MemberState<'_>, n_inputs: usize) -> Result<Member, SnapshotError> {
    let name = DeviceId::new(state.device)
        .map_err(|_| SnapshotError::Inconsistent("a device's name is not valid"))?;
    if state.samples.len() != n_inputs {
        return Err(SnapshotError::Inconsistent("a member's readings do not fit its rule"));
    }
    let load = |saved: Vec<SampleState<'_>>| {
        let mut samples = Samples::default();
        for SampleState { second, at, seq, value } in saved {
            let (at, value) = (Timestamp::from_micros(at), value.value());
            samples.push(Sample { second, at, seq, value });
        }
        samples
    };
    let samples = state.samples.into_iter().map(load).collect();
    Ok(Member { name, since: Timestamp::from_micros(state.since), samples })
}
