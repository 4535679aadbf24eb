//! Brings a client up to date: what it missed, from memory or history, then the snapshot.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use bellwire_model::Cursor;
use tracing::warn;

use crate::app::App;
use crate::live::client::Subscriber;
use crate::live::feed::{Feed, Seek};
use crate::live::frames::{Entry, Frame, Resume};
use crate::live::hub::{Hub, Present};
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

    /// The cursor of a client that has it.
    pub(crate) fn cursor(&self) -> Cursor {
        self.present.cursor
    }

    /// The frame.
    pub(crate) fn text(self, hub: &Hub) -> Utf8Bytes {
        hub.metrics().live.resumed(self.outcome).inc();
        hub.metrics().live.snapshots_sent.inc();
        hub.snapshot_text(self.head, self.outcome, &self.present)
    }
}

/// Brings one client up to date.
#[derive(Debug)]
pub(crate) struct CatchUp {
    stage: Stage,
    n_left: usize,
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
        Self { stage: Stage::Begin(claim), n_left }
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
                Seek::InRing(number) => frames_since(feed, number),
                Seek::BeforeRing(_) | Seek::Ahead => Vec::new(),
            };
            (seek, missed, present(feed), feed.head())
        });
        match seek {
            Seek::InRing(_) => {
                subscriber.go_on_from(head);
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
        let hub = subscriber.hub();
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
        let sent = hub.now();
        // Only what is in order and new, whatever history says: a client never hears twice. What
        // begins at `floor` is the ring's to tell, which may not have heard of it yet.
        let mut next = from;
        let mut missed = Vec::with_capacity(page.len());
        for transition in &page {
            let place = Place::of(transition);
            if place >= next && place < floor {
                next = place.after();
                let cursor = next.cursor(hub.log());
                let times = TimesView::kept(transition, Some(sent));
                let entry = Entry::new(cursor, transition, times);
                missed.push(Frame::Transition(Arc::new(entry)));
            }
        }
        // A short page means that history has no more; it had all that was before `floor`.
        let reached = page.last().is_some_and(|last| Place::of(last) >= floor);
        let from = if page.len() < limit || reached { next.max(floor) } else { next };
        self.stage = Stage::Missing { from, outcome: Resume::FromHistory };
        (!missed.is_empty()).then_some(missed)
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
    subscriber.go_on_from(head);
    Stage::UpToDate(Some(Snapshot { present, head, outcome }))
}

fn present(feed: &Feed) -> Present {
    let alerts = feed.open().map(|open| Arc::clone(&open.json)).collect();
    Present { cursor: feed.cursor(), alerts }
}

fn frames_since(feed: &Feed, number: u64) -> Vec<Frame> {
    feed.since(number, usize::MAX)
        .map(|entries| entries.map(|entry| Frame::Transition(Arc::clone(entry))).collect())
        .unwrap_or_default()
}
