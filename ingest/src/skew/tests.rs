//! Devices with clocks, networks and habits, and what is seen of them.

use bellwire_model::{ClockSkew, Timestamp};
use proptest::prelude::*;

use super::{Change, FIRST_PUBLISHES, SLOT_PUBLISHES, SkewEstimator, TOLERANCE_MICROS};

const START: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// One device, and our clock.
struct World {
    now: i64,
    clock: Option<SkewEstimator>,
    n_steps: usize,
}

impl World {
    fn new() -> Self {
        Self { now: START, clock: None, n_steps: 0 }
    }

    /// A publish arrives whose newest time is so far ahead of ours.
    fn publish(&mut self, offset: i64) {
        let at = Timestamp::from_micros(self.now + offset);
        let received_at = Timestamp::from_micros(self.now);
        match &mut self.clock {
            Some(clock) => {
                self.n_steps += usize::from(clock.observe(at, received_at) == Change::Stepped);
            }
            None => self.clock = Some(SkewEstimator::new(at, received_at)),
        }
    }

    /// Publishes that are `every` µs apart, with these offsets.
    fn publishes(&mut self, every: i64, offsets: impl IntoIterator<Item = i64>) {
        for offset in offsets {
            self.now += every;
            self.publish(offset);
        }
    }

    fn skew(&self) -> Option<ClockSkew> {
        self.clock.as_ref()?.skew()
    }

    fn estimate(&self) -> i64 {
        self.skew().expect("enough publishes").estimate_micros
    }
}

/// A device that is right, and on time but for `delay` and nothing more; it publishes each second.
fn punctual(delay: i64) -> World {
    let mut world = World::new();
    world.publishes(SECOND, std::iter::repeat_n(-delay, 60));
    world
}

#[test]
fn a_first_estimate_takes_a_few_publishes() {
    let mut world = World::new();
    for n in 0..FIRST_PUBLISHES {
        assert_eq!(world.skew(), None, "after {n}");
        world.publishes(SECOND, [90 * SECOND]);
    }
    assert_eq!(world.estimate(), 90 * SECOND);
}

#[test]
fn delays_are_no_skew_but_for_the_shortest() {
    let mut world = World::new();
    let delays = (0..400).map(|n| 20_000 + (n * 386_117) % 900_000);
    world.publishes(SECOND, delays.map(|delay| 90 * SECOND - delay));
    let skew = world.skew().expect("enough publishes");
    assert!((89_850_000..=89_980_000).contains(&skew.estimate_micros), "{skew:?}");
    assert!((100..900).contains(&skew.jitter.as_millis()), "{skew:?}");
    assert_eq!((skew.since.as_micros(), world.n_steps), (START + SECOND, 0));
}

#[test]
fn an_hour_of_stored_readings_sent_one_by_one_is_no_skew() {
    let mut world = punctual(0);
    world.now += HOUR;
    // A reading each 10 s, ten of them a second: an hour takes 36 s.
    world.publishes(SECOND / 10, (0..360).map(|n| -HOUR + n * (10 * SECOND - SECOND / 10)));
    assert_eq!((world.estimate(), world.n_steps), (0, 0));
    world.publishes(SECOND, std::iter::repeat_n(0, 60));
    assert_eq!((world.estimate(), world.n_steps), (0, 0));
}

#[test]
fn one_absurd_time_is_no_skew() {
    let mut world = punctual(0);
    world.publishes(SECOND, [2 * HOUR]);
    world.publishes(SECOND, std::iter::repeat_n(0, 60));
    assert_eq!((world.estimate(), world.n_steps), (0, 0));
}

/// A clock was off by this much, and is set right: seen within three slots of 15 s.
fn check_step(skew: i64) {
    let mut world = World::new();
    world.publishes(SECOND, std::iter::repeat_n(skew, 50));
    assert_eq!(world.estimate(), skew);
    let set_at = world.now;
    let mut n_publishes = 0;
    while world.estimate() != 0 {
        world.publishes(SECOND, [0]);
        n_publishes += 1;
        assert!(n_publishes <= 48, "{skew} is seen in bounded time");
    }
    assert_eq!(world.n_steps, 1);
    let since = world.skew().expect("enough publishes").since.as_micros();
    assert!((since - set_at).abs() <= 17 * SECOND, "since {since}, set at {set_at}");
}

#[test]
fn a_clock_that_is_set_is_seen_within_three_slots() {
    check_step(HOUR);
    check_step(-HOUR);
    check_step(10 * SECOND);
    check_step(-10 * SECOND);
}

#[test]
fn a_rare_publisher_needs_three_slots_of_publishes() {
    let mut world = World::new();
    world.publishes(HOUR, std::iter::repeat_n(-HOUR, 40));
    world.publishes(HOUR, std::iter::repeat_n(0, 3 * SLOT_PUBLISHES as usize));
    assert_eq!((world.estimate(), world.n_steps), (0, 1));
}

#[test]
fn a_clock_that_drifts_is_followed_and_no_step() {
    let mut world = World::new();
    // It loses 10 ms a second.
    world.publishes(SECOND, (0..600).map(|n| -n * SECOND / 100));
    assert!((world.estimate() + 6 * SECOND).abs() < SECOND / 2, "{}", world.estimate());
    assert_eq!(world.n_steps, 0);
}

#[test]
fn whole_minutes_still_agree() {
    let mut world = World::new();
    let begun = (0..500).map(|n| (n * 37) % 60);
    world.publishes(7 * SECOND, begun.map(|secs| -HOUR - secs * SECOND));
    assert!((world.estimate() + HOUR).abs() <= 10 * SECOND, "{}", world.estimate());
    assert!(world.clock.is_some_and(|clock| clock.settled));
}

proptest! {
    /// Whatever the delays, the estimate never exceeds the truth, and lacks no more than the
    /// shortest delay of any slot.
    #[test]
    fn the_estimate_is_the_truth_less_some_delay(
        skew in -10 * HOUR..10 * HOUR,
        every in 1_000..100 * SECOND,
        delays in proptest::collection::vec(0..TOLERANCE_MICROS, 10..300),
    ) {
        let mut world = World::new();
        let delay_max = *delays.iter().max().expect("some");
        world.publishes(every, delays.iter().map(|delay| skew - delay));
        prop_assert!(world.estimate() <= skew);
        prop_assert!(world.estimate() >= skew - delay_max);
        prop_assert_eq!(world.n_steps, 0);
    }

    /// However fast or slow a device sends what it stored, in order: its clock was never off.
    #[test]
    fn catching_up_is_never_a_skew(
        readings_every in SECOND / 10..600 * SECOND,
        speed in 2..500i64,
        n_stored in 1..600i64,
    ) {
        let mut world = punctual(0);
        world.now += n_stored * readings_every;
        let (first, every) = (world.now - n_stored * readings_every, readings_every / speed);
        for n in 0.. {
            world.now += every;
            let reading = first + n * readings_every;
            if reading >= world.now {
                break;
            }
            world.publish(reading - world.now);
            prop_assert!(world.estimate() >= -TOLERANCE_MICROS, "{}", world.estimate());
        }
        prop_assert_eq!(world.n_steps, 0);
    }

    /// A step of any size that counts is seen within three slots, and told once.
    #[test]
    fn every_step_is_seen_in_bounded_time(
        before in -10 * HOUR..10 * HOUR,
        after in -10 * HOUR..10 * HOUR,
        every in 1_000..100 * SECOND,
        n_before in 100..200usize,
    ) {
        prop_assume!((before - after).abs() > TOLERANCE_MICROS);
        let mut world = World::new();
        // A slot ends with the first publish that is 15 s after its own first.
        let in_a_slot = usize::try_from((15 * SECOND + every - 1) / every + 1).expect("positive");
        let needed = 3 * in_a_slot.max(SLOT_PUBLISHES as usize);
        world.publishes(every, std::iter::repeat_n(before, n_before.max(needed)));
        world.publishes(every, std::iter::repeat_n(after, needed));
        prop_assert_eq!((world.estimate(), world.n_steps), (after, 1));
    }

    #[test]
    fn no_times_overflow(publishes in proptest::collection::vec((any::<i64>(), 0..i64::MAX), 1..50)) {
        let mut world = World::new();
        for (at, received_at) in publishes {
            let (at, received_at) = (Timestamp::from_micros(at), Timestamp::from_micros(received_at));
            match &mut world.clock {
                Some(clock) => {
                    clock.observe(at, received_at);
                }
                None => world.clock = Some(SkewEstimator::new(at, received_at)),
            }
            let _ = world.skew();
        }
    }
}
