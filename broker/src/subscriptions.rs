//! Who wants which messages: a tree of topic filters, one node per level.

use std::mem;

use bellwire_model::TopicFilter;
use hashbrown::HashMap;

/// Subscriptions by filter. A subscriber, identified by `id`, has each filter at most once. Levels are
/// compared byte by byte, as they came. [MQTT-4.7.3-4], [MQTT-1.5.4-3]
#[derive(Debug)]
pub(crate) struct Subscriptions<T> {
    root: Node<T>,
    len: usize,
}

/// One subscription, as found by [`Subscriptions::matches`].
#[derive(Debug)]
pub(crate) struct Subscription<T> {
    /// Whose.
    pub(crate) id: u64,
    /// What was given with it.
    pub(crate) value: T,
}

#[derive(Debug)]
struct Node<T> {
    literals: HashMap<Box<str>, Node<T>>,
    /// The level `+`.
    plus: Option<Box<Node<T>>>,
    /// Filters that end here.
    here: Vec<Subscription<T>>,
    /// Filters that end with `#` behind this level.
    hash: Vec<Subscription<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literals: HashMap::new(), plus: None, here: Vec::new(), hash: Vec::new() }
    }
}

impl<T> Default for Subscriptions<T> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0 }
    }
}

impl<T> Subscriptions<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a subscription, or replaces it and gives what was there. [MQTT-3.8.4-3]
    pub(crate) fn insert(&mut self, id: u64, filter: &TopicFilter, value: T) -> Option<T> {
        let mut node = &mut self.root;
        let mut list = None;
        for level in filter.as_str().split('/') {
            match level {
                "#" => {
                    list = Some(());
                    break;
                }
                "+" => node = node.plus.get_or_insert_default(),
                literal => node = node.literals.entry(literal.into()).or_default(),
            }
        }
        let list = if list.is_some() { &mut node.hash } else { &mut node.here };
        if let Some(old) = list.iter_mut().find(|it| it.id == id) {
            return Some(mem::replace(&mut old.value, value));
        }
        list.push(Subscription { id, value });
        self.len += 1;
        None
    }

    /// Removes a subscription and what was given with it.
    pub(crate) fn remove(&mut self, id: u64, filter: &str) -> Option<T> {
        let removed = self.root.remove(id, filter.split('/'));
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Calls `found` for every subscription whose filter matches `topic`, a valid topic name; once
    /// per subscription, so that a subscriber with overlapping filters is found several times.
    pub(crate) fn matches<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a Subscription<T>)) {
        if topic.starts_with('$') {
            // [MQTT-4.7.2-1] a wildcard in the first level matches no such topic
            let (first, rest) = topic.split_once('/').map_or((topic, None), |(a, b)| (a, Some(b)));
            if let Some(node) = self.root.literals.get(first) {
                node.matches(rest, found);
            }
        } else {
            self.root.matches(Some(topic), found);
        }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.plus.is_none()
            && self.here.is_empty()
            && self.hash.is_empty()
    }

    /// `topic`: the levels below this node; `None` if it ends here.
    fn matches<'a>(&'a self, topic: Option<&str>, found: &mut impl FnMut(&'a Subscription<T>)) {
        self.hash.iter().for_each(&mut *found);
        let Some(topic) = topic else {
            self.here.iter().for_each(found);
            return;
        };
        let (level, rest) = topic.split_once('/').map_or((topic, None), |(a, b)| (a, Some(b)));
        if !self.literals.is_empty()
            && let Some(node) = self.literals.get(level)
        {
            node.matches(rest, found);
        }
        if let Some(node) = &self.plus {
            node.matches(rest, found);
        }
    }

    /// Removes, and prunes what is left empty.
    fn remove<'f>(&mut self, id: u64, mut levels: impl Iterator<Item = &'f str>) -> Option<T> {
        fn take<T>(list: &mut Vec<Subscription<T>>, id: u64) -> Option<T> {
            let index = list.iter().position(|it| it.id == id)?;
            let removed = list.swap_remove(index).value;
            if list.is_empty() {
                *list = Vec::new();
            }
            Some(removed)
        }
        match levels.next() {
            None => take(&mut self.here, id),
            Some("#") => take(&mut self.hash, id),
            Some("+") => {
                let node = self.plus.as_mut()?;
                let removed = node.remove(id, levels);
                if node.is_empty() {
                    self.plus = None;
                }
                removed
            }
            Some(literal) => {
                let node = self.literals.get_mut(literal)?;
                let removed = node.remove(id, levels);
                if node.is_empty() {
                    self.literals.remove(literal);
                }
                removed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).expect("a valid filter")
    }

    fn found(subscriptions: &Subscriptions<u8>, topic: &str) -> Vec<u64> {
        let mut ids = Vec::new();
        subscriptions.matches(topic, &mut |it| ids.push(it.id));
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_repeated_filter_replaces() {
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.insert(1, &filter("a/+"), 1), None);
        assert_eq!(subscriptions.insert(1, &filter("a/+"), 2), Some(1));
        assert_eq!(subscriptions.insert(2, &filter("a/+"), 3), None);
        assert_eq!(subscriptions.len(), 2);
        assert_eq!(found(&subscriptions, "a/b"), [1, 2]);
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let mut subscriptions = Subscriptions::default();
        for text in ["a/b/c", "a/+/c", "a/#", "#", "+", "a/b"] {
            subscriptions.insert(1, &filter(text), 0);
        }
        assert_eq!(subscriptions.remove(2, "a/b/c"), None);
        assert_eq!(subscriptions.remove(1, "a/b/c/d"), None);
        for text in ["a/b/c", "a/+/c", "a/#", "#", "+", "a/b"] {
            assert_eq!(subscriptions.remove(1, text), Some(0), "{text}");
        }
        assert!(subscriptions.root.is_empty());
        assert_eq!(subscriptions.len(), 0);
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just(""), Just("$x")]
    }

    fn filter_text() -> impl Strategy<Value = String> {
        let levels = prop::collection::vec(prop_oneof![3 => level(), 1 => Just("+")], 1..4);
        (levels, any::<bool>()).prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_the_filter_says(
            filters in prop::collection::vec(filter_text(), 0..20),
            removed in prop::collection::vec(any::<bool>(), 20),
            topic in prop::collection::vec(level(), 1..5),
        ) {
            let topic = topic.join("/");
            prop_assume!(!topic.is_empty());
            let filters: Vec<_> =
                filters.iter().filter(|text| !text.is_empty()).map(|text| filter(text)).collect();
            let mut subscriptions = Subscriptions::default();
            for (id, filter) in (0..).zip(&filters) {
                subscriptions.insert(id, filter, 0);
            }
            let mut expected = Vec::new();
            for ((id, filter), removed) in (0..).zip(&filters).zip(removed) {
                if removed {
                    prop_assert_eq!(subscriptions.remove(id, filter.as_str()), Some(0));
                } else if filter.matches(&topic) {
                    expected.push(id);
                }
            }
            prop_assert_eq!(found(&subscriptions, &topic), expected);
        }
    }
}
