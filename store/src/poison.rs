//! Finds the publishes that the database refuses in a batch that it refused.
//!
//! Parts of the batch are tried in transactions that are undone, so what is stored, and how far the
//! position is, does not change. The server mostly names the row that it stopped at: then a try
//! confirms it and one more goes on behind it. Where it names none, the shortest stretch that it
//! refuses is found by halving: its last publish is one that does not fit in. A batch whose
//! readings are all accepted was refused for something else, and no publish is to blame.

use std::ops::Range;

use bellwire_model::{KeepBatch, SharedNames};

use crate::error::sentence;
use crate::{WriteError, Writer};

/// A publish that the database will not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPublish {
    /// Which of the batch's publishes, from 0.
    pub index: usize,
    /// What the server said.
    pub detail: String,
}

impl Writer {
    /// Which publishes of `batch`, which was [`WriteError::Refused`], the database will not take;
    /// none if it is something else in it. `n_readings` says how many of the batch's readings are
    /// of each publish, in order. Stores nothing.
    ///
    /// Takes a few transactions for each publish it finds, or log₂ of all where the server does
    /// not say which row it means; each has the limit of [`Writer::write`]. Without those it
    /// finds, the batch may be refused again, if publishes only clash with each other: then ask
    /// again.
    ///
    /// # Errors
    /// [`WriteError`], but not [`WriteError::Refused`].
    ///
    /// # Panics
    /// If `n_readings` are not those of the batch.
    ///
    /// # Cancel safety
    /// Cancel safe; a new search begins from the start.
    pub async fn find_refused(
        &mut self,
        batch: &KeepBatch,
        n_readings: &[u32],
        names: &SharedNames,
    ) -> Result<Vec<RefusedPublish>, WriteError> {
        let publishes = Publishes::new(n_readings);
        assert_eq!(publishes.n_readings(), batch.readings.len(), "every reading has its publish");
        let others = KeepBatch { readings: Vec::new(), ..batch.clone() };
        if self.refusal(&others, names).await?.is_some() {
            return Ok(Vec::new());
        }
        let mut search = Search::over(n_readings.len());
        while let Some(stretch) = search.next() {
            let rows = publishes.rows(&stretch);
            let part = KeepBatch {
                start: batch.start,
                end: batch.end,
                readings: batch.readings[rows.clone()].to_vec(),
                ..KeepBatch::default()
            };
            let answer = self.refusal(&part, names).await?.map(|(row, detail)| {
                let row = row.and_then(|row| usize::try_from(row).ok()?.checked_sub(1));
                let at = row.and_then(|row| publishes.of_row(rows.start + row));
                Refusal { at: at.filter(|at| stretch.contains(at)), detail }
            });
            search.told(answer);
        }
        Ok(search.found)
    }

    /// What the database says against `part`: the row it means, from 1, if it says so, and its
    /// words; `None` if it would take it.
    async fn refusal(
        &mut self,
        part: &KeepBatch,
        names: &SharedNames,
    ) -> Result<Option<(Option<u64>, String)>, WriteError> {
        match self.probe(part, names).await {
            Ok(()) => Ok(None),
            Err(WriteError::Refused { row, source }) => Ok(Some((row, sentence(&source)))),
            Err(other) => Err(other),
        }
    }
}

/// Which of a batch's rows are of which publish.
struct Publishes {
    /// Where each publish's rows begin, and last where they all end.
    begins: Vec<usize>,
}

impl Publishes {
    fn new(n_readings: &[u32]) -> Self {
        let mut begins = vec![0];
        let mut end = 0;
        for &n in n_readings {
            end += n as usize;
            begins.push(end);
        }
        Self { begins }
    }

    fn n_readings(&self) -> usize {
        self.begins.last().copied().unwrap_or_default()
    }

    fn rows(&self, publishes: &Range<usize>) -> Range<usize> {
        self.begins[publishes.start]..self.begins[publishes.end]
    }

    /// The publish of this row, from 0.
    fn of_row(&self, row: usize) -> Option<usize> {
        (row < self.n_readings()).then(|| self.begins.partition_point(|&begin| begin <= row) - 1)
    }
}

/// What the database said against a stretch.
#[derive(Clone, Debug)]
struct Refusal {
    /// The publish whose row it stopped at. It reads in order, so those before it passed.
    at: Option<usize>,
    detail: String,
}

/// The search, without I/O: which stretch to try next, and what to make of the answer.
#[derive(Debug)]
struct Search {
    /// Before it, all is settled.
    from: usize,
    n_publishes: usize,
    step: Step,
    found: Vec<RefusedPublish>,
}

#[derive(Debug)]
enum Step {
    /// Everything that is not settled.
    Rest,
    /// The one that the server named. `from..=at` is refused, or so it seems.
    Confirm { at: usize, detail: String },
    /// `from..passes` is accepted, `from..fails` refused; `middle` lies between.
    Halve { passes: usize, middle: usize, fails: usize, detail: String },
    /// Nothing is left to try.
    Done,
}

impl Search {
    const fn over(n_publishes: usize) -> Self {
        let step = if n_publishes == 0 { Step::Done } else { Step::Rest };
        Self { from: 0, n_publishes, step, found: Vec::new() }
    }

    /// The publishes to try next; `None` when the search is over.
    fn next(&self) -> Option<Range<usize>> {
        match self.step {
            Step::Rest => Some(self.from..self.n_publishes),
            Step::Confirm { at, .. } => Some(at..at + 1),
            Step::Halve { middle, .. } => Some(self.from..middle),
            Step::Done => None,
        }
    }

    /// Takes the answer to what was to be tried; `None`: it is accepted.
    fn told(&mut self, answer: Option<Refusal>) {
        match (std::mem::replace(&mut self.step, Step::Done), answer) {
            (Step::Rest, Some(refusal)) => match refusal.at {
                // Nothing comes before it: it is refused for itself.
                Some(at) if at == self.from => self.settle(at, refusal.detail),
                Some(at) => self.step = Step::Confirm { at, detail: refusal.detail },
                None => self.halve(self.from, self.n_publishes, refusal.detail),
            },
            (Step::Confirm { at, .. }, Some(refusal)) => self.settle(at, refusal.detail),
            // Accepted alone: it clashes with one before it, or the server meant another.
            (Step::Confirm { at, detail }, None) => self.halve(self.from, at + 1, detail),
            (Step::Halve { passes, middle, .. }, Some(refusal)) => {
                let fails = refusal.at.map_or(middle, |at| middle.min(at + 1));
                self.halve(passes, fails.max(passes + 1), refusal.detail);
            }
            (Step::Halve { middle, fails, detail, .. }, None) => self.halve(middle, fails, detail),
            (Step::Rest | Step::Done, _) => {}
        }
    }

    fn halve(&mut self, passes: usize, fails: usize, detail: String) {
        if fails - passes == 1 {
            self.settle(passes, detail);
        } else {
            let middle = passes.midpoint(fails);
            self.step = Step::Halve { passes, middle, fails, detail };
        }
    }

    /// Blames a publish, and goes on behind it.
    fn settle(&mut self, index: usize, detail: String) {
        self.found.push(RefusedPublish { index, detail });
        self.from = index + 1;
        self.step = if self.from < self.n_publishes { Step::Rest } else { Step::Done };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How well a server names what it stops at.
    #[derive(Clone, Copy, Debug)]
    enum Names {
        Rightly,
        Never,
        Wrongly,
    }

    /// Searches among `n` for those that `refused` says of a stretch; gives the found and how many
    /// tries it took.
    fn search(
        n: usize,
        names: Names,
        refused: impl Fn(Range<usize>) -> Option<usize>,
    ) -> (Vec<usize>, usize) {
        let (mut search, mut n_tries) = (Search::over(n), 0);
        while let Some(stretch) = search.next() {
            n_tries += 1;
            search.told(refused(stretch.clone()).map(|at| Refusal {
                at: match names {
                    Names::Rightly => Some(at),
                    Names::Never => None,
                    Names::Wrongly => Some(stretch.end - 1),
                },
                detail: String::new(),
            }));
        }
        (search.found.into_iter().map(|found| found.index).collect(), n_tries)
    }

    #[test]
    fn those_that_are_bad_for_themselves_are_all_found() {
        for bad in [&[][..], &[0], &[99], &[41], &[0, 1, 2], &[3, 50, 51, 99]] {
            for names in [Names::Rightly, Names::Never, Names::Wrongly] {
                // Whom a server names wrongly may be bad too: then those before it come next time.
                let mut all: Vec<usize> = Vec::new();
                let mut n_all_tries = 0;
                loop {
                    let (found, n_tries) = search(100, names, |range| {
                        bad.iter().copied().find(|b| range.contains(b) && !all.contains(b))
                    });
                    n_all_tries += n_tries;
                    if found.is_empty() {
                        break;
                    }
                    assert!(all.is_empty() || matches!(names, Names::Wrongly), "{names:?}");
                    all.extend(found);
                }
                all.sort_unstable();
                assert_eq!(all, bad, "{names:?}");
                // The last of a hundred takes seven halvings; beside them its place is confirmed.
                let most = 3 + bad.len() * if matches!(names, Names::Rightly) { 2 } else { 9 };
                assert!(n_all_tries <= most, "{n_all_tries} tries for {bad:?}, {names:?}");
            }
        }
    }

    #[test]
    fn all_bad_take_one_try_each_where_the_server_names_them() {
        let (found, n_tries) = search(50, Names::Rightly, |range| Some(range.start));
        assert_eq!((found.len(), n_tries), (50, 50));
    }

    #[test]
    fn of_two_that_clash_the_later_is_blamed() {
        let clash = |range: Range<usize>| (range.contains(&3) && range.contains(&70)).then_some(70);
        for names in [Names::Rightly, Names::Never] {
            assert_eq!(search(100, names, clash).0, [70], "{names:?}");
        }
    }

    #[test]
    fn rows_are_told_from_publishes_without_any() {
        let publishes = Publishes::new(&[2, 0, 3, 0]);
        assert_eq!(publishes.rows(&(0..2)), 0..2);
        assert_eq!(publishes.rows(&(1..3)), 2..5);
        let of_rows: Vec<_> = (0..6).map(|row| publishes.of_row(row)).collect();
        assert_eq!(of_rows, [Some(0), Some(0), Some(2), Some(2), Some(2), None]);
    }

    #[test]
    fn nothing_to_search_is_nothing_found() {
        assert_eq!(search(0, Names::Never, |_| None), (vec![], 0));
    }
}
