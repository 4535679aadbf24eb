//! Drives one connection: moves bytes between socket and session, telemetry to the log, messages
//! to and from the hub. All decisions are the session's.
//!
//! One task, no timers but the deadline. A connection that waits owns no read buffer: bytes are
//! read into one per thread and looked at there.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bellwire_model::{ClientId, Delivery, Outcome, Receipt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::{debug, info};

use crate::access::{Denied, Grant, Hello};
use crate::close::{Close, CloseKind};
use crate::codec::connect::{Connect, Refusal, Will};
use crate::courier;
use crate::desk::{Desk, Entered, Shared};
use crate::door::turnstile::Pass;
use crate::flow::{Handled, Ready};
use crate::listener::Inlet;
use crate::mailbox::Stop;
use crate::ops::Effects;
use crate::peer::Peer;
use crate::session::acks::Ticket;
use crate::session::exchange::Exchange as _;
use crate::session::{Batch, Deadline, Event, Session};
use held::Held;
use throttle::Throttle;

mod ending;
mod held;
#[cfg(test)]
mod tests;
mod throttle;

/// Most bytes read at once: what one delivery can be made of, beside a packet kept from before.
const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

/// What the driver must do next.
enum Step {
    Connect(Box<Connect>),
    Submit(Work),
    Close(Close),
}

/// What goes to the log together.
struct Work {
    batch: Option<Batch>,
    effects: Option<Effects>,
}

/// Whether a delivery waits for room in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    ForEvents,
    ForRoom,
}

struct Connection<S, I: Inlet> {
    stream: S,
    peer: Peer,
    session: Session,
    desk: Desk<I>,
    throttle: Throttle,
    /// Whether the stream has kept nothing back of what it took.
    is_flushed: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// What came behind the CONNECT.
    carry: Vec<u8>,
    /// What is to be done once the telemetry before it is submitted.
    after: Option<Event>,
    /// Room for settled receipts, reused.
    settled: Vec<(Ticket, Outcome)>,
    stop: Stop,
    /// The log had no room when the connection ended: not the client's fault.
    was_held: bool,
    /// Given back last: who waits for it may count on all the rest.
    pass: Pass,
}

/// Serves one client until either side ends the connection.
pub(crate) async fn serve<S, I>(stream: S, peer: Peer, shared: Arc<Shared<I>>, pass: Pass)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    I: Inlet,
{
    let now = Instant::now();
    let session = Session::new(Arc::clone(&shared.limits), now.into_std());
    let mut connection = Connection {
        stream,
        peer,
        session,
        desk: Desk::open(shared),
        throttle: Throttle::new(now),
        is_flushed: true,
        timer: None,
        carry: Vec::new(),
        after: None,
        settled: Vec::new(),
        stop: Stop::No,
        was_held: false,
        pass,
    };
    let close = connection.run().await;
    let closings = &connection.desk.shared.closings;
    ending::log(close, &connection.peer, connection.desk.mailbox.client.get(), closings);
    connection.desk.shared.metrics.closed(close.kind).inc();
    // On the heap, with all that publishing a will may wait for: while the connection stands, and
    // thousands do, it shall not take room in each of them.
    Box::pin(connection.finish(close)).await;
}

/// Whether there is more to send than the session takes now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

/// Gives the session what is to be sent, as far as it takes it.
fn send<I: Inlet>(session: &mut Session, desk: &mut Desk<I>) -> Left {
    let (mut left, mut n_sent, mut n_too_large) = (Left::Nothing, 0, 0);
    if session.has_replied() {
        desk.refill();
    }
    desk.send(session.in_flight_max(), &mut |ready, now| {
        let handled = session.deliver(ready, now);
        match handled {
            Handled::Sent => n_sent += u64::from(matches!(ready, Ready::Publish { .. })),
            Handled::Dropped => n_too_large += 1,
            Handled::Later => left = Left::Something,
        }
        handled
    });
    desk.shared.metrics.messages_sent.inc_by(n_sent);
    desk.shared.metrics.dropped_too_large.inc_by(n_too_large);
    left
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, I: Inlet> Connection<S, I> {
    async fn run(&mut self) -> Close {
        loop {
            match poll_fn(|cx| self.poll_step(cx)).await {
                Step::Connect(connect) => {
                    // On the heap as well: it happens once.
                    if let Err(close) = Box::pin(self.admit(*connect)).await {
                        return close;
                    }
                }
                Step::Submit(work) => {
                    if let Some(close) = self.submit(work).await {
                        return close;
                    }
                }
                Step::Close(close) => return close,
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            let (batch, effects) = (self.session.take_batch(), self.desk.take_effects());
            if batch.is_some() || effects.is_some() {
                return Poll::Ready(Step::Submit(Work { batch, effects }));
            }
            match self.after.take() {
                Some(Event::Connect(connect)) => return Poll::Ready(Step::Connect(connect)),
                Some(Event::Close(close)) => return Poll::Ready(Step::Close(close)),
                None => {}
            }
            if let Some(close) = self.poll_mail(cx, Waiting::ForEvents) {
                return Poll::Ready(Step::Close(close));
            }
            if self.desk.has_changes() {
                continue;
            }
            if self.stop != Stop::No {
                return Poll::Pending;
            }
            if self.session.may_receive() {
                // Its keepalive waits as well: until then we do not listen.
                let bytes_max = ready!(self.poll_allowance(cx));
                match self.poll_read(cx, bytes_max) {
                    Poll::Ready(Ok(0) | Err(_)) => {
                        return Poll::Ready(Step::Close(CloseKind::ClientGone.into()));
                    }
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Pending => {}
                }
            }
            return self.poll_deadline(cx).map(|kind| Step::Close(kind.into()));
        }
    }

    /// Takes what others left, and sends what there is to send: all acknowledgements that are due
    /// and all messages in one write. Gives the reason to close, if there is one.
    fn poll_mail(&mut self, cx: &mut Context<'_>, waiting: Waiting) -> Option<Close> {
        loop {
            let Self { session, desk, settled, .. } = self;
            let collected = desk.mailbox.collect(cx.waker(), settled);
            if !settled.is_empty() {
                session.forgive(Instant::now().into_std());
            }
            for (ticket, outcome) in settled.drain(..) {
                session.settle(ticket, outcome);
            }
            let released = session.release();
            for &packet_id in &released.rejected {
                desk.give(packet_id);
            }
            let are_left = send(session, desk);
            let metrics = &desk.shared.metrics;
            metrics.acknowledged.inc_by(released.n_acknowledged as u64);
            metrics.publishes_rejected.inc_by(released.n_rejected as u64);
            self.stop = self.stop.max(collected.stop);
            let Ok(sent_bytes) = self.poll_flush(cx) else {
                return Some(CloseKind::ClientGone.into());
            };
            if let Some(kind) = collected.close.or(released.end) {
                return Some(kind.into());
            }
            if self.is_done(waiting) {
                return Some(CloseKind::ShuttingDown.into());
            }
            if are_left == Left::Nothing || sent_bytes == 0 {
                return None;
            }
        }
    }

    /// Whether the service stops and nothing keeps this connection.
    fn is_done(&self, waiting: Waiting) -> bool {
        match self.stop {
            Stop::No => false,
            // What is unsent then has `close_timeout` to go.
            Stop::Settled => waiting == Waiting::ForEvents && self.session.owes_nothing(),
            Stop::Now => true,
        }
    }

    /// Sends what the socket takes; gives how many bytes that was.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let metrics = &self.desk.shared.metrics;
        let mut sent_bytes = 0;
        while !self.session.output().is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.session.output())? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(bytes) => {
                    self.session.sent(bytes);
                    sent_bytes += bytes;
                    metrics.writes.inc();
                }
                Poll::Pending => break,
            }
        }
        if sent_bytes > 0 {
            metrics.sent_bytes.inc_by(sent_bytes as u64);
            self.is_flushed = false;
        }
        if !self.is_flushed {
            // TLS and WebSocket keep what the socket does not take.
            self.is_flushed = Pin::new(&mut self.stream).poll_flush(cx)?.is_ready();
        }
        Ok(sent_bytes)
    }

    /// Waits until the client may publish again; gives how many bytes may be read then.
    fn poll_allowance(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Self { throttle, desk, peer, session, .. } = self;
        let Shared { limits, metrics, .. } = &*desk.shared;
        let say = || {
            let id = desk.mailbox.client.get().map_or("", ClientId::as_str);
            info!(client.id = id, %peer, "`{id}` publishes more than mqtt.rate allows: it waits.");
        };
        let read = ready!(throttle.poll(cx, READ_BYTES_MAX, &limits.door, &metrics.door, say));
        if read.has_waited {
            session.forgive(Instant::now().into_std());
        }
        Poll::Ready(read.bytes_max)
    }

    /// Reads once, at most `bytes_max`, and gives what came to the session.
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<io::Result<usize>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..bytes_max]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.receive(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    fn receive(&mut self, input: &[u8]) {
        let now = Instant::now().into_std();
        let (read_bytes, event) = self.session.receive(input, now, &mut self.desk);
        if let Some(Event::Connect(_)) = event {
            self.carry = input[read_bytes..].to_vec();
        }
        self.after = event;
        let metrics = &self.desk.shared.metrics;
        metrics.received_bytes.inc_by(read_bytes as u64);
        let tally = self.session.take_tally();
        let n_publishes = tally.n_telemetry + tally.n_other;
        let limits = &self.desk.shared.limits.door;
        self.throttle.count(limits, n_publishes, read_bytes, now);
        if tally.n_telemetry > 0 {
            metrics.publishes_telemetry.inc_by(tally.n_telemetry);
        }
        if tally.n_other > 0 {
            metrics.publishes_other.inc_by(tally.n_other);
            metrics.acknowledged.inc_by(tally.n_acknowledged);
        }
        if tally.n_refused > 0 {
            metrics.publishes_refused.inc_by(tally.n_refused);
        }
        if tally.n_telemetry > 0 {
            self.desk.announce_by(&self.session.last_topic);
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<CloseKind> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
            }
            let due = match self.session.deadline(Instant::now().into_std()) {
                Deadline::Missed(kind) => return Poll::Ready(kind),
                Deadline::Next(due) => due.map(Instant::from_std),
            };
            match (due, &mut self.timer) {
                (Some(due), Some(timer)) => timer.as_mut().reset(due),
                (Some(due), timer) => *timer = Some(Box::pin(sleep_until(due))),
                (None, timer) => {
                    *timer = None;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Asks the gatekeeper, for as long as a CONNECT may take, and lets the client in. [MQTT-3.1.4-2]
    async fn admit(&mut self, connect: Connect) -> Result<(), Close> {
        let hello = Hello {
            client: connect.client_id.as_ref(),
            user: connect.user.as_deref(),
            password: connect.password.as_ref().map(|it| &*it.0),
            peer: &self.peer,
        };
        let shared = Arc::clone(&self.desk.shared);
        let admitting = timeout(shared.limits.connect_timeout, shared.gatekeeper.admit(hello));
        match admitting.await.unwrap_or(Err(Denied::Unavailable)) {
            Ok(grant) => self.begin(connect, grant).await,
            Err(denied) => {
                let close = self.session.refuse(connect.version, denied.into());
                Err(Close { kind: CloseKind::NotAdmitted, ..close })
            }
        }
    }

    /// Puts the client's session in place, and says so.
    async fn begin(&mut self, connect: Connect, grant: Grant) -> Result<(), Close> {
        // A will is a publish like any other.
        if connect.will.as_ref().is_some_and(|will| !grant.may_publish(&will.topic)) {
            let close = self.session.refuse(connect.version, Refusal::NotAuthorized);
            return Err(Close { detail: "the will's topic is not allowed", ..close });
        }
        if self.desk.enter(grant) == Entered::TakenBack {
            return Err(self.session.refuse(connect.version, Refusal::NotAuthorized));
        }
        let client = connect.client_id.clone().unwrap_or_else(|| self.desk.assign());
        let expiry_s = connect.session_expiry_s.min(self.desk.shared.limits.session_expiry_max_s);
        let Some((present, parting)) = self.desk.begin(&connect, &client, expiry_s) else {
            return Err(self.session.refuse(connect.version, Refusal::QuotaExceeded));
        };
        debug!(client.id = %client, version = ?connect.version, "`{client}` is connected.");
        self.session.accept(connect, &client, present, expiry_s);
        self.desk.announce();
        self.pass.admitted();
        if let Some(parting) = parting {
            let shared = Arc::clone(&self.desk.shared);
            let limit = shared.limits.shutdown_timeout;
            // A will that finds no room in time is given up, and counted.
            let _ = timeout(limit, courier::part(&shared, vec![parting], Effects::default())).await;
        }
        self.timer = None;
        let carry = mem::take(&mut self.carry);
        if !carry.is_empty() {
            self.receive(&carry);
        }
        Ok(())
    }

    /// Hands to the log what is for it. While that has no room nothing is read, but what is due is
    /// sent. Gives the reason to close, if one comes up meanwhile.
    async fn submit(&mut self, work: Work) -> Option<Close> {
        let client = self.desk.mailbox.client.get().expect("CONNECT came first").clone();
        let delivery = self.delivery(client, work);
        self.desk.shared.metrics.deliveries.inc();
        let inlet = Arc::clone(&self.desk.shared.inlet);
        let mut submit = pin!(inlet.submit(delivery));
        let mut held = None;
        let close = poll_fn(|cx| {
            if submit.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            held.get_or_insert_with(|| Held::new(&self.desk.shared.metrics.connections_held));
            self.poll_mail(cx, Waiting::ForRoom).map_or(Poll::Pending, |it| Poll::Ready(Some(it)))
        })
        .await;
        if held.is_some() {
            self.session.forgive(Instant::now().into_std());
            self.was_held = close.is_some();
        }
        close
    }

    fn delivery(&self, client: ClientId, work: Work) -> Delivery {
        let Work { batch, mut effects } = work;
        let session = effects.as_mut().map(Effects::take_bytes).unwrap_or_default();
        let Batch { publishes, ticket, n_at_most_once } = batch.unwrap_or_default();
        let mailbox = Arc::clone(&self.desk.mailbox);
        let lost = (n_at_most_once > 0).then(|| self.desk.shared.metrics.publishes_lost.clone());
        let receipt = Receipt::new(move |outcome| {
            if let Some(effects) = effects {
                effects.settle(outcome);
            }
            if let Some(lost) = lost
                && outcome != Outcome::Durable
            {
                lost.inc_by(n_at_most_once as u64);
            }
            if let Some(ticket) = ticket {
                mailbox.settle(ticket, outcome);
            }
        });
        Delivery { client, publishes, session, receipt }
    }

    /// Tells the client why it ends, publishes its will, and lets it read what we sent; nothing is
    /// sent behind that, and the connection closed. [MQTT-3.14.4-1], [MQTT-3.14.4-2], [MQTT-3.2.2-7]
    async fn finish(&mut self, close: Close) {
        self.session.close(close);
        let held = self.was_held || self.session.is_at_bound();
        let will = self.session.take_will().filter(|_| close.kind.fires_will() && !held);
        let will = self.desk.leave(will);
        // What the socket does not take now gets its time below.
        let _sent = poll_fn(|cx| Poll::Ready(self.poll_flush(cx))).await;
        let limit = self.desk.shared.limits.shutdown_timeout;
        // What finds no room in the log by then is given up: a will is counted, a session ends later.
        let _ = timeout(limit, self.part(will)).await;
        // What the will says of the device comes before what we know.
        self.desk.renounce();
        if close.kind.has_listener() {
            let close_timeout = self.desk.shared.limits.close_timeout;
            // A client that does not listen has had its time.
            let _heard = timeout(close_timeout, poll_fn(|cx| self.poll_goodbye(cx))).await;
        }
    }

    /// Publishes the will, and has noted what became of the session.
    async fn part(&mut self, will: Option<Will>) {
        let shared = Arc::clone(&self.desk.shared);
        let mut effects = self.desk.take_effects().unwrap_or_default();
        if let (Some(will), Some(session)) = (will, self.desk.session())
            && let Some(client) = self.desk.mailbox.client.get()
        {
            courier::publish_will(&shared, client, session, &will, &mut effects).await;
        }
        courier::note(&shared, effects).await;
    }

    /// Sends the rest, then waits for the client to close: closing first, with bytes of it unread,
    /// would reset the connection and could destroy what we sent.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)?;
        if !self.session.output().is_empty() {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        READ_BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut read = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }
}
