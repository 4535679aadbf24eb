//! Holds a connection that publishes more than it may: it is not read from until it may again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use super::held::Held;
use crate::allowance::{Allowance, May};
use crate::door::config::DoorLimits;
use crate::door::metrics::DoorMetrics;

/// What a connection may read yet.
#[derive(Debug)]
pub(super) struct Throttle {
    allowance: Allowance,
    waits: Option<Waits>,
    has_waited: bool,
}

#[derive(Debug)]
struct Waits {
    timer: Pin<Box<Sleep>>,
    _held: Held,
}

/// The connection may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// At most so much at once.
    pub(super) bytes_max: usize,
    /// Until now it was not listened to.
    pub(super) has_waited: bool,
}

impl Throttle {
    pub(super) fn new(now: Instant) -> Self {
        let allowance = Allowance::new(now.into_std());
        Self { allowance, waits: None, has_waited: false }
    }

    /// Counts what was read at `now`.
    pub(super) fn count(
        &mut self,
        limits: &DoorLimits,
        n_publishes: u64,
        bytes: usize,
        now: std::time::Instant,
    ) {
        self.allowance.count(limits, n_publishes, bytes as u64, now);
    }

    /// Waits until the client may publish again. `say` is called the first time that it must wait.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
        limits: &DoorLimits,
        metrics: &DoorMetrics,
        say: impl Fn(),
    ) -> Poll<Read> {
        if limits.publishes.is_none() && limits.bytes.is_none() {
            return Poll::Ready(Read { bytes_max, has_waited: false });
        }
        loop {
            let until = match self.allowance.may(limits, bytes_max, Instant::now().into_std()) {
                May::Read(bytes_max) => {
                    let has_waited = self.waits.take().is_some();
                    return Poll::Ready(Read { bytes_max, has_waited });
                }
                May::Wait(until) => Instant::from_std(until),
            };
            let waits = self.waits.get_or_insert_with(|| {
                metrics.throttles.inc();
                let timer = Box::pin(sleep_until(until));
                Waits { timer, _held: Held::new(&metrics.throttled) }
            });
            if !std::mem::replace(&mut self.has_waited, true) {
                say();
            }
            ready!(waits.timer.as_mut().poll(cx));
            waits.timer.as_mut().reset(until);
        }
    }
}
