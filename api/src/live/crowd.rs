//! All clients of the feed, by what alerts they want: those that a transition is not for sleep on.

use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::live::client::Client;
use crate::live::filter::{AlertSpec, Filter};
use crate::live::frames::{Entry, Frame};
use crate::live::lane::Stretch;
use crate::live::round::Round;

/// All clients.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// The first is of those that want everything; it stays when it is empty, and others do not.
    groups: Vec<Group>,
}

/// Clients that want the same alerts.
#[derive(Debug)]
struct Group {
    filter: Arc<Filter>,
    clients: HashMap<u64, Arc<Client>>,
    /// The same clients, for who goes through them without our lock; made when it is needed.
    all: Option<Arc<[Arc<Client>]>>,
}

impl Group {
    fn new(spec: AlertSpec) -> Self {
        Self { filter: Arc::new(Filter::new(spec)), clients: HashMap::new(), all: None }
    }

    fn all(&mut self) -> Arc<[Arc<Client>]> {
        let all = || self.clients.values().map(Arc::clone).collect();
        Arc::clone(self.all.get_or_insert_with(all))
    }

    fn wake(&self) {
        self.filter.woken();
        self.clients.values().for_each(|client| client.wake());
    }
}

impl Crowd {
    pub(crate) fn new() -> Self {
        Self { groups: vec![Group::new(AlertSpec::default())] }
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.clients.len()).sum()
    }

    /// Adds a client that wants such alerts; gives the filter that it shares.
    pub(crate) fn join(&mut self, client: &Arc<Client>, spec: AlertSpec) -> Arc<Filter> {
        let known = self.groups.iter().position(|group| *group.filter.spec() == spec);
        let index = known.unwrap_or_else(|| {
            self.groups.push(Group::new(spec));
            self.groups.len() - 1
        });
        let group = &mut self.groups[index];
        group.clients.insert(client.id, Arc::clone(client));
        group.all = None;
        Arc::clone(&group.filter)
    }

    /// Removes a client that had this filter.
    pub(crate) fn leave(&mut self, client: &Client, filter: &Arc<Filter>) {
        let found = self.groups.iter().position(|group| Arc::ptr_eq(&group.filter, filter));
        let Some(index) = found else { return };
        self.groups[index].clients.remove(&client.id);
        self.groups[index].all = None;
        if index > 0 && self.groups[index].clients.is_empty() {
            self.groups.swap_remove(index);
        }
    }

    pub(crate) fn wake_all(&self) {
        self.groups.iter().for_each(Group::wake);
    }

    /// Who is to be told what of these entries, the ring's latest, of which the first has this number.
    /// Wakes those that hear nothing and have not looked for long.
    pub(crate) fn rounds(
        &mut self,
        first: u64,
        entries: &[Arc<Entry>],
        ring_max: usize,
    ) -> Vec<Round> {
        let Some(last) = entries.last() else { return Vec::new() };
        let end = first + entries.len() as u64;
        let stretch = Stretch { first, end, cursor: last.cursor };
        let most = (ring_max as u64 / 4).max(1);
        let mut rounds = Vec::new();
        for group in self.groups.iter_mut().filter(|group| !group.clients.is_empty()) {
            let mut frames = Vec::new();
            group.filter.look_at_all(first, entries.iter(), ring_max, |entry, verdict| {
                frames.extend(Frame::of(entry, verdict));
                ControlFlow::Continue(())
            });
            if !frames.is_empty() {
                group.filter.woken();
                rounds.push(Round::new(group.all(), stretch, frames));
            } else if group.filter.passed(entries.len() as u64, most) {
                group.wake();
            }
        }
        rounds
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::Severity;

    use super::*;

    #[test]
    fn clients_that_want_the_same_share_a_filter_and_the_last_takes_it_along() {
        let mut crowd = Crowd::new();
        let spec = |severity| AlertSpec { severity: Some(severity), ..AlertSpec::default() };
        let clients: Vec<_> = (0..4).map(|id| Arc::new(Client::new(id, 8))).collect();
        let all = crowd.join(&clients[0], AlertSpec::default());
        let bad = crowd.join(&clients[1], spec(Severity::Critical));
        let same = crowd.join(&clients[2], spec(Severity::Critical));
        crowd.join(&clients[3], spec(Severity::Warning));
        assert!(Arc::ptr_eq(&bad, &same));
        assert_eq!((crowd.len(), crowd.groups.len()), (4, 3));
        crowd.leave(&clients[1], &bad);
        assert_eq!(crowd.groups.len(), 3);
        crowd.leave(&clients[2], &bad);
        crowd.leave(&clients[0], &all);
        assert_eq!((crowd.len(), crowd.groups.len()), (1, 2));
        assert!(Arc::ptr_eq(&all, &crowd.join(&clients[0], AlertSpec::default())));
    }
}
