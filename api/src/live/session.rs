//! One WebSocket client's session: sends what waits, hears what it says, and ends it in words.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::app::App;
use crate::live::client::Subscriber;
use crate::live::encoded::Encoded;
use crate::live::frames::{self, Frame};
use crate::live::message::{self, Allowance};
use crate::live::resume::{self, CatchUp, Claim, Step};
use crate::live::socket::{Socket, SocketError};
use crate::live::wire::{self, Heard, WireError};
use crate::metrics::Ended;

/// How long a client has to take our goodbye and answer it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// How many times at most a session looks for frames only, before it looks at all else.
const ROUNDS: u32 = 8;

/// The close code and reason of each ending; none where there is no one to tell.
const fn goodbye(ended: Ended) -> Option<(u16, &'static str)> {
    match ended {
        Ended::Slow => Some((4000, "too slow: come back with your cursor")),
        Ended::Idle => Some((4001, "no sign of life")),
        Ended::Flood => Some((1008, "too many messages")),
        Ended::BadFrame => Some((1002, "no frame of a WebSocket")),
        Ended::BadText => Some((1007, "a text that is not UTF-8")),
        Ended::TooLong => Some((1009, "message longer than 16384 bytes")),
        Ended::Shutdown => Some((1001, "the service stops: come back with your cursor")),
        Ended::Left => None,
    }
}

/// Comes when the service stops.
type Closing = Pin<Box<WaitForCancellationFutureOwned>>;

/// What a session has slept for.
#[derive(Debug)]
enum Event {
    /// There may be something to take.
    More,
    Closing,
    Heard(Result<Heard, SocketError>),
    Beat,
}

/// One client's session.
#[derive(Debug)]
pub(crate) struct Session<S> {
    socket: Socket<S>,
    subscriber: Subscriber,
    app: Arc<App>,
    closing: Closing,
    /// When the client last gave a sign of life.
    heard_at: Instant,
    allowance: Allowance,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Session<S> {
    pub(crate) fn new(socket: Socket<S>, subscriber: Subscriber, app: Arc<App>) -> Self {
        let now = Instant::now();
        let per_second = app.config.live.client_messages_per_second;
        let closing = Box::pin(app.closing.clone().cancelled_owned());
        let allowance = Allowance::new(per_second, now);
        Self { socket, subscriber, app, closing, heard_at: now, allowance }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self, claim: Claim) -> Ended {
        let Err(ended) = self.serve(claim).await;
        self.app.metrics.live.ended(ended).inc();
        if let Some((code, reason)) = goodbye(ended) {
            // Too late is as good as never: the client knows what a lost connection means.
            let close = self.close(wire::close(code, reason));
            drop(tokio::time::timeout(CLOSE_TIMEOUT, close).await);
        }
        ended
    }

    /// Sends the close frame and waits for the client's: closing the socket with unread bytes
    /// would reset it, and what we sent last might never be read.
    async fn close(&mut self, close: Bytes) {
        self.socket.put(close);
        if self.socket.write().await.is_ok() {
            self.socket.hear_the_end().await;
        }
    }

    async fn serve(&mut self, claim: Claim) -> Result<std::convert::Infallible, Ended> {
        let period = Duration::from_millis(self.app.config.live.heartbeat_interval_ms.get());
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.catch_up(claim).await?;
        let mut n_rounds = 0_u32;
        loop {
            let waiting = self.subscriber.take().map_err(|_| Ended::Slow)?;
            if !waiting.frames.is_empty() {
                self.send_frames(&waiting.frames).await?;
                self.subscriber.delivered(&waiting.frames);
            }
            if !waiting.more {
                self.subscriber.park();
            }
            // Mostly it is a transition that wakes us: all else is looked at before we sleep, and now
            // and then if we never do.
            n_rounds = n_rounds.wrapping_add(1);
            let is_quick = !n_rounds.is_multiple_of(ROUNDS);
            let event = tokio::select! {
                biased;
                () = self.subscriber.woken(), if is_quick && !waiting.more => Event::More,
                () = &mut self.closing => Event::Closing,
                heard = self.socket.hear() => Event::Heard(heard),
                _ = heartbeat.tick() => Event::Beat,
                () = std::future::ready(()), if waiting.more => Event::More,
                () = self.subscriber.woken(), if !is_quick && !waiting.more => Event::More,
            };
            // Nobody else writes from here on, until it is parked again.
            if let Some(rest) = self.subscriber.take_back() {
                self.socket.put(rest);
                self.write().await?;
            }
            match event {
                Event::More => {}
                Event::Closing => return Err(Ended::Shutdown),
                Event::Heard(heard) => self.hear(heard).await?,
                Event::Beat => self.beat().await?,
            }
        }
    }

    async fn catch_up(&mut self, claim: Claim) -> Result<(), Ended> {
        let app = Arc::clone(&self.app);
        let mut catch_up = CatchUp::new(claim, &self.subscriber);
        loop {
            match catch_up.step(&mut self.subscriber, &app).await {
                Step::Missed(frames) => self.send_frames(&frames).await?,
                Step::Snapshot(snapshot) => {
                    let frame = snapshot.frame(self.subscriber.hub(), self.subscriber.filter());
                    return self.send(&frame).await;
                }
            }
        }
    }

    async fn send_frames(&mut self, frames: &[Frame]) -> Result<(), Ended> {
        for frame in frames {
            self.socket.put(frame.encoded().message(self.socket.coding).clone());
        }
        self.write().await?;
        self.app.metrics.live.sent(frames);
        Ok(())
    }

    async fn send(&mut self, frame: &Encoded) -> Result<(), Ended> {
        self.socket.put(frame.message(self.socket.coding).clone());
        self.write().await
    }

    /// Waits until the socket has taken everything; while it does not, watches how far the client
    /// falls behind.
    async fn write(&mut self) -> Result<(), Ended> {
        if self.socket.write_now().await.map_err(|_| Ended::Left)? {
            return Ok(());
        }
        let config = &self.app.config.live;
        let deadline = tokio::time::sleep(Duration::from_millis(config.send_timeout_ms.get()));
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                written = self.socket.write() => return written.map_err(|_| Ended::Left),
                () = &mut deadline => return Err(Ended::Slow),
                () = &mut self.closing => return Err(Ended::Shutdown),
                () = self.subscriber.woken() => {
                    if self.subscriber.lag() > config.client_lag_max.get() {
                        return Err(Ended::Slow);
                    }
                }
            }
        }
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        let idle = Duration::from_millis(self.app.config.live.idle_timeout_ms.get());
        if self.heard_at.elapsed() >= idle {
            return Err(Ended::Idle);
        }
        // What was taken has been sent: the cursor is of all that.
        let frame = frames::heartbeat(self.subscriber.hub().now(), self.subscriber.cursor());
        self.app.metrics.live.heartbeats_sent.inc();
        self.socket.put(frame.message(self.socket.coding).clone());
        self.socket.put(wire::ping());
        self.write().await
    }

    async fn hear(&mut self, heard: Result<Heard, SocketError>) -> Result<(), Ended> {
        let heard = heard.map_err(|error| match error {
            SocketError::Wire(WireError::Malformed) => Ended::BadFrame,
            SocketError::Wire(WireError::NoText) => Ended::BadText,
            SocketError::Wire(WireError::TooLong) => Ended::TooLong,
            SocketError::Lost => Ended::Left,
        })?;
        self.heard_at = Instant::now();
        if !self.allowance.take(self.heard_at) {
            return Err(Ended::Flood);
        }
        match heard {
            Heard::Text(text) => self.obey(&text).await,
            Heard::Binary => self.refuse("messages are text").await,
            Heard::Ping(payload) => {
                self.socket.put(wire::pong(&payload));
                self.write().await
            }
            Heard::Pong => Ok(()),
            Heard::Close => {
                self.socket.put(wire::close_in_turn());
                self.write().await?;
                Err(Ended::Left)
            }
        }
    }

    async fn obey(&mut self, text: &str) -> Result<(), Ended> {
        let wish = match message::read(text, self.app.config.live.client_devices_max.get()) {
            Ok(wish) => wish,
            Err(detail) => return self.refuse(&detail).await,
        };
        if let Some(readings) = wish.readings {
            self.subscriber.subscribe(readings);
        }
        let present = match wish.alerts {
            Some(alerts) => {
                let (frames, present) = resume::ask_for_others(&mut self.subscriber, alerts)
                    .map_err(|_| Ended::Slow)?;
                self.send_frames(&frames).await?;
                Some(present)
            }
            None => None,
        };
        let subscriber = &self.subscriber;
        let answer = frames::subscribed(subscriber.readings(), subscriber.filter().spec());
        self.send(&answer).await?;
        if let Some(present) = present {
            let frame = present.frame(self.subscriber.hub(), self.subscriber.filter());
            self.send(&frame).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, detail: &str) -> Result<(), Ended> {
        self.send(&frames::error("bad_message", detail)).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, DuplexStream};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::live::filter::AlertSpec;
    use crate::live::testing;
    use crate::live::wire::Coding;

    /// A session, whose client can have so many bytes unread.
    fn session(n_bytes: usize) -> (Arc<App>, DuplexStream) {
        let app = testing::app();
        let (theirs, ours) = tokio::io::duplex(n_bytes);
        let subscriber = app.hub.join(&"ada".into(), AlertSpec::default()).expect("room");
        let socket = Socket::new(ours, Coding::Plain);
        let session = Session::new(socket, subscriber, Arc::clone(&app));
        app.tracker.spawn(session.run(Claim::Fresh));
        (app, theirs)
    }

    async fn client(stream: DuplexStream) -> WebSocketStream<DuplexStream> {
        WebSocketStream::from_raw_socket(stream, Role::Client, None).await
    }

    async fn text(client: &mut WebSocketStream<DuplexStream>) -> String {
        match client.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_and_a_ping_come_every_five_seconds() {
        let (app, theirs) = session(64 * 1024);
        let mut client = client(theirs).await;
        let snapshot = text(&mut client).await;
        assert!(snapshot.contains("snapshot"));
        let start = Instant::now();
        for n in 1..=20 {
            let cursor = app.hub.with_feed(crate::live::feed::Feed::cursor);
            let expected = format!(
                r#"{{"type":"heartbeat","at":"1970-01-01T00:00:00.000000Z","cursor":"{cursor}"}}"#
            );
            assert_eq!(text(&mut client).await, expected);
            // It answers by itself.
            let ping = client.next().await.expect("more").expect("well-formed");
            assert_eq!(ping, Message::Ping(Bytes::new()));
            assert_eq!(start.elapsed().as_secs(), 5 * n);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_a_sign_of_life_is_let_go() {
        let (app, mut theirs) = session(64 * 1024);
        let start = Instant::now();
        app.tracker.close();
        app.tracker.wait().await;
        assert_eq!(start.elapsed(), Duration::from_secs(30) + CLOSE_TIMEOUT);
        assert_eq!((app.hub.n_clients(), app.metrics.live.ended(Ended::Idle).get()), (0, 1));
        let mut said = Vec::new();
        theirs.read_to_end(&mut said).await.expect("memory");
        assert!(said.ends_with(&wire::close(4001, "no sign of life")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go_in_time() {
        let (app, _theirs) = session(16);
        let start = Instant::now();
        app.tracker.close();
        app.tracker.wait().await;
        assert_eq!(start.elapsed(), Duration::from_secs(10) + CLOSE_TIMEOUT);
        assert_eq!(app.metrics.live.ended(Ended::Slow).get(), 1);
    }
}
