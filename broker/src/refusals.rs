//! Counts refused CONNECTs, and connections that had to be closed, by where they come from: the log
//! hears of them now and then only, and who is refused CONNECT too often waits for the answer.
//!
//! Only refusals wait. A site whose devices come from one address is not shut out by one of them
//! that has a wrong password; and trying passwords is hopeless in any case (192 bits), so the limit
//! spares the log and the network, not the secret.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// Refusals within this time are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// From this many refused CONNECTs of one source on, the answer waits.
const CONNECTS_FREE: u32 = 10;
/// Lines of log about refused CONNECTs within a window, of all sources together.
const CONNECT_LINES_MAX: u32 = 60;
/// From this many closings of one source on, the log hears no more of them.
const CLOSINGS_FREE: u32 = 100;
/// Lines of log about closings within a window, of all sources together.
const CLOSING_LINES_MAX: u32 = 1_000;
/// How long it waits: less than any client's patience for CONNACK.
const DELAY: Duration = Duration::from_secs(3);
/// Sources that are counted; beyond, the one longest silent is forgotten.
const SOURCES_MAX: usize = 1_024;

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Penalty {
    /// How many from this source came within the window, this one included.
    pub(crate) n_refused: u32,
    /// How long its answer waits.
    pub(crate) delay: Duration,
    /// What the log hears.
    pub(crate) say: Say,
}

/// What the log hears of a refusal or a closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// Nothing.
    Nothing,
    /// This one.
    One,
    /// That there are many from there.
    Many,
}

#[derive(Debug)]
struct Source {
    since: Instant,
    last: Instant,
    n_refused: u32,
}

/// The count.
#[derive(Debug)]
pub(crate) struct Refusals {
    sources: HashMap<IpAddr, Source>,
    lines_since: Instant,
    n_lines: u32,
    /// How many of one source are nothing much.
    free: u32,
    lines_max: u32,
}

/// Where an address belongs: of IPv6, the network of 64 bits that a site has.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl Refusals {
    /// For CONNECTs.
    pub(crate) fn of_connects(now: Instant) -> Self {
        Self::new(now, CONNECTS_FREE, CONNECT_LINES_MAX)
    }

    /// For connections that had to be closed.
    pub(crate) fn of_closings(now: Instant) -> Self {
        Self::new(now, CLOSINGS_FREE, CLOSING_LINES_MAX)
    }

    fn new(now: Instant, free: u32, lines_max: u32) -> Self {
        Self { sources: HashMap::new(), lines_since: now, n_lines: 0, free, lines_max }
    }

    /// A client at `address` was refused.
    pub(crate) fn refused(&mut self, address: IpAddr, now: Instant) -> Penalty {
        let key = source(address);
        if !self.sources.contains_key(&key) && self.sources.len() >= SOURCES_MAX {
            self.forget(now);
        }
        let fresh = || Source { since: now, last: now, n_refused: 0 };
        let source = self.sources.entry(key).or_insert_with(fresh);
        if now.saturating_duration_since(source.since) >= WINDOW {
            *source = fresh();
        }
        source.last = now;
        source.n_refused = source.n_refused.saturating_add(1);
        let n_refused = source.n_refused;
        let say = match n_refused {
            n if n < self.free => Say::One,
            n if n == self.free => Say::Many,
            _ => Say::Nothing,
        };
        let delay = if n_refused > self.free { DELAY } else { Duration::ZERO };
        Penalty { n_refused, delay, say: self.bounded(say, now) }
    }

    /// Forgets what is over, and the source that was silent longest.
    fn forget(&mut self, now: Instant) {
        self.sources.retain(|_, source| now.saturating_duration_since(source.since) < WINDOW);
        if self.sources.len() >= SOURCES_MAX
            && let Some(&key) =
                self.sources.iter().min_by_key(|(_, source)| source.last).map(|(key, _)| key)
        {
            self.sources.remove(&key);
        }
    }

    /// `say`, as long as there are not too many lines from all sources.
    fn bounded(&mut self, say: Say, now: Instant) -> Say {
        if now.saturating_duration_since(self.lines_since) >= WINDOW {
            (self.lines_since, self.n_lines) = (now, 0);
        }
        if say == Say::Nothing || self.n_lines >= self.lines_max {
            return Say::Nothing;
        }
        self.n_lines += 1;
        say
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn the_answer_waits_after_ten_refusals_within_a_minute() {
        let now = start();
        let mut refusals = Refusals::of_connects(now);
        for n in 1..=CONNECTS_FREE {
            let penalty = refusals.refused(address(1), now);
            let say = if n == CONNECTS_FREE { Say::Many } else { Say::One };
            assert_eq!(penalty, Penalty { n_refused: n, delay: Duration::ZERO, say });
        }
        let penalty = refusals.refused(address(1), now + WINDOW - Duration::from_millis(1));
        assert_eq!(
            penalty,
            Penalty { n_refused: CONNECTS_FREE + 1, delay: DELAY, say: Say::Nothing }
        );
        assert_eq!(refusals.refused(address(2), now).delay, Duration::ZERO, "others do not wait");
        assert_eq!(refusals.refused(address(1), now + WINDOW).n_refused, 1, "a minute later");
    }

    #[test]
    fn a_site_is_one_source() {
        let now = start();
        let mut refusals = Refusals::of_connects(now);
        let [a, b, c, d]: [IpAddr; 4] =
            ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1", "::ffff:10.0.0.1"]
                .map(|it| it.parse().expect("an address"));
        assert_eq!(refusals.refused(a, now).n_refused, 1);
        assert_eq!(refusals.refused(b, now).n_refused, 2);
        assert_eq!(refusals.refused(c, now).n_refused, 1);
        assert_eq!(refusals.refused(d, now).n_refused, 1);
        assert_eq!(refusals.refused("10.0.0.1".parse().expect("one"), now).n_refused, 2);
    }

    #[test]
    fn sources_and_lines_are_bounded() {
        let now = start();
        let mut refusals = Refusals::of_connects(now);
        let mut n_lines = 0;
        for n in 0..10_000 {
            let later = now + Duration::from_millis(u64::from(n));
            n_lines += u32::from(refusals.refused(address(n), later).say != Say::Nothing);
        }
        assert_eq!(refusals.sources.len(), SOURCES_MAX);
        assert_eq!(n_lines, CONNECT_LINES_MAX);
    }
}
