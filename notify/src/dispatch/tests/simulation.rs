//! Random histories of alerts, receivers that fail, and restarts that forget what was not saved:
//! whatever happens, everyone is told what they should be, and nothing that was muted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bellwire_model::{AlertId, AlertState, Severity};

use super::super::*;
use super::{at, news, receiver, route};

/// A generator of numbers: xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A receiver: what it heard last of each alert, and whether it was ever told.
#[derive(Default)]
struct Ear {
    last: HashMap<AlertId, bool>,
    /// Of which a message went out, heard or not.
    out: HashSet<AlertId>,
}

struct World {
    seed: u64,
    dice: Dice,
    now: i64,
    /// What happened, in order: the durable source.
    source: Vec<News>,
    /// The alerts as they are, by the source.
    present: BTreeMap<AlertId, News>,
    /// How far the dispatcher has read.
    cursor: usize,
    dispatch: Dispatch,
    saved: (Vec<u8>, usize),
    ears: Vec<Ear>,
    next_id: u64,
}

fn plan() -> Arc<Plan> {
    let mut each = route("severity=critical", &[1]);
    each.group_by = GroupBy::EachAlert;
    each.goes_on = GoesOn::Yes;
    let mut late = route("", &[3]);
    late.escalation = 1;
    late.goes_on = GoesOn::Yes;
    late.key = "late".into();
    let receivers = vec![
        ReceiverPlan { alerts_max: 3, ..receiver("ops", Style::Grouped) },
        receiver("pager", Style::Grouped),
        ReceiverPlan { alerts_max: 2, ..receiver("am", Style::Mirrored) },
        receiver("boss", Style::Grouped),
    ];
    Arc::new(Plan { routes: vec![each, late, route("", &[0, 2])], receivers })
}

/// Whom the plan sends an alert to.
fn wants(news: &News, receiver: usize) -> bool {
    match receiver {
        1 => news.facts.severity == Severity::Critical,
        3 => news.escalation > 0,
        _ => true,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let dispatch = Dispatch::new(plan());
        let saved = (Image::of(&dispatch).to_bytes().unwrap(), 0);
        let ears = (0..4).map(|_| Ear::default()).collect();
        let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (source, present) = (Vec::new(), BTreeMap::new());
        Self { seed, dice, now: 0, source, present, cursor: 0, dispatch, saved, ears, next_id: 1 }
    }

    fn say(&mut self, news: News) {
        self.present.insert(news.facts.id, news.clone());
        self.source.push(news);
    }

    fn happen(&mut self) {
        let is_open = |it: &&News| it.facts.state != AlertState::Resolved;
        let open: Vec<News> = self.present.values().filter(is_open).cloned().collect();
        if open.is_empty() || self.dice.one_in(3) {
            let id = self.next_id;
            self.next_id += 1;
            let device = format!("oven-{}", self.dice.below(6));
            let mut new = news(id, &device, AlertState::Firing);
            if self.dice.one_in(4) {
                new.mute = Mute::Muted;
            }
            self.say(new);
            return;
        }
        let pick = usize::try_from(self.dice.below(open.len() as u64)).unwrap();
        let mut it = open[pick].clone();
        match self.dice.below(7) {
            0 | 1 => it.set_state(AlertState::Resolved),
            2 => it.mute = if it.mute == Mute::Muted { Mute::Loud } else { Mute::Muted },
            3 => it.acknowledged = !it.acknowledged,
            4 => {
                it.facts.severity = Severity::Critical;
                it.facts.labels.insert("severity".into(), "critical".into());
            }
            5 => it.escalation += 1,
            _ if it.facts.state == AlertState::Firing => it.set_state(AlertState::Pending),
            _ => it.set_state(AlertState::Firing),
        }
        self.say(it);
    }

    fn save(&mut self) {
        self.saved = (Image::of(&self.dispatch).to_bytes().unwrap(), self.cursor);
    }

    fn read(&mut self) {
        for news in &self.source[self.cursor..] {
            self.dispatch.take(news.clone(), at(self.now));
        }
        self.cursor = self.source.len();
    }

    fn restart(&mut self) {
        let (bytes, cursor) = &self.saved;
        self.dispatch = Image::from_bytes(bytes).unwrap().restore(plan(), at(self.now)).unwrap();
        self.cursor = *cursor;
        self.read();
    }

    /// Sends what is due; one in `failing` fails, of which half arrive all the same.
    fn send(&mut self, failing: Option<u64>) {
        let mut on_way = Vec::new();
        for receiver in 0..self.ears.len() {
            while let Some(notice) = self.dispatch.next(receiver, at(self.now)) {
                self.check(&notice);
                let ids = notice.alerts.iter().map(|said| said.facts.id);
                self.ears[receiver].out.extend(ids);
                on_way.push(notice);
            }
        }
        if !on_way.is_empty() {
            self.save();
        }
        if failing.is_some() && self.dice.one_in(3) {
            // Things go on while messages are on their way.
            self.happen();
            self.read();
        }
        for notice in on_way {
            let fails = failing.is_some_and(|n| self.dice.one_in(n));
            if !fails || self.dice.one_in(2) {
                let ear = &mut self.ears[notice.receiver];
                for said in &notice.alerts {
                    ear.last.insert(said.facts.id, said.status == Status::Firing);
                }
            }
            let dice = self.dice.below(1_000);
            if fails && dice < 50 {
                self.dispatch.failed(&notice, Failure::Rejected, at(self.now), dice);
            } else if fails {
                self.dispatch.failed(&notice, Failure::Away(None), at(self.now), dice);
            } else {
                self.dispatch.told(&notice, at(self.now));
            }
        }
    }

    /// Nothing that is muted is said to fire; an end of what is muted is told to who may have heard of it only.
    fn check(&self, notice: &Notice) {
        assert!(!notice.alerts.is_empty(), "seed {}", self.seed);
        for said in &notice.alerts {
            let news = &self.present[&said.facts.id];
            let is_muted = news.mute == Mute::Muted;
            let heard = self.ears[notice.receiver].out.contains(&said.facts.id);
            let fires = said.status == Status::Firing;
            assert!(!is_muted || (!fires && heard), "seed {}: {said:?}", self.seed);
            assert!(fires || said.facts.ends_at.is_some(), "seed {}", self.seed);
        }
    }

    fn run(&mut self) {
        for _ in 0..120 {
            self.now += i64::try_from(self.dice.below(40)).unwrap();
            for _ in 0..self.dice.below(3) {
                self.happen();
            }
            self.read();
            if self.dice.one_in(3) {
                self.save();
            }
            self.send(Some(2));
            if self.dice.one_in(12) {
                self.restart();
            }
        }
        // Everyone is well again: what waits arrives.
        for _ in 0..200 {
            self.now += 60;
            self.read();
            self.send(None);
        }
        for (id, news) in &self.present {
            self.check_end(*id, news);
        }
        let n_firing = self.dispatch.alerts.values().filter(|it| it.ended_at.is_none()).count();
        assert_eq!(n_firing, self.dispatch.n_alerts(), "seed {}: nothing else is left", self.seed);
    }

    fn check_end(&self, id: AlertId, news: &News) {
        for (receiver, ear) in self.ears.iter().enumerate() {
            let heard = ear.last.get(&id).copied();
            let context = || format!("seed {}, receiver {receiver}: {news:?}", self.seed);
            let (is_loud, wanted) = (news.mute == Mute::Loud, wants(news, receiver));
            match news.facts.status {
                Status::Firing if is_loud && wanted => {
                    assert_eq!(heard, Some(true), "{}", context())
                }
                Status::Firing => {}
                // The last step of each alert decides: its end reached whoever heard of it.
                _ if heard.is_some() => assert_eq!(heard, Some(false), "{}", context()),
                Status::Resolved if is_loud && wanted && self.ended_firing(id) => {
                    panic!("not told of: {}", context());
                }
                _ => {}
            }
        }
    }

    /// Whether the step before the last was firing, or it has fired without ever being taken back.
    fn ended_firing(&self, id: AlertId) -> bool {
        let steps: Vec<_> = self.source.iter().filter(|it| it.facts.id == id).collect();
        let withdrawn = steps.iter().any(|it| it.facts.status == Status::Withdrawn);
        steps.len() > 1 && !withdrawn
    }
}

impl News {
    fn set_state(&mut self, state: AlertState) {
        self.facts.state = state;
        (self.facts.status, self.facts.ends_at) = match state {
            AlertState::Firing => (Status::Firing, None),
            AlertState::Resolved => (Status::Resolved, Some(at(1))),
            _ => (Status::Withdrawn, Some(at(1))),
        };
    }
}

#[test]
fn whatever_happens_everyone_is_told_what_they_should_be() {
    let only: Option<u64> =
        std::env::var("BELLWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(1..101, |seed| seed..seed + 1);
    for seed in seeds {
        World::new(seed).run();
    }
}
