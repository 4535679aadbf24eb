//! How one freezer behaves: its compressor keeps it near −18 °C, its door lets warmth in, and it may
//! fail. Pure: the same seed gives the same temperatures.

use std::time::Duration;

use crate::random::{Chance, hash, unit};

/// What surrounds the freezers, in °C.
const ROOM: f64 = 5.0;
/// Where a compressor that never stops would end, in °C.
const COLDEST: f64 = -24.0;
/// The compressor starts above the first and stops below the second, in °C.
const STARTS_ABOVE: f64 = -17.2;
const STOPS_BELOW: f64 = -18.8;
/// Time constants in seconds: cooling down, warming up through the walls and through an open door.
const COOLING_S: f64 = 240.0;
const WALLS_S: f64 = 3600.0;
const DOOR_S: f64 = 900.0;
/// How often someone opens the door of a freezer, per second.
const DOOR_PER_SECOND: f64 = 0.003;
/// A door stays closed for so long after it was opened.
const DOOR_REST_S: f64 = 180.0;

/// What a freezer's sensors show at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Hundredths of °C.
    pub temperature_hundredths: i64,
    /// Hundredths of a percent of relative humidity.
    pub humidity_hundredths: i64,
    /// Whether the door is open.
    pub door_open: bool,
    /// Whether the compressor runs.
    pub compressor_on: bool,
}

/// What happens to the compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// It works.
    Works,
    /// It has failed: the freezer warms up to +5 °C along an exponential with this time constant.
    Failed(Duration),
    /// It was repaired and makes up for lost time: it cools with this time constant until the
    /// freezer is cold again.
    Repaired(Duration),
}

/// One freezer's state.
#[derive(Clone, Debug)]
pub struct Freezer {
    seed: u64,
    number: u64,
    step: u64,
    temperature: f64,
    humidity: f64,
    compressor_on: bool,
    /// Seconds for which the door stays as it is: open if `door_open`, else at rest.
    door_open: bool,
    door_s: f64,
}

impl Freezer {
    /// Freezer `number` of those that `seed` makes, somewhere in its cycle.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        let bits = hash(seed, number, u64::MAX);
        Self {
            seed,
            number,
            step: 0,
            temperature: STOPS_BELOW + (STARTS_ABOVE - STOPS_BELOW) * unit(bits),
            humidity: 55.0,
            compressor_on: bits & 1 == 0,
            door_open: false,
            door_s: DOOR_REST_S * unit(bits.rotate_left(32)),
        }
    }

    /// Lets `interval` pass and reads the sensors.
    pub fn step(&mut self, interval: Duration, machine: Machine) -> Shown {
        let seconds = interval.as_secs_f64();
        let bits = hash(self.seed, self.number, self.step);
        self.step += 1;
        self.move_door(seconds, bits);
        self.move_temperature(seconds, machine);
        let moist = if self.door_open { 85.0 } else { 55.0 };
        self.humidity += (moist - self.humidity) * passed(seconds, 60.0);
        let noise = |bits: u64| (unit(bits) - 0.5) * 0.1;
        Shown {
            temperature_hundredths: hundredths(self.temperature + noise(bits.rotate_left(16))),
            humidity_hundredths: hundredths(self.humidity + noise(bits.rotate_left(48)) * 5.0),
            door_open: self.door_open,
            compressor_on: self.compressor_on,
        }
    }

    fn move_door(&mut self, seconds: f64, bits: u64) {
        self.door_s -= seconds;
        if self.door_s > 0.0 {
            return;
        }
        if self.door_open {
            self.door_open = false;
            self.door_s = DOOR_REST_S;
        } else if Chance::new(DOOR_PER_SECOND * seconds).hits(bits) {
            self.door_open = true;
            self.door_s = 8.0 + 17.0 * unit(bits.rotate_left(32));
        }
    }

    fn move_temperature(&mut self, seconds: f64, machine: Machine) {
        match machine {
            Machine::Failed(time_constant) => {
                self.compressor_on = false;
                self.move_towards(ROOM, seconds, time_constant.as_secs_f64());
                return;
            }
            Machine::Repaired(time_constant) if self.temperature > STARTS_ABOVE => {
                self.compressor_on = true;
                self.move_towards(COLDEST, seconds, time_constant.as_secs_f64());
                return;
            }
            Machine::Works | Machine::Repaired(_) => {}
        }
        if self.compressor_on {
            self.move_towards(COLDEST, seconds, COOLING_S);
        } else {
            self.move_towards(ROOM, seconds, WALLS_S);
        }
        if self.door_open {
            self.move_towards(ROOM, seconds, DOOR_S);
        }
        if self.temperature > STARTS_ABOVE {
            self.compressor_on = true;
        } else if self.temperature < STOPS_BELOW {
            self.compressor_on = false;
        }
    }

    fn move_towards(&mut self, target: f64, seconds: f64, time_constant_s: f64) {
        self.temperature += (target - self.temperature) * passed(seconds, time_constant_s);
    }
}

/// Which part of the way to its end an exponential has gone.
fn passed(seconds: f64, time_constant_s: f64) -> f64 {
    -(-seconds / time_constant_s.max(1e-3)).exp_m1()
}

#[expect(clippy::cast_possible_truncation, reason = "temperatures are small")]
fn hundredths(value: f64) -> i64 {
    (value * 100.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_healthy_freezer_stays_cold_for_a_day() {
        for number in 0..20 {
            let mut freezer = Freezer::new(3, number);
            let (mut starts, mut doors, mut before) = (0, 0, freezer.step(SECOND, Machine::Works));
            for _ in 0..86_400 {
                let shown = freezer.step(SECOND, Machine::Works);
                let temperature = shown.temperature_hundredths;
                assert!((-1950..=-1580).contains(&temperature), "{number}: {temperature}");
                starts += u32::from(shown.compressor_on && !before.compressor_on);
                doors += u32::from(shown.door_open && !before.door_open);
                before = shown;
            }
            assert!((100..500).contains(&starts), "{number}: {starts} starts");
            assert!((50..250).contains(&doors), "{number}: {doors} doors");
        }
    }

    #[test]
    fn a_failed_freezer_warms_up_and_a_repaired_one_recovers() {
        let mut freezer = Freezer::new(3, 1);
        let failed = Machine::Failed(Duration::from_secs(60));
        let warmed = (1..).find(|_| freezer.step(SECOND, failed).temperature_hundredths > -1500);
        // 1 − e^(−t/60) of the way from between −18.8 and −17.2 to +5.
        assert!(warmed.is_some_and(|seconds| (5..=13).contains(&seconds)), "{warmed:?}");
        let shown = (0..600).map(|_| freezer.step(SECOND, failed)).last().expect("600 steps");
        assert!((490..=505).contains(&shown.temperature_hundredths), "{shown:?}");
        assert!(!shown.compressor_on);
        let repaired = Machine::Repaired(Duration::from_secs(60));
        let cold = (1..).find(|_| freezer.step(SECOND, repaired).temperature_hundredths < -1700);
        assert!(cold.is_some_and(|seconds| (60..=120).contains(&seconds)), "{cold:?}");
    }

    #[test]
    fn the_seed_decides() {
        let day = |seed| {
            let mut freezer = Freezer::new(seed, 1);
            (0..1000).map(|_| freezer.step(SECOND, Machine::Works)).collect::<Vec<_>>()
        };
        assert_eq!(day(1), day(1));
        assert_ne!(day(1), day(2));
    }
}
