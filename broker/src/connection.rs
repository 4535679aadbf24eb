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

use bellwire_model::{ClientId, Delivery, Outcome, PublishBatch, PublishRef, QoS, Receipt};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::access::{Denied, Hello};
use crate::close::{Close, CloseKind};
use crate::codec::connect::Connect;
use crate::desk::{Desk, Shared};
use crate::listener::Inlet;
use crate::mailbox::{Stop, Take};
use crate::message::Routed;
use crate::peer::Peer;
use crate::session::acks::Ticket;
use crate::session::{Batch, Deadline, Delivered, Event, Session};

#[cfg(test)]
mod tests;

/// Most bytes read at once: what one delivery can be made of, beside a packet kept from before.
const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

/// What the driver must do next.
enum Step {
    Connect(Box<Connect>),
    Submit(Batch),
    Close(Close),
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
}

/// Serves one client until either side ends the connection.
pub(crate) async fn serve<S, I>(
    stream: S,
    peer: Peer,
    shared: Arc<Shared<I>>,
    permit: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    I: Inlet,
{
    let session = Session::new(Arc::clone(&shared.limits), Instant::now().into_std());
    let mut connection = Connection {
        stream,
        peer,
        session,
        desk: Desk::open(shared),
        timer: None,
        carry: Vec::new(),
        after: None,
        settled: Vec::new(),
        stop: Stop::No,
        was_held: false,
    };
    let close = connection.run().await;
    log(close, &connection.peer, connection.desk.mailbox.client.get());
    connection.desk.shared.metrics.closed(close.kind).inc();
    connection.finish(close).await;
    drop(connection);
    drop(permit);
}

fn log(close: Close, peer: &Peer, client: Option<&ClientId>) {
    let id = client.map_or("", ClientId::as_str);
    match close.kind {
        CloseKind::ClientDisconnected
        | CloseKind::ClientDisconnectedWithWill
        | CloseKind::ClientGone
        | CloseKind::SlowReader // Logged by whoever found the mailbox full.
        | CloseKind::ShuttingDown => {
            debug!(client.id = id, %peer, "Connection of `{id}` ended ({close}).");
        }
        CloseKind::QosNotSupported | CloseKind::RetainNotSupported | CloseKind::Rejected => {
            warn!(client.id = id, %peer, "Closing `{id}` ({close}).");
        }
        _ => info!(client.id = id, %peer, "Closing `{id}` ({close})."),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, I: Inlet> Connection<S, I> {
    async fn run(&mut self) -> Close {
        loop {
            match poll_fn(|cx| self.poll_step(cx)).await {
                Step::Connect(connect) => {
                    if let Err(close) = self.admit(*connect).await {
                        return close;
                    }
                }
                Step::Submit(batch) => {
                    if let Some(close) = self.submit(batch).await {
                        return close;
                    }
                }
                Step::Close(close) => return close,
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(batch) = self.session.take_batch() {
                return Poll::Ready(Step::Submit(batch));
            }
            match self.after.take() {
                Some(Event::Connect(connect)) => return Poll::Ready(Step::Connect(connect)),
                Some(Event::Close(close)) => return Poll::Ready(Step::Close(close)),
                None => {}
            }
            if let Some(close) = self.poll_mail(cx, Waiting::ForEvents) {
                return Poll::Ready(Step::Close(close));
            }
            if self.stop != Stop::No {
                return Poll::Pending;
            }
            if self.session.may_receive() {
                match self.poll_read(cx) {
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
            let metrics = &desk.shared.metrics;
            let mut are_left = false;
            let collected = desk.mailbox.collect(cx.waker(), settled, |outgoing| {
                match session.deliver(outgoing) {
                    Delivered::Sent => metrics.messages_sent.inc(),
                    Delivered::TooLarge => metrics.dropped_too_large.inc(),
                    Delivered::Later => {
                        are_left = true;
                        return Take::Leave;
                    }
                }
                Take::Taken
            });
            if !settled.is_empty() {
                session.forgive(Instant::now().into_std());
            }
            for (ticket, outcome) in settled.drain(..) {
                session.settle(ticket, outcome);
            }
            let released = session.release();
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
            if !are_left || sent_bytes == 0 {
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
            let _may_wait = Pin::new(&mut self.stream).poll_flush(cx)?;
        }
        Ok(sent_bytes)
    }

    /// Reads once, and gives what came to the session.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.receive(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    fn receive(&mut self, input: &[u8]) {
        let (read_bytes, event) =
            self.session.receive(input, Instant::now().into_std(), &mut self.desk);
        if let Some(Event::Connect(_)) = event {
            self.carry = input[read_bytes..].to_vec();
        }
        self.after = event;
        let metrics = &self.desk.shared.metrics;
        metrics.received_bytes.inc_by(read_bytes as u64);
        let tally = self.session.take_tally();
        if tally.n_telemetry > 0 {
            metrics.publishes_telemetry.inc_by(tally.n_telemetry);
        }
        if tally.n_other > 0 {
            metrics.publishes_other.inc_by(tally.n_other);
            metrics.acknowledged.inc_by(tally.n_acknowledged);
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

    /// Asks the gatekeeper, for as long as a CONNECT may take, and lets the client in.
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
            Ok(grant) => self.desk.grant = Some(grant),
            Err(denied) => return Err(self.session.refuse(connect.version, denied.into())),
        }
        self.begin(connect);
        Ok(())
    }

    fn begin(&mut self, connect: Connect) {
        let client = connect.client_id.clone().unwrap_or_else(|| self.desk.assign());
        self.desk.shared.hub.name(&self.desk.mailbox, &client);
        debug!(client.id = %client, version = ?connect.version, "`{client}` is connected.");
        self.session.accept(connect, &client);
        self.timer = None;
        let carry = mem::take(&mut self.carry);
        if !carry.is_empty() {
            self.receive(&carry);
        }
    }

    /// Hands telemetry to the log. While that has no room nothing is read, but what is due is
    /// sent. Gives the reason to close, if one comes up meanwhile.
    async fn submit(&mut self, batch: Batch) -> Option<Close> {
        let client = self.desk.mailbox.client.get().expect("CONNECT came first").clone();
        let receipt = self.receipt(&batch);
        let delivery = Delivery { client, publishes: batch.publishes, receipt };
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

    fn receipt(&self, batch: &Batch) -> Receipt {
        let mailbox = Arc::clone(&self.desk.mailbox);
        match (batch.ticket, batch.n_at_most_once) {
            (Some(ticket), 0) => Receipt::new(move |outcome| mailbox.settle(ticket, outcome)),
            (ticket, n_at_most_once) => {
                let lost = self.desk.shared.metrics.publishes_lost.clone();
                Receipt::new(move |outcome| {
                    if outcome != Outcome::Durable {
                        lost.inc_by(n_at_most_once as u64);
                    }
                    if let Some(ticket) = ticket {
                        mailbox.settle(ticket, outcome);
                    }
                })
            }
        }
    }

    /// Tells the client why it ends, publishes its will, and lets it read what we sent.
    async fn finish(&mut self, close: Close) {
        self.session.close(close);
        self.desk.leave();
        // What the socket does not take now gets its time below.
        let _sent = poll_fn(|cx| Poll::Ready(self.poll_flush(cx))).await;
        self.publish_will(close).await;
        if close.kind.has_listener() {
            let close_timeout = self.desk.shared.limits.close_timeout;
            // A client that does not listen has had its time.
            let _heard = timeout(close_timeout, poll_fn(|cx| self.poll_goodbye(cx))).await;
        }
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

    async fn publish_will(&mut self, close: Close) {
        let Some(will) = self.session.take_will() else { return };
        let held = self.was_held || self.session.is_at_bound();
        let Some(client) = self.desk.mailbox.client.get() else { return };
        if !close.kind.fires_will() || held {
            return;
        }
        let shared = &self.desk.shared;
        shared.metrics.wills_published.inc();
        let routed = Routed {
            topic: &will.topic,
            properties: &will.properties,
            payload: &will.payload,
            qos: will.qos,
            retain: false,
        };
        shared.hub.route(Some(self.desk.mailbox.id), &routed);
        if !shared.inlet.claims(&will.topic) {
            return;
        }
        let mut publishes = PublishBatch::default();
        publishes.push(&PublishRef {
            topic: &will.topic,
            payload: &will.payload,
            qos: QoS::AtMostOnce, // Nobody waits for an answer.
            dup: false,
            retain: false,
            packet_id: 0,
        });
        let receipt = self.receipt(&Batch {
            publishes: PublishBatch::default(),
            ticket: None,
            n_at_most_once: 1,
        });
        let delivery = Delivery { client: client.clone(), publishes, receipt };
        // Dropped, the receipt counts it as lost.
        let _taken = timeout(shared.limits.shutdown_timeout, shared.inlet.submit(delivery)).await;
    }
}

/// Counts a connection as held as long as it lives.
struct Held(IntGauge);

impl Held {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
