//! What a run came to, by rule and device: how often, since when, how long, how restless.

use std::time::Duration;

use bellwire_model::{AlertId, DeviceId, RuleName, Timestamp, Transition};
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
    by_rule: HashMap<RuleName, HashMap<DeviceId, Tally>>,
    open: HashMap<AlertId, Open>,
    episodes: Vec<Episode>,
    n_left_out: u64,
}

/// An alert that is not over.
#[derive(Debug)]
enum Open {
    /// It holds, and has not fired.
    Pending(Box<(RuleName, DeviceId)>),
    Fired(Box<Episode>),
}

/// How often, since when, how long. Of a rule, or of a rule on one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it fired.
    pub fired: u64,
    /// How often its condition began to hold and ended before it fired.
    pub held_short: u64,
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
    pub device: DeviceId,
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

    /// Takes the next transition.
    pub fn take(&mut self, transition: &Transition) {
        let id = transition.alert.id;
        match self.open.get_mut(&id) {
            Some(Open::Fired(episode)) => episode.go_on(transition),
            Some(Open::Pending(_)) | None => {
                let open = match Episode::begin(transition) {
                    Some(episode) => {
                        self.tally(&episode.rule, &episode.device, |tally, within| {
                            tally.fire(episode.fired_at, within);
                        });
                        Open::Fired(Box::new(episode))
                    }
                    None => {
                        let alert = &transition.alert;
                        Open::Pending(Box::new((alert.rule.clone(), alert.device.clone())))
                    }
                };
                self.open.insert(id, open);
            }
        }
        if !transition.to.is_over() {
            return;
        }
        match self.open.remove(&id) {
            Some(Open::Fired(mut episode)) => {
                episode.ending = Ending::Over;
                episode.until = transition.at.max(episode.fired_at);
                self.close(*episode);
            }
            Some(Open::Pending(of)) => self.tally(&of.0, &of.1, |tally, _| tally.held_short += 1),
            None => {}
        }
    }

    /// Ends the run: the first reading was made at `from`, the last at `to`.
    #[must_use]
    pub fn finish(mut self, from: Timestamp, to: Timestamp) -> Report {
        for (_, open) in std::mem::take(&mut self.open) {
            match open {
                Open::Fired(mut episode) => {
                    episode.until = to.max(episode.fired_at);
                    self.tally(&episode.rule, &episode.device, |tally, _| tally.open += 1);
                    self.close(*episode);
                }
                Open::Pending(of) => self.tally(&of.0, &of.1, |tally, _| tally.open += 1),
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
                .map(|(device, tally)| DeviceAccount { device, tally })
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
        device: &DeviceId,
        change: impl FnOnce(&mut Tally, Duration),
    ) {
        let devices = self.by_rule.entry_ref(rule).or_default();
        change(devices.entry_ref(device).or_default(), self.flap_within);
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
