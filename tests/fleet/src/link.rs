//! One connection of the raw driver: publishes what its source has, many per write, and brings
//! what was not acknowledged over to the next connection.

use std::time::Duration;

use bellwire_model::QoS;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::LinkError;
use crate::backoff::Backoff;
use crate::packet::{self, Incoming, PublishHead, Sent};
use crate::socket::{Socket, Woken};
use crate::source::{Moment, Next, Source, Verdict};
use crate::terms::{Ended, LinkSettings, Refill, Shared};
use crate::window::Window;

/// No more is encoded ahead of the socket, in bytes; only QoS 0 can reach it.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// The keepalive we promise.
const KEEPALIVE_S: u16 = 60;
/// A ping goes out after so long without a publish: well within the keepalive.
const PING_AFTER: Duration = Duration::from_secs(30);
/// A connection has held, and the one after it may be made at once, after so long.
const HELD_AFTER: Duration = Duration::from_secs(1);
/// How long the service may take to accept a connection and answer CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How one TCP connection ended, if it did not fail.
enum Served {
    Finished,
    Unsettled,
    Cut,
}

/// A connection and its source.
#[derive(Debug)]
pub(crate) struct Link<S: Source> {
    settings: LinkSettings,
    shared: Shared,
    source: S,
    window: Window<S::Item>,
    socket: Socket,
    /// One payload, while it is written.
    payload: Vec<u8>,
    backoff: Backoff,
    /// How many times we have connected.
    connections: u64,
    /// When the source may have more.
    due: Option<Instant>,
    /// Since when the source has nothing any more.
    exhausted_at: Option<Instant>,
    /// The connection is to be dropped as soon as what is encoded has left.
    cut: bool,
    /// When we last heard an acknowledgement, or began to wait for one.
    progress_at: Instant,
    sent_at: Instant,
}

impl<S: Source> Link<S> {
    pub(crate) fn new(settings: LinkSettings, shared: Shared, source: S) -> Self {
        let now = Instant::now();
        Self {
            window: Window::new(settings.in_flight),
            socket: Socket::default(),
            payload: Vec::with_capacity(256),
            backoff: Backoff::default(),
            connections: 0,
            settings,
            shared,
            source,
            due: None,
            exhausted_at: None,
            cut: false,
            progress_at: now,
            sent_at: now,
        }
    }

    pub(crate) fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    pub(crate) fn into_source(self) -> S {
        self.source
    }

    /// Connects, trying again for as long as patience lasts.
    ///
    /// # Errors
    /// What the last try met; `None` if we were stopped meanwhile.
    pub(crate) async fn reach(&mut self) -> Result<TcpStream, Option<LinkError>> {
        loop {
            self.wait_before_connecting().await?;
            match self.connect().await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    tracing::debug!(client.id = %self.settings.client_id, %error, "Not connected.");
                    let now = Instant::now();
                    self.backoff.failed(now);
                    if self.settings.patience.is_some_and(|p| self.backoff.down_for(now) >= p) {
                        return Err(Some(error));
                    }
                }
            }
        }
    }

    async fn wait_before_connecting(&mut self) -> Result<(), Option<LinkError>> {
        let mut delay = self.backoff.delay();
        if self.shared.stop.is_cancelled() {
            let ended_at = *self.exhausted_at.get_or_insert_with(Instant::now);
            let nothing_owed = self.window.is_empty();
            if nothing_owed || ended_at.elapsed() >= self.settings.drain {
                return Err(None);
            }
            delay = delay.min(self.settings.drain);
        } else if delay.is_zero() {
            return Ok(());
        }
        if self.shared.stop.is_cancelled() {
            tokio::time::sleep(delay).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shared.stop.cancelled() => {}
            }
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<TcpStream, LinkError> {
        let mut hello = Vec::with_capacity(64);
        let LinkSettings { protocol, client_id, login, address, .. } = &self.settings;
        packet::connect(&mut hello, *protocol, client_id, login.as_deref(), KEEPALIVE_S);
        let answer = self.socket.open(address, &hello);
        let (stream, incoming) = tokio::time::timeout(CONNECT_TIMEOUT, answer)
            .await
            .map_err(|_| LinkError::Silent(CONNECT_TIMEOUT))??;
        match incoming {
            Incoming::ConnAck { reason: 0, receive_maximum } => {
                self.window.restrict(receive_maximum);
                Ok(stream)
            }
            Incoming::ConnAck { reason, .. } => Err(LinkError::Refused { reason }),
            Incoming::Disconnect { reason } => Err(LinkError::Disconnected { reason }),
            Incoming::PubAck { .. } => Err(packet::PacketError::Unexpected(4).into()),
            Incoming::PingResp => Err(packet::PacketError::Unexpected(13).into()),
        }
    }

    /// Publishes until the source is done, across as many connections as that takes. `first` is a
    /// connection that stands already.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was on its way would be forgotten. Cancel the stop token instead.
    pub(crate) async fn run(&mut self, first: Option<TcpStream>) -> Ended {
        let mut standing = first;
        loop {
            let stream = match standing.take() {
                Some(stream) => stream,
                None => match self.reach().await {
                    Ok(stream) => stream,
                    Err(Some(error)) => return Ended::GaveUp(error),
                    Err(None) if self.window.is_empty() => return Ended::Finished,
                    Err(None) => return Ended::Unsettled,
                },
            };
            self.count_connection();
            let connected_at = Instant::now();
            let served = self.serve(stream).await;
            self.shared.tally.lock().progress.connected -= 1;
            match served {
                Ok(Served::Finished) => return Ended::Finished,
                Ok(Served::Unsettled) => return Ended::Unsettled,
                Ok(Served::Cut) => self.cut = false,
                Err(error) => {
                    tracing::debug!(client.id = %self.settings.client_id, %error, "Lost connection.");
                    self.cut = false;
                    let now = Instant::now();
                    // Nothing is acknowledged with QoS 0: a connection that held is all there is.
                    let held = now >= connected_at + HELD_AFTER;
                    if self.settings.qos == QoS::AtMostOnce && held {
                        self.backoff.succeeded();
                    }
                    self.backoff.failed(now);
                    if self.settings.patience.is_some_and(|p| self.backoff.down_for(now) >= p) {
                        return Ended::GaveUp(error);
                    }
                }
            }
        }
    }

    fn count_connection(&mut self) {
        let mut counts = self.shared.tally.lock();
        counts.progress.connected += 1;
        counts.progress.reconnects += u64::from(self.connections > 0);
        self.connections += 1;
    }

    /// One TCP connection's life.
    async fn serve(&mut self, mut stream: TcpStream) -> Result<Served, LinkError> {
        self.resend();
        let stop = self.shared.stop.clone();
        let stopped = stop.cancelled();
        let mut stopped = std::pin::pin!(stopped);
        let mut check_at = self.progress_at + self.check_every();
        let mut stop_heard = false;
        // Bytes that came together with CONNACK.
        self.take_incoming()?;
        loop {
            let now = self.shared.moment();
            if stop.is_cancelled() {
                self.exhausted_at.get_or_insert(now.instant);
            }
            self.fill(now);
            if let Some(served) = self.ended() {
                return Ok(self.part(stream, served));
            }
            if now.instant >= check_at {
                if let Some(served) = self.check(now.instant)? {
                    return Ok(served);
                }
                check_at = now.instant + self.check_every();
            }
            let wake_at = self.due.map_or(check_at, |due| due.min(check_at));
            let stopped = (!stop_heard).then_some(stopped.as_mut());
            match self.socket.wait(&mut stream, wake_at, stopped).await? {
                Woken::Read => self.take_incoming()?,
                Woken::Written | Woken::Timer => {}
                Woken::Stopped => stop_heard = true,
            }
        }
    }

    /// How this connection has ended, if it has, by itself.
    fn ended(&mut self) -> Option<Served> {
        let finished = self.exhausted_at.is_some() && self.window.is_empty();
        if self.cut || finished {
            self.socket.read_no_more();
        }
        if !self.socket.is_flushed() {
            None
        } else if self.cut {
            Some(Served::Cut)
        } else {
            finished.then_some(Served::Finished)
        }
    }

    /// Says goodbye, unless the connection is to be cut.
    fn part(&mut self, stream: TcpStream, served: Served) -> Served {
        if matches!(served, Served::Finished) {
            // If the socket has no room for two bytes, closing it says as much.
            let _ = stream.try_write(&packet::DISCONNECT);
        }
        drop(stream);
        served
    }

    /// Encodes again what the connection before this one left unacknowledged, in the order it was
    /// sent. [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    fn resend(&mut self) {
        let mut resent = 0;
        for (packet_id, item) in self.window.iter() {
            let head = PublishHead {
                protocol: self.settings.protocol,
                qos: self.settings.qos,
                sent: Sent::Again,
                packet_id,
                topic: self.source.topic(item),
            };
            self.payload.clear();
            self.source.payload(item, &mut self.payload);
            packet::publish(self.socket.out(), head, &self.payload);
            resent += 1;
        }
        let now = Instant::now();
        (self.progress_at, self.sent_at) = (now, now);
        self.shared.tally.lock().progress.resent += resent;
    }

    /// Encodes what the source has and the window has room for.
    fn fill(&mut self, now: Moment) {
        let half = self.settings.refill == Refill::HalfFree;
        if self.cut
            || self.exhausted_at.is_some()
            || half && self.window.len() * 2 > self.window.limit()
        {
            return;
        }
        self.due = None;
        let mut published = 0;
        while self.has_room() && !self.cut {
            match self.source.next(now) {
                Next::Publish(item) => self.encode(item, now.instant),
                Next::PublishAndCut(item) => {
                    self.encode(item, now.instant);
                    self.cut = true;
                }
                Next::At(due) => {
                    self.due = Some(due);
                    break;
                }
                Next::Done => {
                    self.exhausted_at = Some(now.instant);
                    break;
                }
            }
            published += 1;
        }
        if published > 0 {
            self.sent_at = now.instant;
            self.shared.tally.lock().progress.published += published;
        }
    }

    fn has_room(&self) -> bool {
        self.socket.unsent_bytes() < OUT_BYTES_MAX
            && (self.settings.qos == QoS::AtMostOnce || self.window.len() < self.window.limit())
    }

    fn encode(&mut self, item: S::Item, now: Instant) {
        self.payload.clear();
        self.source.payload(&item, &mut self.payload);
        let mut head = PublishHead {
            protocol: self.settings.protocol,
            qos: self.settings.qos,
            sent: Sent::First,
            packet_id: 0,
            topic: "",
        };
        if self.settings.qos == QoS::AtMostOnce {
            head.topic = self.source.topic(&item);
            packet::publish(self.socket.out(), head, &self.payload);
            return;
        }
        if self.window.is_empty() {
            self.progress_at = now;
        }
        head.packet_id = self.window.next_id();
        head.topic = self.source.topic(&item);
        packet::publish(self.socket.out(), head, &self.payload);
        self.window.push(item, now).expect("`has_room` looked");
    }

    /// Settles what the service has acknowledged.
    fn take_incoming(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        let mut counts = self.shared.tally.lock();
        while let Some(incoming) = self.socket.next_packet()? {
            let (packet_id, reason) = match incoming {
                Incoming::PubAck { packet_id, reason } => (packet_id, reason),
                Incoming::PingResp => continue,
                Incoming::Disconnect { reason } => return Err(LinkError::Disconnected { reason }),
                Incoming::ConnAck { .. } => return Err(packet::PacketError::Unexpected(2).into()),
            };
            let Some(flight) = self.window.settle(packet_id) else { continue };
            self.progress_at = now;
            self.backoff.succeeded();
            if reason < 0x80 {
                self.source.settle(&flight.item, Verdict::Acknowledged);
                counts.progress.acknowledged += 1;
                counts.ack_latency.record(now - flight.sent_at);
            } else {
                self.source.settle(&flight.item, Verdict::Refused);
                counts.progress.refused += 1;
            }
        }
        Ok(())
    }

    /// How often [`Link::check`] is due.
    fn check_every(&self) -> Duration {
        let shortest = self
            .settings
            .patience
            .map_or(self.settings.drain, |patience| patience.min(self.settings.drain));
        shortest.clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Looks after what has taken too long.
    fn check(&mut self, now: Instant) -> Result<Option<Served>, LinkError> {
        if self.source.is_over(now) {
            self.exhausted_at.get_or_insert(now);
        }
        if self.exhausted_at.is_some_and(|at| now >= at + self.settings.drain) {
            return Ok(Some(Served::Unsettled));
        }
        if let Some(patience) = self.settings.patience {
            let waiting = !self.window.is_empty() || !self.socket.is_flushed();
            if waiting && now >= self.progress_at + patience {
                self.backoff.failed(self.progress_at);
                return Err(LinkError::Silent(patience));
            }
        }
        if now >= self.sent_at + PING_AFTER && self.socket.is_flushed() {
            self.socket.out().extend_from_slice(&packet::PINGREQ);
            self.sent_at = now;
        }
        Ok(None)
    }
}
