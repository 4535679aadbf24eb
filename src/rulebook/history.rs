//! All versions of all rules that were made by API, within bounds.

use std::collections::{BTreeMap, VecDeque};

use bellwire_model::RuleName;

use super::Version;

/// The most versions that are kept of one rule; the oldest go.
const VERSIONS_MAX: usize = 100;
/// The most bytes of versions that are not the last of a rule, all rules together; the oldest go.
const PAST_BYTES_MAX: usize = 64 << 20;
/// What a version costs beside its text.
const VERSION_BYTES: usize = 256;

/// Every version that is kept. The last one of a rule that is there never goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Oldest first; never empty.
    rules: BTreeMap<RuleName, VecDeque<Version>>,
    /// Whose the change of this number was; those that are kept.
    order: BTreeMap<u64, RuleName>,
    /// Of versions that may go.
    past_bytes: usize,
    last_seq: u64,
}

fn cost(version: &Version) -> usize {
    version.toml.as_ref().map_or(0, |toml| toml.len()) + VERSION_BYTES
}

impl History {
    /// The last version of a rule, if the rule is there.
    pub(crate) fn current(&self, rule: &str) -> Option<&Version> {
        self.last(rule).filter(|version| version.toml.is_some())
    }

    /// The last version of a rule, also of one that is deleted.
    pub(crate) fn last(&self, rule: &str) -> Option<&Version> {
        self.versions(rule)?.back()
    }

    /// All versions of a rule, oldest first; `None` if nothing is known of it.
    pub(crate) fn versions(&self, rule: &str) -> Option<&VecDeque<Version>> {
        self.rules.get(&RuleName::new(rule).ok()?)
    }

    pub(crate) fn version(&self, rule: &str, number: u64) -> Option<&Version> {
        self.versions(rule)?.iter().find(|version| version.number == number)
    }

    /// The rules that are there, by name, with their text.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&RuleName, &Version, &str)> {
        self.rules.iter().filter_map(|(name, versions)| {
            let last = versions.back()?;
            Some((name, last, last.toml.as_deref()?))
        })
    }

    /// Every version, in the order in which they were made.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&RuleName, &Version)> {
        self.order.iter().filter_map(|(seq, name)| {
            let versions = self.rules.get(name)?;
            Some((name, versions.iter().find(|version| version.seq == *seq)?))
        })
    }

    /// How many versions are kept.
    pub(crate) fn n_versions(&self) -> usize {
        self.order.len()
    }

    /// Numbers for the next change of a rule: among all changes, and among the rule's.
    pub(crate) fn next(&self, rule: &str) -> (u64, u64) {
        (self.last_seq + 1, self.last(rule).map_or(1, |last| last.number + 1))
    }

    /// Adds a version, which is later than all others; the oldest go where there are too many. How
    /// many went.
    pub(crate) fn push(&mut self, rule: &RuleName, version: Version) -> usize {
        self.last_seq = self.last_seq.max(version.seq);
        self.order.insert(version.seq, rule.clone());
        let versions = self.rules.entry(rule.clone()).or_default();
        self.past_bytes += versions.back().filter(|it| it.toml.is_some()).map_or(0, cost);
        if version.toml.is_none() {
            self.past_bytes += cost(&version);
        }
        versions.push_back(version);
        let is_long = versions.len() > VERSIONS_MAX;
        let mut n_gone = 0;
        if is_long {
            self.drop_oldest(rule);
            n_gone += 1;
        }
        while self.past_bytes > PAST_BYTES_MAX {
            let Some(oldest) = self.oldest_past() else { break };
            self.drop_oldest(&oldest);
            n_gone += 1;
        }
        n_gone
    }

    /// The rule whose first version is the oldest of those that may go.
    fn oldest_past(&self) -> Option<RuleName> {
        let may_go = |name: &&RuleName| {
            self.rules.get(*name).is_some_and(|versions| {
                versions.len() > 1 || versions.back().is_some_and(|last| last.toml.is_none())
            })
        };
        self.order.values().find(may_go).cloned()
    }

    fn drop_oldest(&mut self, rule: &RuleName) {
        let Some(versions) = self.rules.get_mut(rule) else { return };
        let Some(oldest) = versions.pop_front() else { return };
        self.past_bytes -= cost(&oldest);
        self.order.remove(&oldest.seq);
        if versions.is_empty() {
            self.rules.remove(rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;
    use crate::rulebook::{Deed, Standing};

    fn add(history: &mut History, rule: &str, toml: Option<&str>) -> usize {
        let (seq, number) = history.next(rule);
        let version = Version {
            seq,
            number,
            at: Timestamp::from_secs(1),
            author: "a".into(),
            comment: None,
            deed: Deed::Change,
            toml: toml.map(Into::into),
            standing: Standing::Enabled,
        };
        history.push(&RuleName::new(rule).unwrap(), version)
    }

    fn numbers(history: &History, rule: &str) -> Option<(u64, u64)> {
        let versions = history.versions(rule)?;
        Some((versions.front()?.number, versions.back()?.number))
    }

    #[test]
    fn of_many_versions_the_latest_stay() {
        let mut history = History::default();
        add(&mut history, "quiet", Some("q"));
        for _ in 0..VERSIONS_MAX + 5 {
            add(&mut history, "busy", Some("b"));
        }
        assert_eq!(numbers(&history, "busy"), Some((6, 105)));
        assert_eq!(numbers(&history, "quiet"), Some((1, 1)));
        assert_eq!(history.in_order().count(), VERSIONS_MAX + 1);
        assert!(history.in_order().is_sorted_by_key(|(_, version)| version.seq));
    }

    #[test]
    fn what_a_deleted_rule_was_stays_until_there_is_too_much() {
        let mut history = History::default();
        let long = "x".repeat(1 << 20);
        add(&mut history, "old", Some("o"));
        add(&mut history, "old", None);
        assert_eq!((history.current("old"), history.next("old").1), (None, 3));
        add(&mut history, "kept", Some("k"));
        let n_gone: usize = (0..70).map(|_| add(&mut history, "busy", Some(&long))).sum();
        assert!(n_gone >= 8, "{n_gone}");
        assert_eq!(numbers(&history, "old"), None, "pushed out whole");
        assert_eq!(
            numbers(&history, "kept"),
            Some((1, 1)),
            "the last of a rule that is there stays"
        );
        assert_eq!(history.rules().count(), 2);
        assert!(history.past_bytes <= PAST_BYTES_MAX);
        while history.versions("busy").unwrap().len() > 1 {
            history.drop_oldest(&RuleName::new("busy").unwrap());
        }
        assert_eq!(history.past_bytes, 0);
    }
}
