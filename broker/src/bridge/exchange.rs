//! One connection of a bridge: drives the session, takes what it gathers to the log, and acknowledges
//! what the log has.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Delivery, Outcome, QoS, Receipt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::link::Stream;
use super::metrics::Refusal;
use super::owed::{Debt, Owed};
use super::packets::{self, Connack};
use super::session::{Claims, Gathered, Heard, Session};
use super::status::BridgeStatus;
use super::{Bridge, BridgeInlet, Outward, filters};
use crate::codec::Version;
use crate::codec::publish::Outbound;

/// What is read at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes that are taken before they are in the log, beside those of the last read.
const OWED_BYTES_MAX: usize = 4 << 20;
/// How long the broker may take to answer CONNECT and SUBSCRIBE, or to take what we write.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a stopping bridge waits for what is on its way into the log.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether something is due.
const PULSE: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The service stops.
    Stopped,
    /// The broker says that it does not know this version of MQTT.
    WrongVersion,
    /// It ended before the broker had said anything, as with some that know MQTT 3.1.1 only.
    Mute(String),
    /// Anything else.
    Failed(String),
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Subscribing,
    Live,
    Stopping,
}

/// What happens next.
enum Event {
    Read(std::io::Result<usize>),
    /// The log has had room.
    Submitted,
    Due(Debt, Outcome),
    Pulse,
    Outward(Outward),
    Stop,
}

type Submitting = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// One connection.
pub(crate) struct Exchange<'a, I> {
    bridge: &'a mut Bridge<I>,
    version: Version,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    session: Session,
    owed: Owed,
    /// A delivery for which the log has no room yet.
    submitting: Submitting,
    phase: Phase,
    phase_since: Instant,
    /// When something came last, or could not be read.
    heard_at: Instant,
    pinged_at: Instant,
    keep_alive: Duration,
    next_id: u16,
    /// What was subscribed to, by the version of the claims then.
    subscribed: (u64, Vec<String>),
    /// What waits for its SUBACK.
    asked: Option<(u16, Vec<String>)>,
}

struct OurClaims<'a, I>(&'a I);

impl<I: BridgeInlet> Claims for OurClaims<'_, I> {
    fn claims(&self, topic: &str) -> bool {
        self.0.claims(topic)
    }
}

async fn submitted(submitting: &mut Submitting) {
    match submitting {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl<'a, I: BridgeInlet> Exchange<'a, I> {
    pub(crate) fn new(
        bridge: &'a mut Bridge<I>,
        stream: Box<dyn Stream>,
        version: Version,
    ) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let config = &bridge.config;
        let session = Session::new(version, &config.topic_prefix, bridge.packet_bytes_max);
        let now = Instant::now();
        Self {
            version,
            reader,
            writer,
            session,
            owed: Owed::default(),
            submitting: None,
            phase: Phase::Connecting,
            phase_since: now,
            heard_at: now,
            pinged_at: now,
            keep_alive: config.keep_alive(),
            next_id: 0,
            subscribed: (0, Vec::new()),
            asked: None,
            bridge,
        }
    }

    /// Runs until either side ends it.
    pub(crate) async fn run(mut self, stopping: &CancellationToken) -> End {
        let end = match self.greet().await {
            Ok(()) => self.serve(stopping).await,
            Err(end) => end,
        };
        if end == End::Stopped {
            let mut bye = Vec::new();
            packets::disconnect(&mut bye);
            // Who does not listen any more need not be told.
            let _ = self.write(&bye).await;
        }
        end
    }

    async fn serve(&mut self, stopping: &CancellationToken) -> End {
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if self.phase == Phase::Stopping && self.submitting.is_none() && self.owed.is_empty() {
                return End::Stopped;
            }
            let event = self.next(stopping, &mut pulse, &mut buffer).await;
            let done = match event {
                Event::Read(Ok(0)) => Err(self.broken("it closed the connection")),
                Event::Read(Ok(n)) => self.take(&buffer[..n]).await,
                Event::Read(Err(error)) => Err(self.broken(&format!("cannot read: {error}"))),
                Event::Submitted => {
                    self.submitting = None;
                    Ok(())
                }
                Event::Due(debt, outcome) => self.settle(debt, outcome).await,
                Event::Pulse => self.pulse().await,
                Event::Outward(outward) => self.publish(&outward).await,
                Event::Stop => {
                    self.enter(Phase::Stopping);
                    Ok(())
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn next(
        &mut self,
        stopping: &CancellationToken,
        pulse: &mut Interval,
        buffer: &mut [u8],
    ) -> Event {
        let may_read = self.may_read();
        let is_live = self.phase == Phase::Live;
        let is_stopping = self.phase == Phase::Stopping;
        tokio::select! {
            () = stopping.cancelled(), if !is_stopping => Event::Stop,
            (debt, outcome) = self.owed.due() => Event::Due(debt, outcome),
            () = submitted(&mut self.submitting), if self.submitting.is_some() => Event::Submitted,
            n = self.reader.read(buffer), if may_read => Event::Read(n),
            Some(outward) = self.bridge.outward.recv(), if is_live => Event::Outward(outward),
            _ = pulse.tick() => Event::Pulse,
        }
    }

    /// While the log has no room, or too much is owed, the broker waits.
    fn may_read(&self) -> bool {
        let publishes_max = usize::from(self.bridge.config.receive_max);
        self.phase != Phase::Stopping
            && self.submitting.is_none()
            && self.owed.has_room(publishes_max, OWED_BYTES_MAX)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since = Instant::now();
    }

    /// The connection is broken.
    fn broken(&self, why: &str) -> End {
        match self.phase {
            Phase::Connecting => End::Mute(why.to_owned()),
            _ => End::Failed(why.to_owned()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let writing = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        match timeout(PATIENCE, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&format!("cannot write: {error}"))),
            Err(_) => Err(End::Failed("it does not read what we write".to_owned())),
        }
    }

    async fn greet(&mut self) -> Result<(), End> {
        let config = Arc::clone(&self.bridge.config);
        let reading = Arc::clone(&config);
        let password = tokio::task::spawn_blocking(move || reading.password())
            .await
            .map_err(|error| End::Failed(error.to_string()))?
            .map_err(|error| End::Failed(error.to_string()))?;
        let mut bytes = Vec::new();
        let connect = packets::Connect {
            client_id: &self.bridge.client_id,
            user: config.user.as_deref(),
            password: password.as_deref(),
            keep_alive_s: config.keep_alive_s,
            session_expiry_s: config.session_expiry_s,
            receive_max: config.receive_max,
        };
        packets::connect(&mut bytes, self.version, &connect);
        self.write(&bytes).await
    }

    /// Takes what the broker has sent.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.heard_at = Instant::now();
        let claims = OurClaims(&*self.bridge.inlet);
        let gathered = self.session.read(bytes, &claims).map_err(|fault| self.broken(&fault))?;
        for (reason, topic) in &gathered.refused {
            self.bridge.refuse(*reason, topic);
        }
        self.bridge.metrics.received.inc_by(gathered.n_publishes as u64);
        for heard in &gathered.heard {
            self.hear(heard).await?;
        }
        if gathered.n_publishes > 0 {
            self.submit(gathered);
        }
        Ok(())
    }

    /// Brings publishes on their way into the log.
    fn submit(&mut self, gathered: Gathered) {
        let Gathered { publishes, answers, n_publishes, .. } = gathered;
        let n_bytes = publishes.as_bytes().len();
        let mut debt = Debt { answers, n_publishes, n_bytes, outcome: None, echo: None };
        if !publishes.is_empty() {
            let (settled, outcome) = oneshot::channel();
            let receipt = Receipt::new(move |outcome| {
                // The connection may be gone.
                let _ = settled.send(outcome);
            });
            debt.outcome = Some(outcome);
            debt.echo = (self.bridge.broker.subscriptions() > 0).then(|| publishes.clone());
            let client = self.bridge.source.clone();
            let delivery = Delivery { client, publishes, session: Vec::new(), receipt };
            let inlet = Arc::clone(&self.bridge.inlet);
            self.submitting = Some(Box::pin(async move { inlet.submit(delivery).await }));
        }
        self.owed.push(debt);
    }

    /// Acknowledges what is due, all that is due at once in one write.
    async fn settle(&mut self, debt: Debt, outcome: Outcome) -> Result<(), End> {
        let mut bytes = Vec::new();
        let mut next = Some((debt, outcome));
        let mut is_taken = true;
        while let Some((debt, outcome)) = next {
            match outcome {
                Outcome::Durable => self.bridge.echo(debt.echo.as_ref()),
                Outcome::Rejected => {
                    for _ in 0..debt.n_publishes {
                        self.bridge.refuse(Refusal::NotTaken, "");
                    }
                }
                Outcome::Retry => is_taken = false,
            }
            if !is_taken {
                break;
            }
            packets::acknowledge(&mut bytes, &debt.answers);
            self.bridge.metrics.acknowledged.inc_by(debt.answers.len() as u64);
            next = self.owed.due_now();
        }
        self.write(&bytes).await?;
        if is_taken { Ok(()) } else { Err(End::Failed("the log did not take it".to_owned())) }
    }

    async fn hear(&mut self, heard: &Heard) -> Result<(), End> {
        match heard {
            Heard::Connack(Connack::WrongVersion) => Err(End::WrongVersion),
            Heard::Connack(Connack::Refused(why)) => {
                Err(End::Failed(match &self.bridge.config.user {
                    Some(user) => format!("it refused user `{user}`: {why}"),
                    None => format!("it refused us, who have no user: {why}"),
                }))
            }
            Heard::Connack(Connack::Accepted { session, keep_alive_s, lacks_shared }) => {
                if *lacks_shared && self.bridge.config.share.is_some() {
                    return Err(End::Failed("it has no shared subscriptions".to_owned()));
                }
                self.bridge.came_in(self.version, *session);
                if let Some(seconds) = keep_alive_s.filter(|&seconds| seconds > 0) {
                    self.keep_alive = self.keep_alive.min(Duration::from_secs(seconds.into()));
                }
                self.enter(Phase::Subscribing);
                self.subscribe().await
            }
            Heard::Suback(id, refusals) => self.subscribed(*id, refusals),
        }
    }

    /// Subscribes to what is new, and ends what is gone.
    async fn subscribe(&mut self) -> Result<(), End> {
        let version = self.bridge.inlet.claims_version();
        let wanted = self.bridge.wanted();
        let (new, gone) = filters::difference(&self.subscribed.1, &wanted);
        self.subscribed = (version, wanted);
        let mut bytes = Vec::new();
        if !new.is_empty() {
            let id = self.id();
            packets::subscribe(&mut bytes, self.version, id, &new);
            self.asked = Some((id, new));
        }
        if !gone.is_empty() {
            let id = self.id();
            packets::unsubscribe(&mut bytes, self.version, id, &gone);
        }
        self.write(&bytes).await
    }

    fn id(&mut self) -> u16 {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.next_id
    }

    fn subscribed(&mut self, id: u16, refusals: &[Option<String>]) -> Result<(), End> {
        let Some((_, asked)) = self.asked.take_if(|(asked, _)| *asked == id) else { return Ok(()) };
        if asked.len() != refusals.len() {
            return Err(End::Failed("it answers a subscription with something else".to_owned()));
        }
        let refused = asked.iter().zip(refusals);
        let refused: Vec<_> = refused
            .filter_map(|(filter, why)| why.as_ref().map(|why| format!("`{filter}`: {why}")))
            .collect();
        if refused.len() == asked.len() && self.phase != Phase::Live {
            return Err(End::Failed(format!(
                "it refuses to subscribe us to {}",
                refused.join(", ")
            )));
        }
        if self.phase == Phase::Subscribing {
            self.enter(Phase::Live);
        }
        let name = &self.bridge.config.name;
        let status = if refused.is_empty() {
            info!(bridge = name, "Bridge `{name}` is connected and subscribed.");
            BridgeStatus::Connected
        } else {
            let refused = refused.join(", ");
            warn!(bridge = name, "Bridge `{name}` is connected, but not subscribed to {refused}.");
            BridgeStatus::Incomplete(refused)
        };
        self.bridge.status.set(status);
        self.bridge.metrics.connected.set(1);
        Ok(())
    }

    /// Looks what is due: a sign of life, what has taken too long, other topics.
    async fn pulse(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let limit = if self.phase == Phase::Stopping { STOP_PATIENCE } else { PATIENCE };
        if self.phase != Phase::Live && now - self.phase_since >= limit {
            return Err(match self.phase {
                Phase::Stopping => End::Stopped,
                _ => End::Failed(format!("it has not answered within {} s", limit.as_secs())),
            });
        }
        if !self.may_read() {
            self.heard_at = now;
        } else if now - self.heard_at >= self.keep_alive * 3 / 2 {
            return Err(End::Failed("nothing was heard of it in time".to_owned()));
        }
        if self.phase != Phase::Connecting && now - self.pinged_at >= self.keep_alive / 2 {
            self.pinged_at = now;
            let mut bytes = Vec::new();
            packets::ping(&mut bytes);
            self.write(&bytes).await?;
        }
        if self.phase == Phase::Live && self.subscribed.0 != self.bridge.inlet.claims_version() {
            debug!(bridge = self.bridge.config.name, "Subscribing to what is telemetry now.");
            self.subscribe().await?;
        }
        Ok(())
    }

    /// Publishes on the broker.
    async fn publish(&mut self, outward: &Outward) -> Result<(), End> {
        let mut bytes = Vec::new();
        Outbound {
            topic: &self.bridge.config.outside(&outward.topic),
            alias: 0,
            expiry_s: None,
            properties: &[],
            payload: &outward.payload,
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            packet_id: 0,
            subscription_ids: &[],
        }
        .encode(self.version, &mut bytes);
        self.bridge.metrics.sent.inc();
        self.write(&bytes).await
    }
}
