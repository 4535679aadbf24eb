//! What queries answer, against a model that reads everything: any mix of late, repeated, future
//! and odd readings, carried over or not, in rows or in the columnstore, gives the same.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_model::{DeviceKey, KeepBatch, MetricKey, Reading, Timestamp, Value};
use bellwire_store::testing::{Kind, TestDatabase};
use bellwire_store::{Bucket, Mode, Queries, ReadingPlace, TimeRange, on_every_kind};

use crate::support::{DAY, LOG, NOON, batch, device, metric, names, sql};

pub(crate) const N_DEVICES: u32 = 4;
pub(crate) const N_METRICS: u32 = 3;
const N_ROUNDS: u64 = 12;
const N_QUESTIONS: usize = 24;

on_every_kind! { any_history_gives_the_answers_of_a_naive_model }

/// A small random generator (xorshift64*), so that a seed says everything.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high =
            u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).expect("32 bits");
        high % below
    }

    pub(crate) fn reading(&mut self) -> Reading {
        let seconds = i64::from(self.roll(600));
        let at = match self.roll(20) {
            0 => NOON - i64::from(self.roll(40)) * DAY + seconds,
            1 => NOON + 2 * DAY + seconds,
            2 => NOON - i64::from(self.roll(100)) * 60,
            3 => NOON,
            4 => -i64::from(self.roll(1_000_000)),
            _ => NOON + seconds,
        };
        let micros = at * 1_000_000 + i64::from(self.roll(3)) * 333_333;
        let value = match self.roll(12) {
            0 => Value::Text(["open", "closed", ""][self.roll(3) as usize].into()),
            // Eighths add up exactly in any order.
            _ => Value::Number(f64::from(self.roll(1_600)) / 8.0 - 100.0),
        };
        Reading {
            device: DeviceKey(self.roll(N_DEVICES)),
            metric: MetricKey(self.roll(N_METRICS)),
            at: Timestamp::from_micros(micros),
            value,
        }
    }

    fn range(&mut self) -> TimeRange {
        let edge = |dice: &mut Self| {
            let secs = match dice.roll(6) {
                0 => NOON - 41 * DAY,
                1 => NOON + 3 * DAY,
                2 => NOON + i64::from(dice.roll(600)),
                3 => NOON + i64::from(dice.roll(10)) * 60,
                4 => NOON - i64::from(dice.roll(50)) * 3_600,
                _ => NOON - i64::from(dice.roll(40)) * DAY + i64::from(dice.roll(86_400)),
            };
            Timestamp::from_micros(secs * 1_000_000 + i64::from(dice.roll(2)) * 500_000)
        };
        let (a, b) = (edge(self), edge(self));
        TimeRange { from: a.min(b), to: a.max(b) }
    }
}

/// Everything that was stored.
#[derive(Default)]
pub(crate) struct Naive(pub(crate) Vec<Reading>);

impl Naive {
    fn wanted(
        &self,
        device: Option<u32>,
        metric: Option<u32>,
        range: TimeRange,
    ) -> impl Iterator<Item = &Reading> {
        self.0.iter().filter(move |reading| {
            device.is_none_or(|device| reading.device.0 == device)
                && metric.is_none_or(|metric| reading.metric.0 == metric)
                && range.from <= reading.at
                && reading.at < range.to
        })
    }

    fn readings(&self, device: u32, metric: Option<u32>, range: TimeRange) -> Vec<String> {
        let mut rows: Vec<_> = self
            .wanted(Some(device), metric, range)
            .map(|reading| {
                let (number, text) = match &reading.value {
                    // Sorts as the number does.
                    Value::Number(number) => ((number + 1_000.0).to_bits(), String::new()),
                    Value::Text(text) => (u64::MAX, text.to_string()),
                };
                (reading.at, reading.metric.0, number, text, format!("{:?}", reading.value))
            })
            .collect();
        rows.sort();
        rows.into_iter().map(|row| format!("{:?} metric-{} {}", row.0, row.1, row.4)).collect()
    }

    fn buckets(
        &self,
        device: Option<u32>,
        metric: Option<u32>,
        range: TimeRange,
        width: Duration,
    ) -> Vec<Bucket> {
        let width = i64::try_from(width.as_micros()).expect("small");
        let align = |at: i64| at - at.rem_euclid(width);
        let (from, to) = (range.from.as_micros(), range.to.as_micros());
        // Whole buckets: up to where the last one that has an instant of the range ends.
        let end = if from < to { align(to - 1) + width } else { align(from) };
        let [from, to] = [align(from), end].map(Timestamp::from_micros);
        let range = TimeRange { from, to };
        let mut gathered: BTreeMap<(Timestamp, u32), Vec<(Timestamp, f64)>> = BTreeMap::new();
        for reading in self.wanted(device, metric, range) {
            let Some(number) = reading.value.number() else { continue };
            let at = Timestamp::from_micros(align(reading.at.as_micros()));
            gathered.entry((at, reading.metric.0)).or_default().push((reading.at, number));
        }
        gathered
            .into_iter()
            .map(|((at, key), mut numbers)| {
                numbers.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
                let values = || numbers.iter().map(|(_, number)| *number);
                let count = u32::try_from(numbers.len()).expect("small");
                Bucket {
                    at,
                    metric: metric_named(key),
                    avg: values().sum::<f64>() / f64::from(count),
                    min: values().fold(f64::INFINITY, f64::min),
                    max: values().fold(f64::NEG_INFINITY, f64::max),
                    count: u64::from(count),
                    first: numbers[0].1,
                    last: numbers[numbers.len() - 1].1,
                }
            })
            .collect()
    }
}

fn metric_named(key: u32) -> bellwire_model::MetricName {
    metric(usize::try_from(key).expect("small"))
}

/// All pages together.
async fn paged(
    queries: &Queries,
    key: u32,
    metric_key: Option<u32>,
    range: TimeRange,
    page_size: usize,
) -> Vec<String> {
    let name = metric_key.map(metric_named);
    let device = device(usize::try_from(key).expect("small"));
    let (mut rows, mut place) = (Vec::new(), None);
    loop {
        let page = queries.readings(&device, name.as_ref(), range, place, page_size).await;
        let page = page.expect("answers");
        let Some(next) = ReadingPlace::after(&page, place) else { return rows };
        place = Some(next);
        rows.extend(page.iter().map(|row| format!("{:?} {} {:?}", row.at, row.metric, row.value)));
    }
}

/// Devices in groups, at random; some in none.
async fn groups_are_right(
    queries: &Queries,
    naive: &Naive,
    dice: &mut Dice,
    (range, width): (TimeRange, Duration),
    what: &str,
) {
    let key = dice.roll(N_METRICS);
    let mut members: [Vec<u32>; 3] = Default::default();
    for device in 0..N_DEVICES {
        members[dice.roll(3) as usize].push(device);
    }
    let groups = &members[..2];
    let ids = |keys: &Vec<u32>| keys.iter().map(|key| device(*key as usize)).collect::<Vec<_>>();
    let asked: Vec<_> = groups.iter().map(ids).collect();
    let found = queries.buckets_by(&asked, &metric_named(key), range, width, 10_000).await;
    let of_group = |(group, keys): (usize, &Vec<u32>)| {
        let readings = naive.0.iter().filter(|reading| keys.contains(&reading.device.0));
        let buckets = Naive(readings.cloned().collect()).buckets(None, Some(key), range, width);
        buckets.into_iter().map(move |bucket| (group, bucket))
    };
    let mut expected: Vec<_> = groups.iter().enumerate().flat_map(of_group).collect();
    expected.sort_by_key(|(group, bucket)| (bucket.at, *group));
    assert_eq!(found.expect("answers"), expected, "{what}: groups {members:?} in {range:?}");
}

/// Asks a number of questions.
pub(crate) async fn questions(queries: &Queries, naive: &Naive, dice: &mut Dice, what: &str) {
    for _ in 0..N_QUESTIONS {
        let range = dice.range();
        let key = dice.roll(N_DEVICES);
        let metric_key = (dice.roll(2) == 0).then(|| dice.roll(N_METRICS));
        let page_size = [1_000, 1_000, 7, 1][dice.roll(4) as usize];
        if page_size > 1 || naive.readings(key, metric_key, range).len() < 40 {
            let found = paged(queries, key, metric_key, range, page_size).await;
            let expected = naive.readings(key, metric_key, range);
            assert_eq!(found, expected, "{what}: readings of {key} in {range:?}");
        }
        let of = (dice.roll(3) > 0).then_some(key);
        let secs = [1, 60, 90, 300, 3_600, 7_200, 86_400, 604_800][dice.roll(8) as usize];
        let width = Duration::from_secs(secs);
        let name = metric_key.map(metric_named);
        let id = of.map(|key| device(usize::try_from(key).expect("small")));
        let found = queries.buckets(id.as_ref(), name.as_ref(), range, width, 10_000).await;
        let expected = naive.buckets(of, metric_key, range, width);
        assert_eq!(found.expect("answers"), expected, "{what}: {secs} s of {of:?} in {range:?}");
        groups_are_right(queries, naive, dice, (range, width), what).await;
    }
}

/// All chunks that there are; what comes late is then written into the columnstore.
pub(crate) const INTO_COLUMNSTORE: &str = "SET client_min_messages = warning; \
    SELECT compress_chunk(chunk) \
    FROM unnest('{reading, reading_1m, reading_1h}'::text[]) t, \
         show_chunks(('bellwire.' || t)::regclass) chunk";

/// One history: batches of all sizes, carried over or not, questions all along.
async fn history(kind: Kind, seed: u64) {
    let mut dice = Dice(seed);
    let database = kind.database().await;
    let client = sql(&database.url).await;
    let mut config = database.config.clone();
    // Sometimes memory has all that is fresh, sometimes the tables must be asked.
    config.recent_readings_max = [1_000_000, 150, 1][dice.roll(3) as usize];
    let store = TestDatabase { config, ..database }.open();
    let names = names(N_DEVICES as usize, N_METRICS as usize);
    let queries = store.queries().expect("valid");
    let mut compactor = store.compactor();
    let mut naive = Naive::default();
    let (mut writer, _) = store.writer(LOG).await.expect("opened");
    for round in 0..N_ROUNDS {
        let n_readings = [1, 5, 60, 200][dice.roll(4) as usize];
        let mut readings: Vec<Reading> = (0..n_readings).map(|_| dice.reading()).collect();
        if dice.roll(3) == 0 {
            readings.extend_from_within(..readings.len() / 2);
        }
        naive.0.extend(readings.iter().cloned());
        let stored: KeepBatch = batch(round * 10, round * 10 + 10, readings);
        writer.write(&stored, &names).await.expect("stored");
        if dice.roll(6) == 0 {
            let opened = store.writer(LOG).await.expect("opened again");
            writer = opened.0;
        }
        if dice.roll(2) == 0 {
            compactor.run().await.expect("carried over");
        }
        if dice.roll(4) == 0 && kind.mode() == Mode::Timescale {
            client.batch_execute(INTO_COLUMNSTORE).await.expect("compressed");
        }
        if dice.roll(3) == 0 {
            let what = format!("seed {seed}, round {round}");
            questions(&queries, &naive, &mut dice, &what).await;
        }
    }
    questions(&queries, &naive, &mut dice, &format!("seed {seed}, at the end")).await;
}

async fn any_history_gives_the_answers_of_a_naive_model(kind: Kind) {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let first = number("BELLWIRE_STORE_FIRST", 1);
    // In WebAssembly one takes seven seconds.
    let n_seeds = if kind == Kind::TimescaleWasm { 2 } else { 6 };
    for seed in first..first + number("BELLWIRE_STORE_SEEDS", n_seeds) {
        history(kind, seed).await;
    }
}
