//! One WebSocket client's session: sends what waits, hears what it says, and ends it in words.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message};
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::App;
use crate::live::client::Subscriber;
use crate::live::frames::{self, Frame};
use crate::live::message::{self, Allowance};
use crate::live::resume::{CatchUp, Claim, Step};
use crate::metrics::Ended;

/// The longest message a client may send, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// How long a client has to take our goodbye and answer it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// The close code and reason of each ending; none where there is no one to tell.
const fn goodbye(ended: Ended) -> Option<(u16, &'static str)> {
    match ended {
        Ended::Slow => Some((4000, "too slow: come back with your cursor")),
        Ended::Idle => Some((4001, "no sign of life")),
        Ended::Flood => Some((1008, "too many messages")),
        Ended::BadFrame => Some((1009, "message longer than 16384 bytes, or no frame")),
        Ended::Shutdown => Some((1001, "the service stops: come back with your cursor")),
        Ended::Left => None,
    }
}

/// One client's session.
#[derive(Debug)]
pub(crate) struct Session<S> {
    socket: S,
    subscriber: Subscriber,
    app: Arc<App>,
    /// When the client last gave a sign of life.
    heard_at: Instant,
    allowance: Allowance,
}

impl<S, E> Session<S>
where
    S: Stream<Item = Result<Message, E>> + Sink<Message, Error = E> + Send + Unpin,
    E: Send,
{
    pub(crate) fn new(socket: S, subscriber: Subscriber, app: Arc<App>) -> Self {
        let now = Instant::now();
        let per_second = app.config.live.client_messages_per_second;
        Self { socket, subscriber, app, heard_at: now, allowance: Allowance::new(per_second, now) }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(mut self, claim: Claim) -> Ended {
        let Err(ended) = self.serve(claim).await;
        self.app.metrics.live.ended(ended).inc();
        if let Some((code, reason)) = goodbye(ended) {
            let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
            // Too late is as good as never: the client knows what a lost connection means.
            drop(tokio::time::timeout(CLOSE_TIMEOUT, self.close(close)).await);
        }
        ended
    }

    /// Sends the close frame and waits for the client's: closing the socket with unread bytes
    /// would reset it, and what we sent last might never be read.
    async fn close(&mut self, close: Message) {
        if self.socket.send(close).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = self.socket.next().await {
            if matches!(message, Message::Close(_)) {
                return;
            }
        }
    }

    async fn serve(&mut self, claim: Claim) -> Result<std::convert::Infallible, Ended> {
        let app = Arc::clone(&self.app);
        let period = Duration::from_millis(app.config.live.heartbeat_interval_ms.get());
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.catch_up(claim).await?;
        loop {
            let waiting = self.subscriber.take().map_err(|_| Ended::Slow)?;
            if !waiting.frames.is_empty() {
                self.send_frames(waiting.frames).await?;
            }
            tokio::select! {
                biased;
                () = app.closing.cancelled() => return Err(Ended::Shutdown),
                heard = self.socket.next() => self.hear(heard).await?,
                _ = heartbeat.tick() => self.beat().await?,
                () = std::future::ready(()), if waiting.more => {}
                () = self.subscriber.woken(), if !waiting.more => {}
            }
        }
    }

    async fn catch_up(&mut self, claim: Claim) -> Result<(), Ended> {
        let app = Arc::clone(&self.app);
        let mut catch_up = CatchUp::new(claim, &self.subscriber);
        loop {
            match catch_up.step(&mut self.subscriber, &app).await {
                Step::Missed(frames) => self.send_frames(frames).await?,
                Step::Snapshot(snapshot) => {
                    let text = snapshot.text(self.subscriber.hub());
                    return self.send(vec![Message::Text(text)]).await;
                }
            }
        }
    }

    async fn send_frames(&mut self, frames: Vec<Frame>) -> Result<(), Ended> {
        let n_transitions =
            frames.iter().filter(|frame| matches!(frame, Frame::Transition(_))).count();
        let n_readings = frames.len() - n_transitions;
        self.send(frames.iter().map(|frame| Message::Text(frame.text())).collect()).await?;
        self.app.metrics.live.transitions_sent.inc_by(n_transitions as u64);
        self.app.metrics.live.readings_sent.inc_by(n_readings as u64);
        Ok(())
    }

    /// Hands messages to the socket and waits until it has taken them; while it does not, watches
    /// how far the client falls behind.
    async fn send(&mut self, messages: Vec<Message>) -> Result<(), Ended> {
        let config = &self.app.config.live;
        let deadline = tokio::time::sleep(Duration::from_millis(config.send_timeout_ms.get()));
        tokio::pin!(deadline);
        let socket = &mut self.socket;
        let write = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        tokio::pin!(write);
        loop {
            tokio::select! {
                biased;
                written = &mut write => return written.map_err(|_| Ended::Left),
                () = &mut deadline => return Err(Ended::Slow),
                () = self.app.closing.cancelled() => return Err(Ended::Shutdown),
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
        let text = frames::heartbeat(self.subscriber.hub().now());
        self.app.metrics.live.heartbeats_sent.inc();
        self.send(vec![Message::Text(text), Message::Ping(Bytes::new())]).await
    }

    async fn hear(&mut self, heard: Option<Result<Message, E>>) -> Result<(), Ended> {
        let message = match heard {
            Some(Ok(message)) => message,
            // The WebSocket library refuses what is far too long, or no frame. Where it is the
            // network that failed, the goodbye fails too and nothing is lost.
            Some(Err(_)) => return Err(Ended::BadFrame),
            None => return Err(Ended::Left),
        };
        self.heard_at = Instant::now();
        if !self.allowance.take(self.heard_at) {
            return Err(Ended::Flood);
        }
        match message {
            Message::Text(text) if text.len() > MESSAGE_BYTES_MAX => Err(Ended::BadFrame),
            Message::Text(text) => self.obey(&text).await,
            Message::Binary(_) => self.refuse("messages are text").await,
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(Ended::Left),
        }
    }

    async fn obey(&mut self, text: &str) -> Result<(), Ended> {
        match message::read(text, self.app.config.live.client_devices_max.get()) {
            Ok(subscription) => {
                let answer = frames::subscribed(&subscription);
                self.subscriber.subscribe(subscription);
                self.send(vec![Message::Text(answer)]).await
            }
            Err(detail) => self.refuse(&detail).await,
        }
    }

    async fn refuse(&mut self, detail: &str) -> Result<(), Ended> {
        self.send(vec![Message::Text(frames::error("bad_message", detail))]).await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::sync::mpsc;

    use super::*;
    use crate::live::testing;

    /// A socket in memory: what the client says comes in, what the session says goes out.
    struct Wire {
        said: mpsc::Receiver<Message>,
        heard: mpsc::Sender<Message>,
    }

    impl Stream for Wire {
        type Item = Result<Message, ()>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.said.poll_recv(cx).map(|said| said.map(Ok))
        }
    }

    impl Sink<Message> for Wire {
        type Error = ();

        fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
            self.poll_flush(cx)
        }

        fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), ()> {
            self.heard.try_send(message).map_err(drop)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            // A full channel stands for a client that reads nothing.
            if self.heard.capacity() > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A session whose client can have `n_unread` messages unread.
    fn session(n_unread: usize) -> (Arc<App>, mpsc::Sender<Message>, mpsc::Receiver<Message>) {
        let app = testing::app();
        let (say, said) = mpsc::channel(16);
        let (heard, hear) = mpsc::channel(n_unread);
        let subscriber = app.hub.join().expect("room");
        let session = Session::new(Wire { said, heard }, subscriber, Arc::clone(&app));
        app.tracker.spawn(session.run(Claim::Fresh));
        (app, say, hear)
    }

    async fn text(hear: &mut mpsc::Receiver<Message>) -> String {
        match hear.recv().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_and_a_ping_come_every_five_seconds() {
        let (_app, say, mut hear) = session(16);
        assert!(text(&mut hear).await.contains("snapshot"));
        let start = Instant::now();
        for n in 1..=20 {
            let expected = r#"{"type":"heartbeat","at":"1970-01-01T00:00:00.000000Z"}"#;
            assert_eq!(text(&mut hear).await, expected);
            assert_eq!(hear.recv().await, Some(Message::Ping(Bytes::new())));
            assert_eq!(start.elapsed().as_secs(), 5 * n);
            say.send(Message::Pong(Bytes::new())).await.expect("it listens");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_without_a_sign_of_life_is_let_go() {
        let (app, _say, mut hear) = session(64);
        let start = Instant::now();
        let close = loop {
            match hear.recv().await {
                Some(Message::Close(Some(close))) => break close,
                Some(_) => {}
                None => panic!("no goodbye"),
            }
        };
        assert_eq!((close.code, start.elapsed().as_secs()), (4001, 30));
        app.tracker.close();
        app.tracker.wait().await;
        assert_eq!(app.hub.n_clients(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go_in_time() {
        let (app, _say, _hear) = session(1);
        let start = Instant::now();
        app.tracker.close();
        app.tracker.wait().await;
        assert_eq!(start.elapsed(), Duration::from_secs(10) + CLOSE_TIMEOUT);
        assert_eq!(app.metrics.live.ended(Ended::Slow).get(), 1);
    }
}
