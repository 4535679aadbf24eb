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

/// The most aliases of all nodes and devices that are born: about 300 MB. A birth beyond gives none,
/// and data that needs them is not understood.
pub const TERMS_MAX: usize = 4_000_000;

/// What holds of an edge node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The number that its birth and its death share.
    pub bd_seq: Option<u64>,
    /// Its own aliases; `None`: not born, or dead.
    pub own: Option<Arc<Table>>,
}

/// An edge node and what is behind it, for a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The node itself.
    pub session: Session,
    /// Its devices that are born and not dead.
    pub devices: BTreeMap<Box<str>, Arc<Table>>,
}

/// What held, each from its place on.
#[derive(Debug)]
struct Versions<T>(Vec<(Place, T)>);

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Versions<T> {
    fn before(&self, place: Place) -> Option<&(Place, T)> {
        let index = self.0.partition_point(|(from, _)| *from < place);
        self.0.get(index.checked_sub(1)?)
    }

    fn last(&self) -> Option<&T> {
        self.0.last().map(|(_, value)| value)
    }

    /// Whether `place` is behind all of them. Who reads a place again sets nothing new.
    fn is_new(&self, place: Place) -> bool {
        self.0.last().is_none_or(|(last, _)| *last < place)
    }

    /// Forgets what held only before `position`; says whether there is still more than one.
    fn forget_before(&mut self, position: LogPosition) -> bool {
        let index = self.0.partition_point(|((from, _), _)| *from < position);
        self.0.drain(..index.saturating_sub(1));
        self.0.len() > 1
    }
}

/// One edge node.
#[derive(Debug, Default)]
struct Edge {
    sessions: Versions<Session>,
    /// Births and deaths of each device; the node's are deaths of all.
    devices: BTreeMap<Box<str>, Versions<Option<Arc<Table>>>>,
}

impl Edge {
    fn table(&self, device: &str, place: Place) -> Option<&Arc<Table>> {
        self.devices.get(device)?.before(place)?.1.as_ref()
    }
}

/// All edge nodes, by group and name with a slash between.
#[derive(Clone, Debug, Default)]
pub struct SharedNodes(Arc<Mutex<Nodes>>);

#[derive(Debug, Default)]
struct Nodes {
    by_name: HashMap<Box<str>, Edge>,
    /// Aliases in the latest versions, held or not.
    n_terms: usize,
    /// Whether any has more versions than it needs.
    has_old: bool,
}

impl SharedNodes {
    /// What holds of a node for a publish at `place`: what publishes before it have said.
    #[must_use]
    pub fn session(&self, name: &str, place: Place) -> Option<Session> {
        let nodes = self.lock();
        nodes.by_name.get(name)?.sessions.before(place).map(|(_, session)| session.clone())
    }

    /// The aliases that a device's birth has given, for a publish at `place`.
    #[must_use]
    pub fn table(&self, name: &str, device: &str, place: Place) -> Option<Arc<Table>> {
        self.lock().by_name.get(name)?.table(device, place).cloned()
    }

    /// The devices behind a node that are born and not dead, before `place`.
    #[must_use]
    pub fn devices(&self, name: &str, place: Place) -> Vec<Box<str>> {
        let nodes = self.lock();
        let Some(edge) = nodes.by_name.get(name) else { return Vec::new() };
        let born = edge.devices.keys().filter(|device| edge.table(device, place).is_some());
        born.cloned().collect()
    }

    /// From `place` on the node is this, and no device is born yet.
    pub fn set_session(&self, name: &str, place: Place, mut session: Session) {
        let mut nodes = self.lock();
        let Nodes { by_name, n_terms, has_old } = &mut *nodes;
        let edge = by_name.entry(name.into()).or_default();
        if !edge.sessions.is_new(place) {
            return;
        }
        let behind = edge.devices.values().filter_map(Versions::last);
        let own = edge.sessions.last().and_then(|session| session.own.as_ref());
        let gone: usize = behind.flatten().chain(own).map(|table| table.len()).sum();
        *n_terms = n_terms.saturating_sub(gone);
        session.own = session.own.map(|table| room_for(table, n_terms));
        for versions in edge.devices.values_mut() {
            versions.0.push((place, None));
        }
        edge.sessions.0.push((place, session));
        *has_old = true;
    }

    /// From `place` on the device is born with these aliases, or dead.
    pub fn set_device(&self, name: &str, device: &str, place: Place, table: Option<Arc<Table>>) {
        let mut nodes = self.lock();
        let Nodes { by_name, n_terms, has_old } = &mut *nodes;
        let edge = by_name.entry(name.into()).or_default();
        let versions = edge.devices.entry(device.into()).or_default();
        if !versions.is_new(place) {
            return;
        }
        let gone = versions.last().and_then(|table| table.as_ref()).map_or(0, |table| table.len());
        *n_terms = n_terms.saturating_sub(gone);
        versions.0.push((place, table.map(|table| room_for(table, n_terms))));
        *has_old = true;
    }

    /// Forgets what held only before `position`: nobody reads there again.
    pub fn forget_before(&self, position: LogPosition) {
        let mut nodes = self.lock();
        if !nodes.has_old {
            return;
        }
        let mut has_old = false;
        for edge in nodes.by_name.values_mut() {
            has_old |= edge.sessions.forget_before(position);
            edge.devices.retain(|_, versions| {
                let has_more = versions.forget_before(position);
                has_old |= has_more;
                // One that is dead is as good as one that was never there.
                has_more
                    || versions
                        .0
                        .last()
                        .is_some_and(|((from, _), table)| table.is_some() || *from >= position)
            });
        }
        nodes.has_old = has_old;
    }

    /// What holds of each node now, for a snapshot.
    #[must_use]
    pub fn image(&self) -> BTreeMap<Box<str>, Node> {
        let nodes = self.lock();
        let newest = nodes.by_name.iter().map(|(name, edge)| {
            let born = edge
                .devices
                .iter()
                .filter_map(|(device, versions)| Some((device.clone(), versions.last()?.clone()?)));
            let session = edge.sessions.last().cloned().unwrap_or_default();
            (name.clone(), Node { session, devices: born.collect() })
        });
        newest.collect()
    }

    /// Puts what a snapshot has in place.
    pub fn restore(&self, image: BTreeMap<Box<str>, Node>) {
        let mut n_terms = 0;
        let by_name = image.into_iter().map(|(name, Node { session, devices })| {
            n_terms += session.own.as_ref().map_or(0, |table| table.len());
            let devices = devices.into_iter().map(|(device, table)| {
                n_terms += table.len();
                (device, Versions(vec![((LogPosition::ZERO, 1), Some(table))]))
            });
            let devices = devices.collect();
            let sessions = Versions(vec![((LogPosition::ZERO, 0), session)]);
            (name, Edge { sessions, devices })
        });
        let by_name = by_name.collect();
        *self.lock() = Nodes { by_name, n_terms, has_old: false };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table, or none of it if there is no room; counts it.
fn room_for(table: Arc<Table>, n_terms: &mut usize) -> Arc<Table> {
    if *n_terms + table.len() > TERMS_MAX {
        return Arc::default();
    }
    *n_terms += table.len();
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(position: u64, ordinal: u32) -> Place {
        (LogPosition(position), ordinal)
    }

    fn table(n: u64) -> Arc<Table> {
        let term = |alias| (alias, Term { name: "t".into(), datatype: 10 });
        Arc::new((0..n).map(term).collect())
    }

    fn session(bd_seq: u64) -> Session {
        Session { bd_seq: Some(bd_seq), own: Some(table(bd_seq)) }
    }

    #[test]
    fn each_place_has_what_was_said_before_it() {
        let nodes = SharedNodes::default();
        assert_eq!(nodes.session("g/e", place(5, 0)), None);
        nodes.set_session("g/e", place(10, 1), session(1));
        nodes.set_session("g/e", place(10, 3), session(2));
        nodes.set_session("g/e", place(10, 1), session(3));
        let bd_seq = |at| nodes.session("g/e", at).and_then(|session| session.bd_seq);
        assert_eq!(bd_seq(place(10, 1)), None, "a birth does not hold for itself");
        assert_eq!(bd_seq(place(10, 2)), Some(1));
        assert_eq!(bd_seq(place(10, 3)), Some(1));
        assert_eq!(bd_seq(place(11, 0)), Some(2), "who reads again sets nothing");
        nodes.forget_before(LogPosition(10));
        assert_eq!(bd_seq(place(10, 2)), Some(1), "that is read again");
        nodes.forget_before(LogPosition(11));
        assert_eq!((bd_seq(place(10, 2)), bd_seq(place(11, 0))), (None, Some(2)));
    }

    #[test]
    fn devices_are_born_behind_their_node_and_die_with_it() {
        let nodes = SharedNodes::default();
        nodes.set_session("g/e", place(1, 0), session(1));
        nodes.set_device("g/e", "d", place(2, 0), Some(table(5)));
        nodes.set_session("g/e", place(3, 0), session(2));
        nodes.set_device("g/e", "d", place(4, 0), Some(table(6)));
        nodes.set_device("g/e", "x", place(5, 0), Some(table(7)));
        nodes.set_device("g/e", "x", place(6, 0), None);
        let len = |device, at| nodes.table("g/e", device, place(at, 0)).map(|table| table.len());
        let of_d: Vec<_> = (2..6).map(|at| len("d", at)).collect();
        assert_eq!(of_d, [None, Some(5), None, Some(6)]);
        assert_eq!((len("d", 7), len("x", 6), len("x", 7)), (Some(6), Some(7), None));
        assert_eq!(nodes.devices("g/e", place(6, 0)), ["d".into(), "x".into()]);
        assert_eq!(nodes.devices("g/e", place(7, 0)), ["d".into()]);
        nodes.forget_before(LogPosition(9));
        assert_eq!(nodes.lock().by_name["g/e"].devices.len(), 1, "who is dead is forgotten");
        assert_eq!(nodes.lock().n_terms, 2 + 6);
        let other = SharedNodes::default();
        other.restore(nodes.image());
        assert_eq!((other.image(), other.lock().n_terms), (nodes.image(), 2 + 6));
        assert_eq!(other.devices("g/e", place(10, 0)), ["d".into()]);
    }

    #[test]
    fn aliases_are_bounded() {
        let nodes = SharedNodes::default();
        nodes.lock().n_terms = TERMS_MAX - 10;
        nodes.set_session("g/e", place(1, 0), session(8));
        nodes.set_device("g/e", "d", place(2, 0), Some(table(5)));
        let born = nodes.table("g/e", "d", place(3, 0)).expect("it is born");
        assert_eq!(born.len(), 0, "but its aliases have no meaning");
        assert_eq!(nodes.lock().n_terms, TERMS_MAX - 2);
        nodes.set_session("g/e", place(4, 0), Session::default());
        assert_eq!(nodes.lock().n_terms, TERMS_MAX - 10);
    }
}
