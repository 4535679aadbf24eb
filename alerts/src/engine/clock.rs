//! A device's event time: how far it has come, and how it goes on between readings.

use std::time::Duration;

use bellwire_model::Timestamp;

/// How far behind its watermark, in event time, a device must stay for its clock to have stepped.
pub(crate) const LATENESS: Duration = Duration::from_mins(5);
/// How far event time and receive time may differ for a device to be live, so that ticks count.
pub(crate) const LIVE_WITHIN: Duration = Duration::from_mins(5);
/// How long a reading may be on its way before a tick decides without it.
pub(crate) const TICK_GRACE: Duration = Duration::from_secs(1);

/// One device's event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceClock {
    /// The event time of the latest reading.
    pub(crate) watermark: Timestamp,
    /// When that reading was received, plus the time that we were down since.
    pub(crate) received_at: Timestamp,
    /// Whether that reading was received about when it was made: only then does event time run
    /// on with the wall clock.
    pub(crate) pace: Pace,
    /// How far the device's late readings have come, if the latest reading was late.
    pub(crate) late: Option<LateRun>,
}

/// Whether a device sends what it measures now, or what it measured long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Live,
    Historical,
}

/// Late readings that follow one another in ascending event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LateRun {
    /// The event time of the latest.
    pub(crate) at: Timestamp,
    /// The event time they cover; a step counts for [`LATENESS`] at most, so that it takes three
    /// readings to say that a clock has stepped.
    pub(crate) covered: Duration,
}

/// How a reading stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    InOrder,
    /// Older than the watermark: it changes no alert.
    Late,
    /// The device's clock was set back by this much.
    Stepped(Duration),
}

impl DeviceClock {
    /// The clock of a device whose first reading this is.
    pub(crate) fn new(at: Timestamp, received_at: Timestamp) -> Self {
        Self { watermark: at, received_at, pace: pace(at, received_at), late: None }
    }

    /// Takes notice of a reading.
    #[inline]
    pub(crate) fn arrive(&mut self, at: Timestamp, received_at: Timestamp) -> Arrival {
        if at >= self.watermark {
            *self = Self::new(at, received_at);
            return Arrival::InOrder;
        }
        let covered = match self.late {
            Some(run) if run.at < at => run.covered + at.since(run.at).min(LATENESS),
            Some(run) if run.at == at => run.covered,
            _ => Duration::ZERO,
        };
        if covered > LATENESS {
            let back = self.watermark.since(at);
            *self = Self::new(at, received_at);
            return Arrival::Stepped(back);
        }
        self.late = Some(LateRun { at, covered });
        Arrival::Late
    }

    /// The event time that a tick at `now` shows: every reading up to it should be here.
    pub(crate) fn event_time(&self, now: Timestamp) -> Timestamp {
        match self.pace {
            Pace::Live => self.watermark + (now - TICK_GRACE).since(self.received_at),
            Pace::Historical => self.watermark,
        }
    }

    /// When a tick will show that event time has come to `due`; never for a historical device.
    pub(crate) fn tick_for(&self, due: Timestamp) -> Option<Timestamp> {
        match self.pace {
            Pace::Live => Some(self.received_at + due.since(self.watermark) + TICK_GRACE),
            Pace::Historical => None,
        }
    }
}

fn pace(at: Timestamp, received_at: Timestamp) -> Pace {
    if received_at.since(at) <= LIVE_WITHIN && at.since(received_at) <= LIVE_WITHIN {
        Pace::Live
    } else {
        Pace::Historical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds readings at these event times, in minutes; gives `.` in order, `l` late, `S` stepped.
    fn check(minutes: &[i64], expected: &str) {
        let at = |minute: i64| Timestamp::from_secs(minute * 60);
        let mut clock = DeviceClock::new(at(minutes[0]), at(10_000));
        let arrivals: String = minutes
            .iter()
            .map(|minute| match clock.arrive(at(*minute), at(10_000)) {
                Arrival::InOrder => '.',
                Arrival::Late => 'l',
                Arrival::Stepped(_) => 'S',
            })
            .collect();
        assert_eq!(arrivals, expected, "{minutes:?}");
    }

    #[test]
    fn a_clock_that_stays_back_has_stepped() {
        check(&[100, 105, 50, 55, 60, 65], "..llS.");
        check(&[100, 50, 51, 52, 53, 54, 55, 56, 57], ".llllllS.");
    }

    #[test]
    fn late_readings_among_others_do_not_make_a_step() {
        check(&[100, 95, 96, 97, 98, 99, 100], ".lllll.");
        check(&[100, 50, 101, 60, 102, 70, 103, 80], ".l.l.l.l");
        check(&[100, 90, 80, 70, 60, 50], ".lllll");
        check(&[100, 20, 90], ".ll");
        check(&[100, 50, 50, 50, 50], ".llll");
    }

    #[test]
    fn a_tick_waits_for_readings_under_way() {
        let start = Timestamp::from_secs(1_000);
        let clock = DeviceClock::new(start, start);
        let due = start + Duration::from_secs(10);
        let tick = clock.tick_for(due).expect("live");
        assert_eq!(tick, due + TICK_GRACE);
        assert_eq!(clock.event_time(tick), due);
    }

    #[test]
    fn history_has_no_ticks() {
        let clock = DeviceClock::new(Timestamp::from_secs(0), Timestamp::from_secs(301));
        assert_eq!(clock.tick_for(Timestamp::from_secs(10)), None);
        assert_eq!(clock.event_time(Timestamp::from_secs(9_999)), Timestamp::from_secs(0));
    }
}
