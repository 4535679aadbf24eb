//! Readings of one metric within a window: sums and their like, at a cost that does not grow with
//! the window.
//!
//! Up to [`EXACT`] readings are kept one by one, so a window holds exactly those that are younger
//! than its width. Where more come, those of one [`PARTS`]th of the width are kept as one, and
//! leave together when the youngest of them is too old. What all of them come to is found with two
//! stacks (Tangwongsan, Hirzel, Schneider: "Low-Latency Sliding-Window Aggregation in Worst-Case
//! Constant Time", 2017, §2): the older ones as sums from each of them to the youngest of the
//! older, the younger ones as one sum. Nothing is ever subtracted, so nothing drifts.

use std::collections::VecDeque;
use std::time::Duration;

use bellwire_model::{Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::summary::Summary;
use crate::lang::functions::Stat;
use crate::lang::group::quantile;
use crate::lang::names::WindowSpec;

/// So many readings are kept one by one.
const EXACT: usize = 64;
/// Where more come, a window moves in so many steps.
const PARTS: i64 = 60;
/// So many values are kept in their order of size; if there are more, every second is dropped.
const SORTED_MAX: usize = 1_024;

/// What is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    /// How far it reaches back; zero for the newest reading alone.
    pub(crate) width: Duration,
    /// How long ago it ends.
    pub(crate) offset: Duration,
    /// The values themselves are needed, in their order of size.
    pub(crate) sorts: bool,
    /// What it was before the newest instant is needed.
    pub(crate) looks_back: bool,
}

/// The readings of one metric of one device within a window that moves along with event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// What is not old enough for the window, by age; only where the window ends in the past.
    waiting: VecDeque<Summary>,
    /// What is in the window, oldest first.
    parts: VecDeque<Summary>,
    /// For each of the first of `parts`, what it and those up to the last of these come to; the
    /// oldest is the last.
    older: Vec<Summary>,
    /// What the rest of `parts` comes to.
    younger: Summary,
    sorted: Option<Box<Sorted>>,
    /// What the window was before the newest instant.
    before: Option<Box<Summary>>,
}

impl Span {
    pub(crate) const fn of(spec: &WindowSpec) -> Self {
        let WindowSpec { width, offset, sorts, looks_back, .. } = *spec;
        Self { width, offset, sorts, looks_back }
    }
}

impl Series {
    pub(crate) fn new(span: &Span) -> Self {
        Self {
            waiting: VecDeque::new(),
            parts: VecDeque::new(),
            older: Vec::new(),
            younger: Summary::EMPTY,
            sorted: span.sorts.then(Box::default),
            before: span.looks_back.then(|| Box::new(Summary::EMPTY)),
        }
    }

    /// Whether it can be one of `span`: for what comes from outside.
    pub(crate) fn fits(&self, span: &Span) -> bool {
        self.older.len() <= self.parts.len()
            && self.sorted.is_some() == span.sorts
            && self.before.is_some() == span.looks_back
            && self.sorted.as_ref().is_none_or(|sorted| sorted.is_sound())
    }

    /// Takes a reading of `at`, to which the window has been moved, and which is not before any
    /// other reading here.
    pub(crate) fn push(&mut self, span: &Span, at: Timestamp, value: &Value) {
        let reading = Summary::of(at, value);
        if span.offset.is_zero() {
            self.enter(span, reading);
        } else {
            join(&mut self.waiting, reading, span.width.max(span.offset), 0);
        }
    }

    /// Moves the window to `now`.
    #[inline]
    pub(crate) fn advance(&mut self, span: &Span, now: Timestamp) {
        let end = now - span.offset;
        while let Some(next) = self.waiting.front()
            && next.first_at() <= end
        {
            let next = *next;
            self.waiting.pop_front();
            self.enter(span, next);
        }
        if span.width.is_zero() {
            while self.parts.len() > 1 {
                self.leave();
            }
            return;
        }
        let start = end - span.width;
        while self.parts.front().is_some_and(|oldest| oldest.last_at() <= start) {
            self.leave();
        }
        if let Some(sorted) = &mut self.sorted {
            sorted.drop_through(start);
        }
    }

    /// When the next reading leaves the window.
    pub(crate) fn leaves_at(&self, span: &Span) -> Option<Timestamp> {
        let next = self.parts.front().map(|oldest| oldest.last_at() + span.width + span.offset);
        let enters = self.waiting.front().map(|next| next.first_at() + span.offset);
        next.into_iter().chain(enters).min()
    }

    fn enter(&mut self, span: &Span, part: Summary) {
        if let Some(sorted) = &mut self.sorted {
            sorted.push(part.last_at(), part.last_number());
        }
        if let Some(before) = &mut self.before
            && self.parts.back().is_none_or(|newest| newest.last_at() < part.first_at())
        {
            **before = self.older.last().map_or(self.younger, |older| older.then(&self.younger));
        }
        self.younger = self.younger.then(&part);
        // A part that is summed up among the older ones cannot grow.
        join(&mut self.parts, part, span.width, self.older.len());
    }

    fn leave(&mut self) {
        if self.older.is_empty() {
            let mut sum = Summary::EMPTY;
            for part in self.parts.iter().rev() {
                sum = part.then(&sum);
                self.older.push(sum);
            }
            self.younger = Summary::EMPTY;
        }
        self.older.pop();
        self.parts.pop_front();
    }

    fn whole(&self) -> Summary {
        match self.older.last() {
            Some(older) => older.then(&self.younger),
            None => self.younger,
        }
    }

    /// What the window comes to; NaN if that is not known.
    pub(crate) fn stat(&self, stat: Stat) -> f64 {
        match stat {
            Stat::Quantile(share) => {
                self.sorted.as_ref().map_or(f64::NAN, |sorted| sorted.quantile(share))
            }
            Stat::Zscore => {
                let last = self.whole().last_number();
                self.before.as_ref().map_or(f64::NAN, |before| before.zscore(last))
            }
            stat => self.whole().stat(stat),
        }
    }
}

/// Puts `part` behind the others, or into the last of them if there are many and both are of the
/// same step of `width`. The first `n_fixed` cannot grow.
fn join(parts: &mut VecDeque<Summary>, part: Summary, width: Duration, n_fixed: usize) {
    let step = (i64::try_from(width.as_micros()).unwrap_or(i64::MAX) / PARTS).max(1);
    let step_of = |at: Timestamp| at.as_micros().div_euclid(step);
    if parts.len() >= EXACT
        && parts.len() > n_fixed
        && let Some(last) = parts.back_mut()
        && step_of(last.last_at()) == step_of(part.last_at())
    {
        *last = last.then(&part);
    } else {
        parts.push_back(part);
    }
}

/// Values in the order in which they came, and in the order of their size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sorted {
    by_age: VecDeque<(i64, f64)>,
    by_size: Vec<f64>,
    /// One of so many, less one, is taken.
    skips: u32,
    /// How many were not taken since the last one that was.
    n_skipped: u32,
}

impl Sorted {
    fn push(&mut self, at: Timestamp, number: f64) {
        if number.is_nan() {
            return;
        }
        if self.n_skipped < self.skips {
            self.n_skipped += 1;
            return;
        }
        self.n_skipped = 0;
        if self.by_age.len() == SORTED_MAX {
            self.thin();
        }
        self.by_age.push_back((at.as_micros(), number));
        let place = self.by_size.partition_point(|other| *other < number);
        self.by_size.insert(place, number);
    }

    fn is_sound(&self) -> bool {
        let mut by_size: Vec<f64> = self.by_age.iter().map(|(_, number)| *number).collect();
        by_size.sort_unstable_by(f64::total_cmp);
        by_size == self.by_size
    }

    /// Drops every second value, and from now on as many of those that come.
    fn thin(&mut self) {
        let mut is_kept = true;
        self.by_age.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
        self.by_size = self.by_age.iter().map(|(_, number)| *number).collect();
        self.by_size.sort_unstable_by(f64::total_cmp);
        self.skips = self.skips * 2 + 1;
    }

    fn drop_through(&mut self, end: Timestamp) {
        while let Some((at, number)) = self.by_age.front().copied()
            && at <= end.as_micros()
        {
            self.by_age.pop_front();
            let place = self.by_size.partition_point(|other| *other < number);
            self.by_size.remove(place);
        }
        if self.by_age.is_empty() {
            (self.skips, self.n_skipped) = (0, 0);
        }
    }

    /// Linear between the two values next to it, as PostgreSQL's `percentile_cont`.
    fn quantile(&self, share: u32) -> f64 {
        quantile(&self.by_size, share)
    }
}

#[cfg(test)]
mod tests;
