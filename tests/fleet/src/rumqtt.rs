//! The driver that is a real client: `rumqttc`, in either version of MQTT, for smaller fleets.
//!
//! rumqttc sets no DUP, and forgets what was on its way when the server keeps no session. So after
//! a lost connection we publish again ourselves, as a careful application would.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use bellwire_model::QoS;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::client::{self, Asker, Events, Heard};
use crate::fleet::{FleetReport, client_id};
use crate::load::Load;
use crate::source::{Next, Source, Verdict};
use crate::terms::{Ended, Shared};
use crate::window::Flight;
use crate::{FleetConfig, FleetError, LinkError};

/// How often a connection looks at the stop token and its patience.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Runs the loads, a client each.
pub(crate) async fn run(
    config: &FleetConfig,
    shared: &Shared,
    loads: Vec<Load>,
) -> Result<FleetReport, FleetError> {
    let (host, port) = config
        .address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .ok_or(FleetError::Config { key: "address", problem: "must be host:port" })?;
    let began = shared.moment();
    let mut running: FuturesUnordered<_> = loads
        .into_iter()
        .zip(1..)
        .map(|(mut load, number)| {
            let id = client_id(config, number);
            let (asker, events) = client::new(config, &id, (host, port));
            async move {
                load.begin(began);
                Book::new(config, shared, asker, load).run(events).await
            }
        })
        .collect();
    let mut report = FleetReport::default();
    while let Some((load, ended)) = running.next().await {
        report.take_in(load, ended);
    }
    report.close(shared, began.instant);
    Ok(report)
}

/// One client's load and what of it is on its way.
struct Book<'a> {
    config: &'a FleetConfig,
    shared: &'a Shared,
    asker: Asker,
    load: Load,
    /// Handed to the client and not sent yet, oldest first.
    asked: VecDeque<Flight<Numbered>>,
    /// Sent, by packet identifier.
    sent: BTreeMap<u16, Flight<Numbered>>,
    /// To be published again, oldest first.
    again: VecDeque<Flight<Numbered>>,
    next_number: u64,
    cut: Cut,
    connection: Connection,
    connections_made: u64,
    backoff: Backoff,
    due: Option<Instant>,
    exhausted_at: Option<Instant>,
    progress_at: Instant,
}

/// A message, and its place in the order of publishing.
struct Numbered {
    number: u64,
    message: <Load as Source>::Item,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Not,
    /// When this one has been sent.
    After(u64),
    Now,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Down,
    Up,
}

impl<'a> Book<'a> {
    fn new(config: &'a FleetConfig, shared: &'a Shared, asker: Asker, load: Load) -> Self {
        Self {
            config,
            shared,
            asker,
            load,
            asked: VecDeque::new(),
            sent: BTreeMap::new(),
            again: VecDeque::new(),
            next_number: 0,
            cut: Cut::Not,
            connection: Connection::Down,
            connections_made: 0,
            backoff: Backoff::default(),
            due: None,
            exhausted_at: None,
            progress_at: Instant::now(),
        }
    }

    async fn run(mut self, mut events: Events) -> (Load, Ended) {
        let ended = loop {
            let heard = match self.hear(&mut events).await {
                ControlFlow::Continue(heard) => heard,
                ControlFlow::Break(ended) => break ended,
            };
            match heard {
                Ok(heard) => self.take(heard),
                Err(error) => {
                    tracing::debug!(%error, "Lost connection.");
                    self.lose_connection(&mut events);
                    let now = Instant::now();
                    self.backoff.failed(now);
                    if self.backoff.down_for(now) >= self.config.patience {
                        break Ended::GaveUp(error);
                    }
                    tokio::time::sleep(self.backoff.delay()).await;
                }
            }
            if self.cut == Cut::Now {
                events.drop_connection();
                self.lose_connection(&mut events);
            }
        };
        if self.connection == Connection::Up {
            self.shared.tally.lock().progress.connected -= 1;
        }
        (self.load, ended)
    }

    /// Waits for the client to tell something, handing it what is due meanwhile. The client's poll
    /// is never cancelled, except at the very end.
    async fn hear(&mut self, events: &mut Events) -> ControlFlow<Ended, Result<Heard, LinkError>> {
        let mut hearing = std::pin::pin!(events.hear());
        loop {
            let now = Instant::now();
            if self.shared.stop.is_cancelled() || self.load.is_over(now) {
                self.exhausted_at.get_or_insert(now);
            }
            self.refill();
            if let Some(ended) = self.ended(now) {
                return ControlFlow::Break(ended);
            }
            let check_at = now + CHECK_EVERY;
            let wake_at = self.due.map_or(check_at, |due| due.min(check_at));
            tokio::select! {
                heard = &mut hearing => return ControlFlow::Continue(heard),
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    fn ended(&self, now: Instant) -> Option<Ended> {
        let on_their_way = self.asked.len() + self.sent.len() + self.again.len();
        let exhausted_at = self.exhausted_at?;
        if on_their_way == 0 {
            Some(Ended::Finished)
        } else if now >= exhausted_at + self.config.drain {
            Some(Ended::Unsettled)
        } else if now >= self.progress_at + self.config.patience {
            Some(Ended::GaveUp(LinkError::Silent(self.config.patience)))
        } else {
            None
        }
    }

    /// Hands the client what there is room for.
    fn refill(&mut self) {
        let limit = usize::from(self.config.in_flight);
        while self.connection == Connection::Up
            && self.cut == Cut::Not
            && self.asked.len() + self.sent.len() < limit
        {
            let flight = match self.again.pop_front() {
                Some(flight) => flight,
                None => match self.next() {
                    Some(flight) => flight,
                    None => return,
                },
            };
            let mut payload = Vec::with_capacity(128);
            self.load.payload(&flight.item.message, &mut payload);
            let topic = self.load.topic(&flight.item.message);
            if self.asker.publish(topic, self.config.qos, payload).is_err() {
                // Its queue has as many places as there may be publishes on their way, but it may
                // not have taken the last ones out yet.
                self.again.push_front(flight);
                return;
            }
            self.asked.push_back(flight);
        }
    }

    fn next(&mut self) -> Option<Flight<Numbered>> {
        if self.exhausted_at.is_some() {
            return None;
        }
        let now = self.shared.moment();
        self.due = None;
        let number = self.next_number;
        let message = match self.load.next(now) {
            Next::Publish(message) => message,
            Next::PublishAndCut(message) => {
                self.cut = Cut::After(number);
                message
            }
            Next::At(due) => {
                self.due = Some(due);
                return None;
            }
            Next::Done => {
                self.exhausted_at = Some(now.instant);
                return None;
            }
        };
        self.next_number += 1;
        self.shared.tally.lock().progress.published += 1;
        if self.asked.is_empty() && self.sent.is_empty() {
            self.progress_at = now.instant;
        }
        Some(Flight { item: Numbered { number, message }, sent_at: now.instant })
    }

    fn take(&mut self, heard: Heard) {
        match heard {
            Heard::Connected => {
                self.connection = Connection::Up;
                self.progress_at = Instant::now();
                let mut counts = self.shared.tally.lock();
                counts.progress.connected += 1;
                counts.progress.reconnects += u64::from(self.connections_made > 0);
                counts.progress.resent += self.again.len() as u64;
                self.connections_made += 1;
            }
            Heard::Sent(packet_id) => {
                let Some(flight) = self.asked.pop_front() else { return };
                if self.cut == Cut::After(flight.item.number) {
                    self.cut = Cut::Now;
                }
                if self.config.qos != QoS::AtMostOnce {
                    self.sent.insert(packet_id, flight);
                }
            }
            Heard::Answered(packet_id, verdict) => self.settle(packet_id, verdict),
            Heard::Other => {}
        }
    }

    fn settle(&mut self, packet_id: u16, verdict: Verdict) {
        let Some(flight) = self.sent.remove(&packet_id) else { return };
        let now = Instant::now();
        self.progress_at = now;
        self.backoff.succeeded();
        self.load.settle(&flight.item.message, verdict);
        let mut counts = self.shared.tally.lock();
        match verdict {
            Verdict::Acknowledged => {
                counts.progress.acknowledged += 1;
                counts.ack_latency.record(now - flight.sent_at);
            }
            Verdict::Refused => counts.progress.refused += 1,
        }
    }

    /// The connection is gone: what is on its way is to be published again, in order.
    fn lose_connection(&mut self, events: &mut Events) {
        if self.connection == Connection::Up {
            self.shared.tally.lock().progress.connected -= 1;
        }
        self.connection = Connection::Down;
        self.cut = Cut::Not;
        events.forget();
        let mut lost: Vec<_> = std::mem::take(&mut self.sent).into_values().collect();
        lost.extend(self.asked.drain(..));
        lost.extend(self.again.drain(..));
        lost.sort_by_key(|flight| flight.item.number);
        self.again = lost.into();
    }
}
