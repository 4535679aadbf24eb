//! Watches over the way in of somebody who stays: a client of the live feed.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::Timestamp;
use tokio::sync::watch;

use super::gate::{Gate, Use};
use super::who::{Pass, Who};
use crate::app::App;

/// How long it may take until somebody who may not stay is seen: timers are not the wall clock.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// The longest until it is looked again.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Watches over the way in of somebody who stays; of a service that asks for no credentials, nobody's.
#[derive(Debug)]
pub(crate) struct Vigil(Option<Watched>);

#[derive(Debug)]
struct Watched {
    gate: Arc<Gate>,
    who: Who,
    changed: watch::Receiver<()>,
}

impl Vigil {
    /// Watches over `who` from now on.
    pub(crate) fn over(app: &App, who: &Who) -> Self {
        let watched = |gate: &Arc<Gate>| Watched {
            gate: Arc::clone(gate),
            who: who.clone(),
            changed: gate.changes(),
        };
        Self(app.gate.as_ref().map(watched))
    }

    /// Waits until they may not stay as who they came: their session or token has ended, or they may do
    /// more or less. Staying counts as using a session.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn ended(&mut self) {
        match &mut self.0 {
            Some(watched) => watched.ended().await,
            None => std::future::pending().await,
        }
    }
}

impl Watched {
    async fn ended(&mut self) {
        loop {
            self.changed.borrow_and_update();
            let now = self.gate.by_pass(&self.who.pass, Use::Not);
            // The token of the data directory holds as long as the service runs.
            if self.who.pass != Pass::Endless && now.as_ref() != Some(&self.who) {
                return;
            }
            let look_after = self.look_after();
            let later = async {
                match look_after {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return },
                () = later => drop(self.gate.by_pass(&self.who.pass, Use::Now)),
            }
        }
    }

    /// After how long it has to be looked again: half of what is left of a session, as it is used
    /// meanwhile, or when a token ends.
    fn look_after(&self) -> Option<Duration> {
        let now = self.gate.now();
        let left = match &self.who.pass {
            Pass::Endless => return None,
            Pass::Session(key) => self.gate.session_ends(*key)?.since(now) / 2,
            Pass::Token(id) => self.gate.with_people(|people| {
                people.token(id).map(|it| Timestamp::from_micros(it.expires_at).since(now))
            })?,
        };
        Some(left.clamp(WAIT_MIN, WAIT_MAX))
    }
}
