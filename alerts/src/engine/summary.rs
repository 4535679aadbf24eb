//! What some readings of a metric come to: enough to answer any question about a window, and to be
//! put together with what the next readings come to.

use bellwire_model::{Timestamp, Value};
use serde::{Deserialize, Serialize};

use crate::lang::functions::Stat;
use crate::rules::hash;

/// What readings that follow one another come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    first_at: i64,
    last_at: i64,
    /// Numbers and texts.
    n: u64,
    n_changes: u64,
    /// Stand for the first and the last value, to tell whether the next one is another.
    first_mark: u64,
    last_mark: u64,
    /// Numbers alone.
    n_numbers: u64,
    sum: f64,
    mean: f64,
    /// The sum of the squares of their distances from the mean.
    squares: f64,
    min: f64,
    max: f64,
    first: f64,
    last: f64,
    first_number_at: i64,
    last_number_at: i64,
    /// What a counter has grown by.
    growth: f64,
}

impl Summary {
    /// What no readings come to.
    pub(crate) const EMPTY: Self = Self {
        first_at: 0,
        last_at: 0,
        n: 0,
        n_changes: 0,
        first_mark: 0,
        last_mark: 0,
        n_numbers: 0,
        sum: 0.0,
        mean: 0.0,
        squares: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        first: f64::NAN,
        last: f64::NAN,
        first_number_at: 0,
        last_number_at: 0,
        growth: 0.0,
    };

    /// What one reading comes to.
    pub(crate) fn of(at: Timestamp, value: &Value) -> Self {
        let at = at.as_micros();
        let mark = match value {
            // Both zeros are the same number.
            Value::Number(number) => (number + 0.0).to_bits(),
            Value::Text(text) => hash(text),
        };
        let all = Self {
            first_at: at,
            last_at: at,
            n: 1,
            first_mark: mark,
            last_mark: mark,
            ..Self::EMPTY
        };
        match value {
            Value::Text(_) => all,
            Value::Number(number) => Self {
                n_numbers: 1,
                sum: *number,
                mean: *number,
                min: *number,
                max: *number,
                first: *number,
                last: *number,
                first_number_at: at,
                last_number_at: at,
                ..all
            },
        }
    }

    pub(crate) const fn first_at(&self) -> Timestamp {
        Timestamp::from_micros(self.first_at)
    }

    pub(crate) const fn last_at(&self) -> Timestamp {
        Timestamp::from_micros(self.last_at)
    }

    /// NaN if there is none.
    pub(crate) const fn last_number(&self) -> f64 {
        self.last
    }

    /// What these readings and the `later` ones come to.
    pub(crate) fn then(&self, later: &Self) -> Self {
        if self.n == 0 {
            return *later;
        }
        if later.n == 0 {
            return *self;
        }
        let all = Self {
            first_at: self.first_at,
            last_at: later.last_at,
            n: self.n + later.n,
            n_changes: self.n_changes
                + later.n_changes
                + u64::from(self.last_mark != later.first_mark),
            first_mark: self.first_mark,
            last_mark: later.last_mark,
            ..*self
        };
        if later.n_numbers == 0 {
            return all;
        }
        if self.n_numbers == 0 {
            let Self { first_at, last_at, n, n_changes, first_mark, last_mark, .. } = all;
            return Self { first_at, last_at, n, n_changes, first_mark, last_mark, ..*later };
        }
        // Chan, Golub, LeVeque: "Updating Formulae and a Pairwise Algorithm", 1979.
        let (n, m) = (self.n_numbers as f64, later.n_numbers as f64);
        let apart = later.mean - self.mean;
        let step = if later.first >= self.last { later.first - self.last } else { later.first };
        Self {
            n_numbers: self.n_numbers + later.n_numbers,
            sum: self.sum + later.sum,
            mean: self.mean + apart * (m / (n + m)),
            squares: self.squares + later.squares + apart * apart * (n * m / (n + m)),
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            last: later.last,
            last_number_at: later.last_number_at,
            growth: self.growth + step + later.growth,
            ..all
        }
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.n_numbers as f64).sqrt()
    }

    /// How many standard deviations `number` is from the mean; NaN if all numbers are the same, or
    /// there are fewer than two.
    pub(crate) fn zscore(&self, number: f64) -> f64 {
        let deviation = self.deviation();
        // What rounding leaves of the deviation of equal numbers says nothing.
        if self.n_numbers < 2 || self.min >= self.max || deviation == 0.0 {
            return f64::NAN;
        }
        known((number - self.mean) / deviation)
    }

    /// NaN if it is not known.
    pub(crate) fn stat(&self, stat: Stat) -> f64 {
        match stat {
            Stat::Count => return self.n as f64,
            Stat::Changes => return self.n_changes as f64,
            _ if self.n_numbers == 0 => return f64::NAN,
            _ => {}
        }
        let secs = self.last_number_at.abs_diff(self.first_number_at) as f64 / 1e6;
        known(match stat {
            Stat::Avg => self.mean,
            Stat::Min => self.min,
            Stat::Max => self.max,
            Stat::Sum => self.sum,
            Stat::Stddev => self.deviation(),
            Stat::First => self.first,
            Stat::Last => self.last,
            Stat::Delta => self.last - self.first,
            // Of two readings of one instant no speed can be told.
            Stat::Rate if secs > 0.0 => self.growth / secs,
            _ => f64::NAN,
        })
    }
}

/// A number as it is, NaN for what has overflown.
const fn known(number: f64) -> f64 {
    if number.is_finite() { number } else { f64::NAN }
}
