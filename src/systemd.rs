//! Tells systemd, or whoever else started us with `NOTIFY_SOCKET`, how far we are. Without it nothing
//! happens.

use std::pin::pin;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

/// How often more time is asked for, and how much, while starting or stopping takes long: PostgreSQL may
/// replay its log, or tables be rewritten. Each has a limit of its own in the configuration.
const ASK_EVERY: Duration = Duration::from_secs(10);
const ASK_FOR: NotifyState<'static> = NotifyState::ExtendTimeoutUsec(60_000_000);

/// Everybody can connect; or what was read again is in force.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It begins to read everything again; [`ready`] ends it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "There is no clock to say when it reloads."),
    }
}

/// It begins to stop.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// It lives.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        // It is found by whoever waits for it in vain.
        debug!(%error, "Cannot tell NOTIFY_SOCKET.");
    }
}

/// Waits for `work`, and asks for more time as long as it takes.
pub(crate) async fn patiently<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let mut pulse = pulse(ASK_EVERY);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = pulse.tick() => tell(&[ASK_FOR]),
        }
    }
}

/// When it has to be said that we live.
#[derive(Debug)]
pub(crate) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// As `WATCHDOG_USEC` asks for: twice as often.
    pub(crate) fn as_asked() -> Self {
        let every = sd_notify::watchdog_enabled().filter(|every| !every.is_zero());
        Self(every.map(|every| pulse(every / 2)))
    }

    /// Waits until it has to be said again; for ever, if nobody asks.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn due(&mut self) {
        match &mut self.0 {
            Some(pulse) => {
                pulse.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

fn pulse(every: Duration) -> Interval {
    let mut pulse = interval(every);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}
