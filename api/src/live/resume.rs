//! Brings a client up to date: what it missed, from memory or history, then the snapshot.

use std::sync::Arc;

use bellwire_model::{AlertId, AlertState, Cursor, Transition};
use hashbrown::HashMap;
use tracing::warn;

use crate::app::App;
use crate::live::client::Subscriber;
use crate::live::encoded::Encoded;
use crate::live::feed::{Feed, Overrun, Seek};
use crate::live::filter::{AlertSpec, Before, Facts, Filter, Verdict};
use crate::live::frames::{self, Entry, Frame, Resume};
use crate::live::hub::Hub;
use crate::ports::Place;
use crate::views::TimesView;

/// Transitions fetched from history in one go.
const PAGE: usize = 500;

/// What a client sends as its cursor: nothing, a cursor, or something that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is new, or wants to begin anew.
    Fresh,
    /// It has seen everything up to here.
    Seen(Cursor),
    /// It sent a text that is no cursor.
    Unreadable,
}

impl Claim {
    pub(crate) fn read(text: Option<&str>) -> Self {
        match text {
            None => Self::Fresh,
            Some(text) => text.parse().map_or(Self::Unreadable, Self::Seen),
        }
    }
}

/// The next thing to send to a client that is being brought up to date.
#[derive(Debug)]
pub(crate) enum Step {
    /// Transitions it missed.
    Missed(Vec<Frame>),
    /// The present; it is up to date, and goes on with [`Subscriber::take`].
    Snapshot(Snapshot),
}

/// The present as of one moment, not yet made into text.
#[derive(Debug)]
pub(crate) struct Snapshot {
    present: Present,
    head: u64,
    outcome: Resume,
}

impl Snapshot {
    /// Whether the client has had every transition since its cursor.
    pub(crate) fn resumed(&self) -> bool {
        self.outcome.resumed()
    }

    /// The frame, of the alerts that `filter` shows: made once for all who come to it the same way.
    pub(crate) fn frame(self, hub: &Hub, filter: &Filter) -> Arc<Encoded> {
        hub.metrics().live.resumed(self.outcome).inc();
        hub.metrics().live.snapshots_sent.inc();
        let Self { present, head, outcome } = self;
        filter.snapshot(outcome, head, || {
            let shown = present.alerts.iter().filter(|(facts, _)| filter.shows(facts));
            let alerts: Vec<&str> = shown.map(|(_, json)| &**json).collect();
            frames::snapshot(present.cursor, outcome, alerts.into_iter())
        })
    }
}

/// Has a client that is up to date ask for other alerts: what it had asked for before is sent up to
/// here, then the present as it has asked for it now.
///
/// # Errors
/// [`Overrun`] if transitions were lost to this client.
pub(crate) fn ask_for_others(
    subscriber: &mut Subscriber,
    spec: AlertSpec,
) -> Result<(Vec<Frame>, Snapshot), Overrun> {
    let mut frames = Vec::new();
    let spec = AlertSpec { within: subscriber.within(), ..spec };
    let filter = subscriber.hub().change_filter(subscriber.client(), subscriber.filter(), spec);
    loop {
        let mut some = Vec::new();
        subscriber.take_transitions(&mut some)?;
        frames.append(&mut some);
        // A transition may come between the look and this.
        let (present, head) = subscriber.hub().with_feed(|feed| (present(feed), feed.head()));
        if subscriber.lag_to(head) == 0 {
            subscriber.filter_by(filter);
            return Ok((frames, Snapshot { present, head, outcome: Resume::Subscribed }));
        }
    }
}

/// Brings one client up to date.
#[derive(Debug)]
pub(crate) struct CatchUp {
    stage: Stage,
    n_left: usize,
    /// Open alerts of which history has told, as they were then.
    told: HashMap<AlertId, Arc<Facts>>,
}

#[derive(Debug)]
enum Stage {
    /// It must be looked up where the client stands.
    Begin(Claim),
    /// Everything from here on is missing.
    Missing { from: Place, outcome: Resume },
    /// All that was missing has been sent.
    UpToDate(Option<Snapshot>),
}

impl CatchUp {
    pub(crate) fn new(claim: Claim, subscriber: &Subscriber) -> Self {
        let n_left = subscriber.hub().config().resume_transitions_max.get();
        Self { stage: Stage::Begin(claim), n_left, told: HashMap::new() }
    }

    /// The next thing to send. After [`Step::Snapshot`] this is done with.
    pub(crate) async fn step(&mut self, subscriber: &mut Subscriber, app: &App) -> Step {
        loop {
            match &mut self.stage {
                Stage::Begin(claim) => self.stage = begin(claim, subscriber),
                Stage::Missing { from, outcome } => {
                    let (from, outcome) = (*from, *outcome);
                    if let Some(missed) = self.missing(from, outcome, subscriber, app).await {
                        return Step::Missed(missed);
                    }
                }
                Stage::UpToDate(ready) => match ready.take() {
                    Some(ready) => return Step::Snapshot(ready),
                    None => self.stage = snapshot(subscriber, Resume::Fresh),
                },
            }
        }
    }

    /// Goes one step on from `from`: what the ring has, or else a page of history.
    async fn missing(
        &mut self,
        from: Place,
        outcome: Resume,
        subscriber: &mut Subscriber,
        app: &App,
    ) -> Option<Vec<Frame>> {
        let (seek, missed, present, head) = subscriber.hub().with_feed(|feed| {
            let seek = feed.seek(from);
            let missed = match seek {
                Seek::InRing(number) => frames_since(feed, number, subscriber.filter()),
                Seek::BeforeRing(_) | Seek::Ahead => Vec::new(),
            };
            (seek, missed, present(feed), feed.head())
        });
        match seek {
            Seek::InRing(_) => {
                subscriber.go_on_from(head, present.cursor);
                self.stage = Stage::UpToDate(Some(Snapshot { present, head, outcome }));
                (!missed.is_empty()).then_some(missed)
            }
            Seek::Ahead => {
                self.stage = snapshot(subscriber, Resume::Ahead);
                None
            }
            Seek::BeforeRing(floor) => self.history(from, floor, subscriber, app).await,
        }
    }

    /// A page of history from `from` on; the ring has everything from `floor` on.
    async fn history(
        &mut self,
        from: Place,
        floor: Place,
        subscriber: &mut Subscriber,
        app: &App,
    ) -> Option<Vec<Frame>> {
        let limit = PAGE.min(self.n_left);
        if limit == 0 {
            self.stage = snapshot(subscriber, Resume::TooOld);
            return None;
        }
        let page = tokio::select! {
            page = app.history(|history| history.transitions(from, limit)) => page,
            // The client is about to be told that the service stops: it need not wait for this.
            () = app.closing.cancelled() => Ok(Vec::new()),
        };
        let page = match page {
            Ok(page) if !app.closing.is_cancelled() => page,
            Ok(_) => {
                self.stage = snapshot(subscriber, Resume::HistoryAway);
                return None;
            }
            Err(problem) => {
                let code = problem.code();
                warn!(code, "A live client gets a snapshot instead of what it missed: {code}.");
                self.stage = snapshot(subscriber, Resume::HistoryAway);
                return None;
            }
        };
        self.n_left -= page.len().min(self.n_left);
        // Only what is in order and new, whatever history says: a client never hears twice. What
        // begins at `floor` is the ring's to tell, which may not have heard of it yet.
        let mut next = from;
        let mut missed = Vec::with_capacity(page.len());
        for transition in &page {
            let place = Place::of(transition);
            if place >= next && place < floor {
                next = place.after();
                missed.extend(self.frame_of(transition, subscriber));
            }
        }
        // A short page means that history has no more; it had all that was before `floor`.
        let reached = page.last().is_some_and(|last| Place::of(last) >= floor);
        let from = if page.len() < limit || reached { next.max(floor) } else { next };
        self.stage = Stage::Missing { from, outcome: Resume::FromHistory };
        subscriber.has_seen(from.cursor(subscriber.hub().log()));
        (!missed.is_empty()).then_some(missed)
    }

    /// What a client hears of a transition from history.
    fn frame_of(&mut self, transition: &Transition, subscriber: &Subscriber) -> Option<Frame> {
        let hub = subscriber.hub();
        let facts = hub.facts_of(&transition.alert);
        let before = if transition.alert.is_open() {
            self.told.insert(transition.alert.id, Arc::clone(&facts))
        } else {
            self.told.remove(&transition.alert.id)
        };
        let cursor = Place::of(transition).after().cursor(hub.log());
        let times = TimesView::kept(transition, Some(hub.now()));
        let mut entry = Entry::new(cursor, transition, times, facts);
        entry.before = match before {
            Some(facts) => Before::Open(facts),
            None if transition.from == AlertState::Inactive => Before::Nothing,
            None => Before::Unknown,
        };
        frame_of(subscriber.filter().look_at(&entry), Arc::new(entry))
    }
}

fn frame_of(verdict: Verdict, entry: Arc<Entry>) -> Option<Frame> {
    match verdict {
        Verdict::Told => Some(Frame::Transition(entry)),
        Verdict::Gone => Some(Frame::Gone(entry)),
        Verdict::Passed => None,
    }
}

fn begin(claim: &Claim, subscriber: &mut Subscriber) -> Stage {
    match claim {
        Claim::Fresh => snapshot(subscriber, Resume::Fresh),
        Claim::Unreadable => snapshot(subscriber, Resume::BadCursor),
        Claim::Seen(cursor) if cursor.log != subscriber.hub().log() => {
            snapshot(subscriber, Resume::OtherLog)
        }
        Claim::Seen(cursor) => {
            Stage::Missing { from: Place::unseen(cursor), outcome: Resume::FromMemory }
        }
    }
}

/// The present, and from there on.
fn snapshot(subscriber: &mut Subscriber, outcome: Resume) -> Stage {
    let (present, head) = subscriber.hub().with_feed(|feed| (present(feed), feed.head()));
    subscriber.go_on_from(head, present.cursor);
    Stage::UpToDate(Some(Snapshot { present, head, outcome }))
}

/// The present as a snapshot tells it.
#[derive(Debug)]
struct Present {
    cursor: Cursor,
    alerts: Vec<(Arc<Facts>, Arc<str>)>,
}

fn present(feed: &Feed) -> Present {
    let alerts = feed.open().map(|open| (Arc::clone(&open.facts), Arc::clone(&open.json)));
    Present { cursor: feed.cursor(), alerts: alerts.collect() }
}

fn frames_since(feed: &Feed, number: u64, filter: &Filter) -> Vec<Frame> {
    let Ok(entries) = feed.since(number, usize::MAX) else { return Vec::new() };
    entries.filter_map(|entry| frame_of(filter.look_at(entry), Arc::clone(entry))).collect()
}
