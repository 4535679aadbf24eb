//! Fresh readings in memory: what the writer has stored and the compactor has not carried over.
//!
//! In the database these lie in tables without an index (see migration `0003_fresh`), so a query
//! for one device would read them all. Here each generation is a list in the order of the commits,
//! and the readings of a device are chained. Which part of the list a query may see, its own
//! snapshot says: so many rows of that generation. A generation that is not known from its first
//! row on (a restart, another writer on the same database, more rows than [`Limits`] allow) is not
//! used at all: then the query reads the table.
//!
//! **Invariant:** the first *n* rows of a generation here are those of any snapshot of the database
//! that has *n* rows of it, all of them ours.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use bellwire_model::{Reading, Timestamp, Value};
use hashbrown::HashMap;

use crate::types::{storable, stored_at};

/// No earlier row of the same device.
const NONE: u32 = u32::MAX;

/// A text's place instead of a number: a NaN that no arithmetic makes, with the index below.
const TEXT_TAG: u64 = 0x7ff8_be11_0000_0000;

/// One fresh reading, by the database's ids.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fresh {
    pub(crate) device_id: i32,
    pub(crate) metric_id: i32,
    pub(crate) at: Timestamp,
    pub(crate) value: Value,
}

/// A row as it is kept: 28 bytes.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: Timestamp,
    /// A number's bits, or [`TEXT_TAG`] and an index of `texts`.
    bits: u64,
    metric_id: i32,
    device_id: i32,
    /// The row before this one of the same device.
    previous: u32,
}

/// The rows of one generation, in the order of their commits.
#[derive(Debug, Default)]
struct Generation {
    rows: Vec<Row>,
    texts: Vec<Arc<str>>,
    /// The latest row of each device.
    latest: HashMap<i32, u32>,
    /// Whose rows they are: the database's id of the log.
    log_id: i32,
    /// Whether the rows are all there from the first on.
    is_whole: bool,
}

/// The generations that may still be asked for.
#[derive(Debug, Default)]
struct Generations {
    by_number: BTreeMap<i64, Generation>,
}

/// Fresh readings in memory. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    generations: Arc<RwLock<Generations>>,
    rows_max: usize,
}

impl Recent {
    /// At most `rows_max` readings of a generation: 28 bytes each, and the texts.
    pub(crate) fn new(rows_max: usize) -> Self {
        let rows_max = rows_max.min(NONE as usize);
        Self { generations: Arc::default(), rows_max }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Generations> {
        self.generations.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer of log `log_id` adds to generation `number` from now on, of which it has stored
    /// `n_stored` rows before. Older generations than the one before are forgotten.
    pub(crate) fn begin(&self, log_id: i32, number: i64, n_stored: u64) {
        let mut generations = self.write();
        generations.by_number.retain(|&known, _| known + 1 >= number);
        let is_whole = n_stored == 0;
        generations
            .by_number
            .insert(number, Generation { log_id, is_whole, ..Generation::default() });
    }

    /// Adds `readings`, which have just been committed to generation `number`; one without `ids`
    /// makes it unusable.
    pub(crate) fn add(
        &self,
        number: i64,
        readings: &[Reading],
        ids: impl Fn(&Reading) -> Option<(i32, i32)>,
    ) {
        let mut generations = self.write();
        let Some(generation) = generations.by_number.get_mut(&number) else { return };
        if !generation.is_whole {
            return;
        }
        if generation.rows.len() + readings.len() > self.rows_max {
            *generation = Generation::default();
            return;
        }
        for reading in readings {
            let Some((device_id, metric_id)) = ids(reading) else {
                *generation = Generation::default();
                return;
            };
            generation.push(device_id, metric_id, reading);
        }
    }

    /// Calls `visitor` for each row of `extent` that is wanted, in the order of their commits; `None`,
    /// and no call, if they are not all here.
    pub(crate) fn visit(
        &self,
        extent: &Extent,
        wanted: &Wanted,
        mut visitor: impl FnMut(Fresh),
    ) -> Option<()> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        let generation = generations.by_number.get(&extent.number)?;
        let n_rows = usize::try_from(extent.n_rows).ok()?;
        let is_ours = extent.logs.iter().all(|log| *log == generation.log_id);
        if !generation.is_whole || !is_ours || generation.rows.len() < n_rows {
            return None;
        }
        match wanted.device_id {
            Some(device_id) => {
                for index in generation.of_device(device_id, n_rows) {
                    wanted.pass(generation, index, &mut visitor);
                }
            }
            None => (0..n_rows).for_each(|index| wanted.pass(generation, index, &mut visitor)),
        }
        Some(())
    }
}

impl Generation {
    fn push(&mut self, device_id: i32, metric_id: i32, reading: &Reading) {
        // `rows_max` keeps both below `NONE`.
        let index = u32::try_from(self.rows.len()).unwrap_or(NONE);
        let bits = match &reading.value {
            Value::Number(number) => number.to_bits(),
            Value::Text(text) => {
                let place = u64::try_from(self.texts.len()).unwrap_or(u64::MAX);
                self.texts.push(match storable(text) {
                    Cow::Borrowed(_) => Arc::clone(text),
                    Cow::Owned(text) => text.into(),
                });
                TEXT_TAG | place
            }
        };
        let previous = self.latest.insert(device_id, index).unwrap_or(NONE);
        self.rows.push(Row { at: stored_at(reading.at), bits, metric_id, device_id, previous });
    }

    /// The indexes below `n_rows` of a device's rows, ascending.
    fn of_device(&self, device_id: i32, n_rows: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut next = self.latest.get(&device_id).copied();
        while let Some(row) = next.and_then(|index| self.rows.get(index as usize)) {
            let index = next.map_or(0, |index| index as usize);
            if index < n_rows {
                found.push(index);
            }
            next = Some(row.previous);
        }
        found.reverse();
        found
    }

    fn value(&self, row: &Row) -> Value {
        if row.bits & 0xffff_ffff_0000_0000 == TEXT_TAG {
            let place = usize::try_from(row.bits & 0xffff_ffff).unwrap_or(usize::MAX);
            Value::Text(self.texts.get(place).cloned().unwrap_or_default())
        } else {
            Value::Number(f64::from_bits(row.bits))
        }
    }
}

/// What a snapshot of the database has of a generation.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// Which.
    pub(crate) number: i64,
    /// How many rows it has.
    pub(crate) n_rows: u64,
    /// The logs that they are of, by the database's ids.
    pub(crate) logs: Vec<i32>,
}

/// Which fresh readings are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Of one device, or of all.
    pub(crate) device_id: Option<i32>,
    /// Of one metric, or of all.
    pub(crate) metric_id: Option<i32>,
    /// The first instant.
    pub(crate) from: Timestamp,
    /// The first instant after it.
    pub(crate) to: Timestamp,
}

impl Wanted {
    fn pass(&self, generation: &Generation, index: usize, visitor: &mut impl FnMut(Fresh)) {
        let Some(row) = generation.rows.get(index) else { return };
        let is_metric = self.metric_id.is_none_or(|metric_id| metric_id == row.metric_id);
        if is_metric && self.from <= row.at && row.at < self.to {
            visitor(Fresh {
                device_id: row.device_id,
                metric_id: row.metric_id,
                at: row.at,
                value: generation.value(row),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use bellwire_model::{DeviceKey, MetricKey};

    use super::*;

    const ALL: Wanted = Wanted {
        device_id: None,
        metric_id: None,
        from: Timestamp::from_micros(i64::MIN),
        to: Timestamp::MAX,
    };

    impl Recent {
        fn read(&self, number: i64, n_rows: u64, wanted: &Wanted) -> Option<Vec<Fresh>> {
            let mut found = Vec::new();
            let extent = Extent { number, n_rows, logs: vec![1] };
            self.visit(&extent, wanted, |fresh| found.push(fresh))?;
            Some(found)
        }
    }

    fn reading(device: u32, secs: i64) -> Reading {
        Reading {
            device: DeviceKey(device),
            metric: MetricKey(0),
            at: Timestamp::from_secs(secs),
            value: Value::Number(0.5),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the writer's")]
    const fn ids(reading: &Reading) -> Option<(i32, i32)> {
        Some((reading.device.0.cast_signed() + 1, 1))
    }

    #[test]
    fn a_snapshot_sees_as_many_rows_as_it_has() {
        let recent = Recent::new(100);
        recent.begin(1, 7, 0);
        recent.add(7, &[reading(0, 1), reading(1, 2), reading(0, 3)], ids);
        assert_eq!(recent.read(7, 4, &ALL), None);
        let of_device = Wanted { device_id: Some(1), ..ALL };
        let seconds = |n| {
            let rows = recent.read(7, n, &of_device).expect("whole");
            rows.iter().map(|row| row.at.as_micros() / 1_000_000).collect::<Vec<_>>()
        };
        assert_eq!(seconds(3), [1, 3]);
        assert_eq!(seconds(2), [1]);
        assert_eq!(seconds(0), [0; 0]);
        let later = Wanted { from: Timestamp::from_secs(2), to: Timestamp::from_secs(3), ..ALL };
        assert_eq!(recent.read(7, 3, &later).expect("whole").len(), 1);
    }

    #[test]
    fn what_is_not_whole_is_not_used() {
        let recent = Recent::new(2);
        recent.begin(1, 1, 5);
        recent.add(1, &[reading(0, 1)], ids);
        assert_eq!(recent.read(1, 1, &ALL), None);
        recent.begin(1, 2, 0);
        recent.add(2, &[reading(0, 1), reading(0, 2)], ids);
        assert_eq!(recent.read(2, 2, &ALL).expect("whole").len(), 2);
        recent.add(2, &[reading(0, 3)], ids);
        assert_eq!(recent.read(2, 2, &ALL), None, "more than it may hold");
        assert_eq!(recent.read(3, 0, &ALL), None, "never begun");
    }

    #[test]
    fn rows_of_another_log_are_not_here() {
        let recent = Recent::new(10);
        recent.begin(1, 0, 0);
        recent.add(0, &[reading(0, 1), reading(0, 2)], ids);
        for (logs, is_here) in [(vec![1], true), (vec![2], false), (vec![1, 2], false)] {
            let extent = Extent { number: 0, n_rows: 1, logs };
            assert_eq!(recent.visit(&extent, &ALL, |_| {}).is_some(), is_here, "{extent:?}");
        }
    }

    #[test]
    fn the_generation_before_stays_and_older_ones_go() {
        let recent = Recent::new(10);
        for number in 0..3 {
            recent.begin(1, number, 0);
            recent.add(number, &[reading(0, number)], ids);
        }
        assert!(recent.read(0, 1, &ALL).is_none());
        assert!(recent.read(1, 1, &ALL).is_some());
        assert!(recent.read(2, 1, &ALL).is_some());
    }

    #[test]
    fn texts_and_odd_numbers_come_back_as_they_were() {
        let recent = Recent::new(10);
        recent.begin(1, 0, 0);
        let values = [
            Value::Text("open".into()),
            Value::Number(f64::NEG_INFINITY),
            Value::Text("a\0b".into()),
            Value::Number(-0.0),
        ];
        let rows = values.clone().map(|value| Reading { value, ..reading(0, 1) });
        recent.add(0, &rows, ids);
        let found = recent.read(0, 4, &ALL).expect("whole");
        assert_eq!(found[0].value, values[0]);
        assert_eq!(found[1].value, values[1]);
        assert_eq!(found[2].value, Value::Text("a\u{fffd}b".into()));
        assert!(found[3].value.number().is_some_and(f64::is_sign_negative));
    }
}
