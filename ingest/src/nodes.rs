//! What Sparkplug's edge nodes have said of themselves at birth, as of places in the log.
//!
//! Data names metrics by aliases that a birth gave them, so what data means depends on an earlier
//! record. *Judge* notes each birth and death with its place; *keep*, which may read the same data
//! later, looks up what held there (`docs/decisions/0050`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bellwire_model::LogPosition;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// A publish: its record, and its place in that.
pub type Place = (LogPosition, u32);

/// What an alias stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The metric, by our name.
    pub name: Box<str>,
    /// Sparkplug's number of its data type; 0: not told.
    pub datatype: u32,
}

/// The aliases that a birth has given.
pub type Table = BTreeMap<u64, Term>;

/// An edge node between its birth and its death, or after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The number that its birth and its death share.
    pub bd_seq: Option<u64>,
    /// Its own aliases; `None`: not born, or dead.
    pub own: Option<Arc<Table>>,
    /// Those of its devices that are born and not dead.
    pub devices: BTreeMap<Box<str>, Arc<Table>>,
}

/// All edge nodes, by group and name with a slash between; of each, what held from which place on.
#[derive(Clone, Debug, Default)]
pub struct SharedNodes(Arc<Mutex<Nodes>>);

#[derive(Debug, Default)]
struct Nodes {
    by_name: HashMap<Box<str>, Vec<(Place, Arc<Node>)>>,
    /// Whether any of them has more than it needs.
    has_old: bool,
}

impl SharedNodes {
    /// What holds for a publish at `place`: what publishes before it have said.
    #[must_use]
    pub fn before(&self, name: &str, place: Place) -> Option<Arc<Node>> {
        let nodes = self.lock();
        let all = nodes.by_name.get(name)?;
        let index = all.partition_point(|(from, _)| *from < place);
        all.get(index.checked_sub(1)?).map(|(_, node)| Arc::clone(node))
    }

    /// From `place` on the node is this. Who reads a place again sets nothing new.
    pub fn set(&self, name: &str, place: Place, node: Node) {
        let mut nodes = self.lock();
        let all = nodes.by_name.entry(name.into()).or_default();
        if all.last().is_none_or(|(last, _)| *last < place) {
            all.push((place, Arc::new(node)));
            nodes.has_old |= all.len() > 1;
        }
    }

    /// Forgets what held only before `position`: nobody reads there again.
    pub fn forget_before(&self, position: LogPosition) {
        let mut nodes = self.lock();
        if !nodes.has_old {
            return;
        }
        let mut has_old = false;
        for all in nodes.by_name.values_mut() {
            let index = all.partition_point(|((from, _), _)| *from < position);
            all.drain(..index.saturating_sub(1));
            has_old |= all.len() > 1;
        }
        nodes.has_old = has_old;
    }

    /// What holds of each node now, for a snapshot.
    #[must_use]
    pub fn image(&self) -> BTreeMap<Box<str>, Arc<Node>> {
        let nodes = self.lock();
        let newest = nodes.by_name.iter().filter_map(|(name, all)| Some((name, &all.last()?.1)));
        newest.map(|(name, node)| (name.clone(), Arc::clone(node))).collect()
    }

    /// Puts what a snapshot has in place.
    pub fn restore(&self, image: BTreeMap<Box<str>, Arc<Node>>) {
        let start = (LogPosition::ZERO, 0);
        let all = image.into_iter().map(|(name, node)| (name, vec![(start, node)]));
        *self.lock() = Nodes { by_name: all.collect(), has_old: false };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(position: u64, ordinal: u32) -> Place {
        (LogPosition(position), ordinal)
    }

    fn node(bd_seq: u64) -> Node {
        Node { bd_seq: Some(bd_seq), ..Node::default() }
    }

    #[test]
    fn each_place_has_what_was_said_before_it() {
        let nodes = SharedNodes::default();
        assert_eq!(nodes.before("g/e", place(5, 0)), None);
        nodes.set("g/e", place(10, 1), node(1));
        nodes.set("g/e", place(10, 3), node(2));
        nodes.set("g/e", place(10, 1), node(3));
        let bd_seq = |at| nodes.before("g/e", at).and_then(|node| node.bd_seq);
        assert_eq!(bd_seq(place(10, 1)), None, "a birth does not hold for itself");
        assert_eq!(bd_seq(place(10, 2)), Some(1));
        assert_eq!(bd_seq(place(10, 3)), Some(1));
        assert_eq!(bd_seq(place(11, 0)), Some(2), "who reads again sets nothing");
        nodes.forget_before(LogPosition(10));
        assert_eq!(bd_seq(place(10, 2)), Some(1), "that is read again");
        nodes.forget_before(LogPosition(11));
        assert_eq!((bd_seq(place(10, 2)), bd_seq(place(11, 0))), (None, Some(2)));
        let other = SharedNodes::default();
        other.restore(nodes.image());
        assert_eq!(other.before("g/e", place(1, 0)), nodes.before("g/e", place(12, 0)));
    }
}
