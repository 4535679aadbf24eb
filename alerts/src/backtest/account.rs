//! What a run came to, by rule and device: how often, since when, how long, how restless.

use std::collections::VecDeque;
use std::time::Duration;

use bellwire_model::{AlertId, AlertState, Correction, RuleName, Target, Timestamp, Transition};
use hashbrown::HashMap;

use super::episode::{Ending, Episode};
use crate::RuleSet;

/// The most episodes that are remembered one by one, some 200 bytes each; the rest are counted only.
pub const EPISODES_MAX: usize = 200_000;

/// Takes the transitions of one run.
#[derive(Debug)]
pub struct Account {
    flap_within: Duration,
    /// In the order of the rules.
    rules: Vec<RuleName>,
    by_rule: HashMap<RuleName, HashMap<Target, Line>>,
    open: HashMap<AlertId, Open>,
    episodes: Vec<Episode>,
    n_left_out: u64,
}

/// The most transitions of a rule on a device that wait for a correction: more than an hour, the longest
/// lateness, has unless it flaps.
const CORRECTED_MAX: usize = 256;

/// One rule on one device.
#[derive(Debug, Default)]
struct Line {
    tally: Tally,
    /// The latest transitions, which may yet be taken back: not counted yet.
    latest: VecDeque<Transition>,
}

/// An alert that is not over.
#[derive(Debug)]
enum Open {
    /// It has not fired.
    Quiet(Box<Quiet>),
    Fired(Box<Episode>),
}

/// An alert that has not fired.
#[derive(Debug)]
struct Quiet {
    rule: RuleName,
    device: Target,
    /// Whether its condition held.
    has_held: bool,
}

/// How often, since when, how long. Of a rule, or of a rule on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it fired.
    pub fired: u64,
    /// How often its condition began to hold and ended before it fired.
    pub held_short: u64,
    /// How often it said that the readings it needs have stopped coming.
    pub no_data: u64,
    /// When it fired first.
    pub first_at: Option<Timestamp>,
    /// When it fired last.
    pub last_at: Option<Timestamp>,
    /// How long it fired, all times together.
    pub total: Duration,
    /// How long the longest time lasted.
    pub longest: Duration,
    /// How many of the times it fired were restless: shorter than the time that was said, or again
    /// within it.
    pub flaps: u64,
    /// How many were not over when the readings ended.
    pub open: u64,
    /// When the last one was over, and whether it has been counted as restless.
    last_over: Option<(Timestamp, Counted)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Yes,
    No,
}

/// One rule on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAccount {
    /// Where: a device, or a group of devices.
    pub device: Target,
    /// What it came to.
    pub tally: Tally,
}

/// One rule on all devices.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleAccount {
    /// Which.
    pub rule: RuleName,
    /// All devices together.
    pub tally: Tally,
    /// In which part of the time it fired anywhere, from 0 to 1. Too little where episodes have been
    /// left out.
    pub share: f64,
    /// The devices on which its condition ever held, by name.
    pub devices: Vec<DeviceAccount>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Every rule, in the file's order, those that never fired too.
    pub rules: Vec<RuleAccount>,
    /// Every time that one fired, by rule, device and time.
    pub episodes: Vec<Episode>,
    /// How many more there were than [`EPISODES_MAX`].
    pub n_left_out: u64,
}

impl Account {
    /// An empty one. An episode is restless if it lasts less than `flap_within`, or if the next one
    /// of the same rule and device fires within that time after it.
    #[must_use]
    pub fn new(rules: &RuleSet, flap_within: Duration) -> Self {
        Self {
            flap_within,
            rules: rules.rules().iter().map(|rule| rule.name().clone()).collect(),
            by_rule: HashMap::new(),
            open: HashMap::new(),
            episodes: Vec::new(),
            n_left_out: 0,
        }
    }

    /// Takes the next transition. What a later one takes back does not count.
    pub fn take(&mut self, transition: &Transition) {
        let alert = &transition.alert;
        let devices = self.by_rule.entry_ref(&alert.rule).or_default();
        let line = devices.entry_ref(&alert.device).or_default();
        if transition.correction == Some(Correction::Withdrawn) {
            // The latest is taken back first.
            line.latest.pop_back_if(|latest| is_undone(latest, transition));
            return;
        }
        line.latest.push_back(transition.clone());
        if line.latest.len() > CORRECTED_MAX
            && let Some(settled) = line.latest.pop_front()
        {
            self.count(&settled);
        }
    }

    /// Counts a transition that stays.
    fn count(&mut self, transition: &Transition) {
        let alert = &transition.alert;
        if transition.to == AlertState::NoData {
            self.tally(&alert.rule, &alert.device, |tally, _| tally.no_data += 1);
        }
        match self.open.get_mut(&alert.id) {
            Some(Open::Fired(episode)) => episode.go_on(transition),
            Some(Open::Quiet(_)) | None => self.begin(transition),
        }
        if transition.to.is_over() {
            self.end(transition);
        }
    }

    /// An alert that has not fired yet has come to another state.
    fn begin(&mut self, transition: &Transition) {
        let alert = &transition.alert;
        let open = match Episode::begin(transition) {
            Some(episode) => {
                self.tally(&episode.rule, &episode.device, |tally, within| {
                    tally.fire(episode.fired_at, within);
                });
                Open::Fired(Box::new(episode))
            }
            None => {
                let held = matches!(self.open.get(&alert.id), Some(Open::Quiet(it)) if it.has_held);
                let has_held = held || transition.to == AlertState::Pending;
                let (rule, device) = (alert.rule.clone(), alert.device.clone());
                Open::Quiet(Box::new(Quiet { rule, device, has_held }))
            }
        };
        self.open.insert(alert.id, open);
    }

    fn end(&mut self, transition: &Transition) {
        match self.open.remove(&transition.alert.id) {
            Some(Open::Fired(mut episode)) => {
                episode.ending = Ending::Over;
                episode.until = transition.at.max(episode.fired_at);
                self.close(*episode);
            }
            Some(Open::Quiet(it)) if it.has_held => {
                self.tally(&it.rule, &it.device, |tally, _| tally.held_short += 1);
            }
            Some(Open::Quiet(_)) | None => {}
        }
    }

    /// Counts what was waiting for a correction.
    fn settle(&mut self) {
        let lines = self.by_rule.values_mut().flat_map(HashMap::values_mut);
        let mut settled: Vec<_> = lines.flat_map(|line| std::mem::take(&mut line.latest)).collect();
        // So that, of too many episodes, the earliest are remembered.
        settled.sort_by_key(|transition| transition.at);
        settled.iter().for_each(|transition| self.count(transition));
    }

    /// Ends the run: the first reading was made at `from`, the last at `to`.
    #[must_use]
    pub fn finish(mut self, from: Timestamp, to: Timestamp) -> Report {
        self.settle();
        for (_, open) in std::mem::take(&mut self.open) {
            match open {
                Open::Fired(mut episode) => {
                    episode.until = to.max(episode.fired_at);
                    self.tally(&episode.rule, &episode.device, |tally, _| tally.open += 1);
                    self.close(*episode);
                }
                Open::Quiet(it) => self.tally(&it.rule, &it.device, |tally, _| tally.open += 1),
            }
        }
        self.episodes.sort_by(|a, b| {
            (&a.rule, &a.device, a.fired_at).cmp(&(&b.rule, &b.device, b.fired_at))
        });
        let span = to.since(from);
        let Self { rules, mut by_rule, episodes, n_left_out, .. } = self;
        let rules = rules.into_iter().map(|rule| {
            let mut devices: Vec<_> = by_rule
                .remove(&rule)
                .unwrap_or_default()
                .into_iter()
                .map(|(device, line)| DeviceAccount { device, tally: line.tally })
                .collect();
            devices.sort_by(|a, b| a.device.cmp(&b.device));
            let mut tally = Tally::default();
            devices.iter().for_each(|of| tally.add(&of.tally));
            let share = share(episodes.iter().filter(|episode| episode.rule == rule), span);
            RuleAccount { rule, tally, share, devices }
        });
        let rules = rules.collect();
        Report { rules, episodes, n_left_out }
    }

    fn close(&mut self, episode: Episode) {
        let (lasted, until, ending) = (episode.lasted(), episode.until, episode.ending);
        self.tally(&episode.rule, &episode.device, |tally, within| match ending {
            Ending::Over => tally.end(until, lasted, within),
            Ending::Open(_) => tally.lasted(lasted),
        });
        if self.episodes.len() < EPISODES_MAX {
            self.episodes.push(episode);
        } else {
            self.n_left_out += 1;
        }
    }

    fn tally(
        &mut self,
        rule: &RuleName,
        device: &Target,
        change: impl FnOnce(&mut Tally, Duration),
    ) {
        let devices = self.by_rule.entry_ref(rule).or_default();
        change(&mut devices.entry_ref(device).or_default().tally, self.flap_within);
    }
}

impl Tally {
    /// The part of the episodes that were restless, from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn flap_share(&self) -> f64 {
        if self.fired == 0 { 0.0 } else { self.flaps as f64 / self.fired as f64 }
    }

    fn fire(&mut self, at: Timestamp, within: Duration) {
        self.fired += 1;
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        self.last_at = self.last_at.max(Some(at));
        if let Some((over_at, counted @ Counted::No)) = &mut self.last_over
            && at.since(*over_at) < within
        {
            self.flaps += 1;
            *counted = Counted::Yes;
        }
    }

    fn end(&mut self, at: Timestamp, lasted: Duration, within: Duration) {
        self.lasted(lasted);
        let counted = if lasted < within { Counted::Yes } else { Counted::No };
        self.flaps += u64::from(counted == Counted::Yes);
        self.last_over = Some((at, counted));
    }

    fn lasted(&mut self, lasted: Duration) {
        self.total += lasted;
        self.longest = self.longest.max(lasted);
    }

    fn add(&mut self, other: &Self) {
        self.fired += other.fired;
        self.held_short += other.held_short;
        self.no_data += other.no_data;
        self.first_at = match (self.first_at, other.first_at) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.last_at = self.last_at.max(other.last_at);
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
        self.flaps += other.flaps;
        self.open += other.open;
    }
}

/// Whether `withdrawn` takes `said` back.
pub(super) fn is_undone(said: &Transition, withdrawn: &Transition) -> bool {
    (said.from, said.to, said.at) == (withdrawn.to, withdrawn.from, withdrawn.at)
}

/// Which part of `span` these episodes cover, together.
fn share<'a>(episodes: impl Iterator<Item = &'a Episode>, span: Duration) -> f64 {
    if span.is_zero() {
        return 0.0;
    }
    let mut times: Vec<_> = episodes.map(|episode| (episode.fired_at, episode.until)).collect();
    times.sort_unstable();
    let mut covered = Duration::ZERO;
    let mut up_to = Timestamp::from_micros(i64::MIN);
    for (from, until) in times {
        covered += until.since(from.max(up_to));
        up_to = up_to.max(until);
    }
    covered.as_secs_f64() / span.as_secs_f64()
}
