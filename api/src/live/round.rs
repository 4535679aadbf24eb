//! What is new on its way to the sockets of those who hear of it: see [`crate::live::lane`].

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use tokio_util::task::TaskTracker;

use crate::live::client::Client;
use crate::live::frames::Frame;
use crate::live::hub::Hub;
use crate::live::lane::{Handed, Stretch};
use crate::live::wire::Coding;

/// So many clients are written to before other tasks have their turn: some hundred microseconds.
const CLIENTS_AT_ONCE: usize = 64;
/// From so many clients on, two write: on a machine with a core to spare the last client waits half as long.
const CLIENTS_OF_TWO: usize = 256;

/// The same frames for all clients that want the same.
#[derive(Debug)]
pub(crate) struct Round {
    clients: Arc<[Arc<Client>]>,
    stretch: Stretch,
    frames: Vec<Frame>,
    plain: OnceLock<Bytes>,
    deflated: OnceLock<Bytes>,
}

impl Round {
    pub(crate) fn new(clients: Arc<[Arc<Client>]>, stretch: Stretch, frames: Vec<Frame>) -> Self {
        let (plain, deflated) = (OnceLock::new(), OnceLock::new());
        Self { clients, stretch, frames, plain, deflated }
    }

    /// Writes the frames to all who stand right before them, and wakes the others.
    ///
    /// # Cancel safety
    /// Not cancel safe: clients that were not reached are not woken.
    pub(crate) async fn hand(self, hub: &Arc<Hub>, tracker: &TaskTracker) {
        let n_clients = self.clients.len();
        if n_clients < CLIENTS_OF_TWO {
            return self.hand_part(0..n_clients, hub).await;
        }
        let round = Arc::new(self);
        let other = {
            let (round, hub) = (Arc::clone(&round), Arc::clone(hub));
            tracker.spawn(async move { round.hand_part(n_clients / 2..n_clients, &hub).await })
        };
        round.hand_part(0..n_clients / 2, hub).await;
        if other.await.is_err() {
            // It has panicked, or the runtime ends: whoever it did not reach takes it for itself.
            round.wake();
        }
    }

    async fn hand_part(&self, part: Range<usize>, hub: &Hub) {
        for some in self.clients[part].chunks(CLIENTS_AT_ONCE) {
            let n_handed = some.iter().filter(|client| self.hand_to(client, hub)).count();
            hub.metrics().live.sent_to_many(&self.frames, n_handed as u64);
            if some.len() == CLIENTS_AT_ONCE {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Has all take for themselves what is new.
    pub(crate) fn wake(&self) {
        self.clients.iter().for_each(|client| client.wake());
    }

    fn hand_to(&self, client: &Client, hub: &Hub) -> bool {
        let handed = client.lane.hand(self.stretch, |coding| self.bytes(coding));
        match handed {
            Handed::All => {
                hub.delivered(client.id, self.frames.iter().filter_map(Frame::transition));
            }
            Handed::Not => client.wake(),
        }
        handed == Handed::All
    }

    /// All frames, one behind the other.
    fn bytes(&self, coding: Coding) -> &Bytes {
        let made = match coding {
            Coding::Plain => &self.plain,
            Coding::Deflate => &self.deflated,
        };
        made.get_or_init(|| {
            if let [only] = &self.frames[..] {
                return only.encoded().message(coding).clone();
            }
            let mut all = BytesMut::new();
            for frame in &self.frames {
                all.extend_from_slice(frame.encoded().message(coding));
            }
            all.freeze()
        })
    }
}
