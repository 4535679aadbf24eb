//! The driver's loop.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bellwire_model::Timestamp;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::shared::{ChannelState, TestAnswer};
use super::trial::{self, Ask, TESTS_MAX, TestDone, Tried};
use super::{Notifier, Place, Reading, Source, SourceError};
use crate::channels::{Answer, Outcome, Setting};
use crate::deliveries::{Cause, Delivery, Result as Attempt};
use crate::dispatch::{Dispatch, Failure, Image, News, Notice, Plan, Waiting};
use crate::outbox::OutboxError;

/// Transitions that are read at once.
const PAGE: usize = 1_000;
/// The least time between two looks for transitions: a storm is read in pages.
const READ_PAUSE: Duration = Duration::from_millis(50);
/// The pause before transitions are asked for again that cannot be had now.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// The least time between two writes, unless something is to be sent; and how much longer the pause is
/// than a write takes.
const SAVE_PAUSE: Duration = Duration::from_secs(1);
const SAVE_SHARE: u32 = 20;
/// How often others are shown how it stands, and the longest that is slept.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How long messages that are on their way are waited for at the end.
const LAST_MESSAGES: Duration = Duration::from_secs(5);

/// What was on its way.
pub(super) enum Done {
    Message { notice: Notice, answer: Answer, took: Duration },
    Test { done: Vec<TestDone>, channel: usize, reply: oneshot::Sender<Vec<TestAnswer>> },
}

/// A message on its way.
pub(super) struct Sending(Pin<Box<dyn Future<Output = Done> + Send>>);

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

impl Future for Sending {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        self.0.as_mut().poll(context)
    }
}

impl<S: Source> Notifier<S> {
    /// Runs until it is told to stop; then what is on its way gets a few seconds, and what was told is
    /// written down.
    pub async fn run(mut self, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            self.read().await;
            self.send_due().await;
            self.save_if_due().await;
            self.show();
            let wake = self.wake_at();
            tokio::select! {
                () = stopping.cancelled() => break,
                Some(done) = self.in_flight.next() => self.landed(done),
                () = self.source.changed(), if self.reading == Reading::AtEnd => {
                    self.reading = Reading::Behind(Instant::now() + READ_PAUSE);
                }
                Some(ask) = self.asked.recv() => self.ask(ask),
                () = sleep_until(wake) => {}
            }
        }
        let until = Instant::now() + LAST_MESSAGES;
        while let Ok(Some(done)) =
            timeout(until.saturating_duration_since(Instant::now()), self.in_flight.next()).await
        {
            self.landed(done);
        }
        self.save().await;
    }

    /// The time for waits and pauses: it goes on also while the clock is set back.
    fn now(&mut self) -> Timestamp {
        let (last, at) = self.time;
        let instant = Instant::now();
        let now = self.clock.now().max(last + instant.saturating_duration_since(at));
        self.time = (now, instant);
        now
    }

    /// Reads what there is, page by page. Nothing is sent before: what was silenced meanwhile is not to
    /// be told.
    async fn read(&mut self) {
        while let Reading::Behind(not_before) = self.reading {
            if Instant::now() < not_before {
                return;
            }
            let from = Place { position: self.cursor.position, ordinal: self.cursor.ordinal };
            match self.source.read(from, PAGE).await {
                Ok(page) => self.take(&page),
                Err(error) => {
                    match error {
                        SourceError::Away => debug!("Transitions cannot be had now."),
                        SourceError::Failed(error) => {
                            warn!(error = &*error as &dyn std::error::Error, "{}", READ_FAILED);
                        }
                    }
                    self.reading = Reading::Behind(Instant::now() + AWAY_PAUSE);
                }
            }
        }
    }

    fn take(&mut self, page: &[bellwire_model::Transition]) {
        let now = self.now();
        for transition in page {
            self.dispatch.take(News::of(transition), now);
            self.cursor.position = transition.position;
            self.cursor.ordinal = transition.ordinal.saturating_add(1);
        }
        self.saving.is_due |= !page.is_empty();
        if page.len() < PAGE {
            self.reading = Reading::AtEnd;
        }
    }

    /// Starts what is due. It is written down before: who may have heard of an alert has to be told of
    /// its end, whatever happens to us.
    async fn send_due(&mut self) {
        let now = self.now();
        let mut due = Vec::new();
        for receiver in 0..self.receivers.len() {
            while let Some(notice) = self.dispatch.next(receiver, now) {
                due.push(notice);
            }
        }
        if due.is_empty() {
            return;
        }
        self.save().await;
        let now = self.clock.now();
        for notice in due {
            let receiver = &self.receivers[notice.receiver];
            let (sender, setting) =
                (Arc::clone(&receiver.sender), self.setting(notice.receiver, now));
            self.in_flight.push(Sending(Box::pin(async move {
                let begun = Instant::now();
                let answer = sender.send(&notice, &setting).await;
                Done::Message { notice, answer, took: begun.elapsed() }
            })));
        }
    }

    fn setting(&self, receiver: usize, now: Timestamp) -> Setting {
        let channel = Arc::clone(&self.receivers[receiver].channel);
        Setting { channel, public_url: self.public_url.clone(), now }
    }

    /// A message has arrived, or not.
    fn landed(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Message { notice, answer, took } => {
                let receiver = notice.receiver;
                match answer.outcome {
                    Outcome::Delivered => self.dispatch.told(&notice, now),
                    Outcome::Away(after) => {
                        self.dispatch.failed(&notice, Failure::Away(after), now, dice());
                    }
                    Outcome::Rejected => {
                        self.dispatch.failed(&notice, Failure::Rejected, now, dice());
                    }
                }
                self.saving.is_due = true;
                let channel = self.channel_of[receiver];
                let count = &self.counts[channel];
                count.seconds.observe(took.as_secs_f64());
                match answer.outcome {
                    Outcome::Delivered => count.sent.inc(),
                    Outcome::Away(_) => count.away.inc(),
                    Outcome::Rejected => count.rejected.inc(),
                }
                self.note(receiver, &notice, &answer, took, Cause::Alerts);
            }
            Done::Test { done, channel, reply } => {
                self.n_tests -= 1;
                debug!("A test of channel {channel} is done.");
                let mut answers = Vec::new();
                for TestDone { receiver, address, notice, answer, took } in done {
                    self.note(receiver, &notice, &answer, took, Cause::Test);
                    answers.push(TestAnswer::new(address, answer, took));
                }
                // Whoever asked may have gone.
                let _ = reply.send(answers);
            }
        }
    }

    /// Puts an attempt into the delivery log, and says it if the channel fares otherwise than before.
    fn note(
        &self,
        receiver: usize,
        notice: &Notice,
        answer: &Answer,
        took: Duration,
        cause: Cause,
    ) {
        let to = &self.receivers[receiver];
        let result = match answer.outcome {
            Outcome::Delivered => Attempt::Delivered,
            Outcome::Away(_) => Attempt::Failed,
            Outcome::Rejected => Attempt::Rejected,
        };
        let delivery = Delivery {
            number: 0,
            at: self.clock.now().as_micros(),
            channel: to.channel.to_string(),
            address: to.address,
            message: notice.id.clone(),
            cause,
            result,
            said: answer.said.clone(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            group: notice.group_key.clone(),
            n_firing: notice.n_firing(),
            alerts: match cause {
                Cause::Alerts => notice.alerts.iter().map(|said| said.facts.id.0).collect(),
                Cause::Test => Vec::new(),
            },
        };
        if let Some(witness) = &self.witness {
            witness.attempted(&delivery);
        }
        let (channel, said) = (&to.channel, &answer.said);
        let before = match self.shared.note(self.channel_of[receiver], delivery) {
            Ok(before) => before,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                return warn!(error, "Failed to write the delivery log.");
            }
        };
        match (before, result) {
            (ChannelState::Failing | ChannelState::Rejecting, Attempt::Delivered) => {
                info!("The channel `{channel}` works again.");
            }
            (ChannelState::Failing, Attempt::Failed) => {}
            (_, Attempt::Failed) => {
                warn!("The channel `{channel}` fails, and is tried again: {said}");
            }
            (ChannelState::Rejecting, Attempt::Rejected) => {}
            (_, Attempt::Rejected) => {
                error!("The channel `{channel}` does not take a message: {said}");
            }
            (_, Attempt::Delivered) => {}
        }
    }

    /// Somebody tries a channel.
    fn ask(&mut self, ask: Ask) {
        let Ask { channel: name, reply } = ask;
        let all = self.receivers.iter().enumerate();
        let tried: Vec<Tried> = all
            .filter(|(_, it)| *it.channel == *name)
            .map(|(receiver, it)| Tried {
                receiver,
                address: it.address,
                kind: it.kind,
                sender: Arc::clone(&it.sender),
            })
            .collect();
        // Whoever asked sees that there is no answer.
        let Some(first) = tried.first().map(|it| it.receiver) else { return };
        if self.n_tests >= TESTS_MAX {
            return;
        }
        self.n_tests += 1;
        let channel = self.channel_of[first];
        let setting = self.setting(first, self.clock.now());
        self.in_flight.push(Sending(Box::pin(async move {
            let done = trial::run(tried, setting).await;
            Done::Test { done, channel, reply }
        })));
    }

    async fn save_if_due(&mut self) {
        if self.saving.is_due && Instant::now() >= self.saving.not_before {
            self.save().await;
        }
    }

    /// Writes down what was told, off this thread.
    async fn save(&mut self) {
        let begun = Instant::now();
        let empty = Dispatch::new(Arc::new(Plan::default()));
        let dispatch = std::mem::replace(&mut self.dispatch, empty);
        let (outbox, cursor) = (self.outbox.clone(), self.cursor);
        let writing = tokio::task::spawn_blocking(move || {
            let written = match Image::of(&dispatch).to_bytes() {
                Ok(image) => outbox.write(cursor, &image).map(|()| image.len()).map_err(said),
                Err(error) => Err(error.to_string()),
            };
            (dispatch, written)
        });
        let (dispatch, written) = match writing.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.dispatch = dispatch;
        let pause = SAVE_PAUSE.max(begun.elapsed() * SAVE_SHARE);
        self.saving.not_before = Instant::now() + pause;
        match written {
            Ok(n_bytes) => {
                self.saving.is_due = false;
                self.metrics.state_bytes.set(i64::try_from(n_bytes).unwrap_or(i64::MAX));
                if std::mem::take(&mut self.saving.fails) {
                    info!("What is told to whom is written down again.");
                    self.shared.set_unsaved(None);
                }
            }
            Err(why) => {
                if !std::mem::replace(&mut self.saving.fails, true) {
                    error!(
                        "What is told to whom cannot be written down, a crash would repeat it: {why}"
                    );
                }
                self.shared.set_unsaved(Some(why));
            }
        }
    }

    /// Shows others how it stands, once a second.
    fn show(&mut self) {
        let losses = self.dispatch.take_losses();
        if losses.not_taken > 0 || losses.given_up > 0 {
            self.metrics.lost("not_taken", losses.not_taken);
            self.metrics.lost("given_up", losses.given_up);
            error!(
                "{} alerts are not followed, and the ends of {} are given up: nobody is told of them.",
                losses.not_taken, losses.given_up
            );
        }
        if Instant::now() < self.shown_at {
            return;
        }
        self.shown_at = Instant::now() + SHOW_EVERY;
        self.metrics.alerts.set(i64::try_from(self.dispatch.n_alerts()).unwrap_or(i64::MAX));
        let now = self.now();
        let mut all = vec![Waiting::default(); self.counts.len()];
        for (receiver, channel) in self.channel_of.iter().enumerate() {
            let waiting = self.dispatch.waiting(receiver, now);
            all[*channel].messages += waiting.messages;
            all[*channel].oldest = all[*channel].oldest.max(waiting.oldest);
        }
        for (count, waiting) in self.counts.iter().zip(&all) {
            count.waiting.set(i64::try_from(waiting.messages).unwrap_or(i64::MAX));
            count.oldest.set(i64::try_from(waiting.oldest.as_secs()).unwrap_or(i64::MAX));
        }
        self.shared.set_waiting(&all);
    }

    /// When to look again, whatever happens.
    fn wake_at(&mut self) -> Instant {
        let (now, start) = (self.now(), Instant::now());
        let due = (0..self.receivers.len()).filter_map(|receiver| self.dispatch.due_at(receiver));
        let mut wake = start + SHOW_EVERY;
        if let Some(due) = due.min() {
            wake = wake.min(start + due.since(now));
        }
        if let Reading::Behind(not_before) = self.reading {
            wake = wake.min(not_before);
        }
        if self.saving.is_due {
            wake = wake.min(self.saving.not_before);
        }
        wake
    }
}

const READ_FAILED: &str = "Failed to read transitions; trying again.";

fn said(error: OutboxError) -> String {
    match &error {
        OutboxError::Io { source, .. } => format!("{error}: {source}"),
        OutboxError::Damaged { .. } => error.to_string(),
    }
}

/// Any number.
fn dice() -> u64 {
    RandomState::new().build_hasher().finish()
}
