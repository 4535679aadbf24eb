//! Windows against the slow way: looking at all readings anew.

use proptest::prelude::*;

use super::*;

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn span(width: u64, offset: u64) -> Span {
    Span {
        width: Duration::from_secs(width),
        offset: Duration::from_secs(offset),
        sorts: true,
        looks_back: true,
    }
}

/// Readings by second.
type Readings = Vec<(i64, f64)>;

/// What is asked, worked out from all readings that are in the window.
fn slowly(inside: &[(i64, f64)], before: &[(i64, f64)], stat: Stat) -> f64 {
    let numbers: Vec<f64> = inside.iter().map(|(_, number)| *number).collect();
    let n = numbers.len() as f64;
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    let deviation = |numbers: &[f64]| {
        let mean = mean(numbers);
        let squares = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>();
        (squares / numbers.len() as f64).sqrt()
    };
    match stat {
        Stat::Count => return n,
        Stat::Changes => {
            return numbers.windows(2).filter(|pair| pair[0] != pair[1]).count() as f64;
        }
        _ if numbers.is_empty() => return f64::NAN,
        _ => {}
    }
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    match stat {
        Stat::Avg => mean(&numbers),
        Stat::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
        Stat::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Stat::Sum => numbers.iter().sum(),
        Stat::Stddev => deviation(&numbers),
        Stat::First => first,
        Stat::Last => last,
        Stat::Delta => last - first,
        Stat::Rate => {
            let secs = (inside[inside.len() - 1].0 - inside[0].0) as f64;
            let growth: f64 = numbers
                .windows(2)
                .map(|pair| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] })
                .sum();
            if secs > 0.0 { growth / secs } else { f64::NAN }
        }
        Stat::Zscore => {
            let earlier: Vec<f64> = before.iter().map(|(_, number)| *number).collect();
            // The mean of equal numbers may be rounded, and then they deviate from it.
            let are_same = earlier.iter().all(|number| *number == earlier[0]);
            if earlier.len() < 2 || are_same {
                return f64::NAN;
            }
            (last - mean(&earlier)) / deviation(&earlier)
        }
        Stat::Quantile(share) => {
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            let place = f64::from(share) / 100_000.0 * (n - 1.0);
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        }
        Stat::Count | Stat::Changes => unreachable!("answered above"),
    }
}

const STATS: [Stat; 13] = [
    Stat::Avg,
    Stat::Min,
    Stat::Max,
    Stat::Sum,
    Stat::Count,
    Stat::Stddev,
    Stat::First,
    Stat::Last,
    Stat::Delta,
    Stat::Rate,
    Stat::Changes,
    Stat::Zscore,
    Stat::Quantile(90_000),
];

fn is_near(left: f64, right: f64) -> bool {
    left.to_bits() == right.to_bits()
        || (left.is_nan() && right.is_nan())
        || (left - right).abs() <= 1e-6 * left.abs().max(1.0)
}

/// Gaps in seconds and values.
fn history(gaps: std::ops::Range<i64>) -> impl Strategy<Value = Readings> {
    let reading = (gaps, (-40_i32..40).prop_map(|tenths| f64::from(tenths) / 10.0));
    prop::collection::vec(reading, 1..200).prop_map(|readings| {
        let mut at = 0;
        readings
            .into_iter()
            .map(|(gap, number)| {
                at += gap;
                (at, number)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn few_readings_are_in_a_window_to_the_second(
        readings in history(1..9),
        width in 2_u64..60,
        offset in prop::sample::select(&[0_u64, 7, 50][..]),
    ) {
        let span = span(width, offset);
        let mut series = Series::new(&span);
        for (n, (at, number)) in readings.iter().enumerate() {
            series.advance(&span, secs(*at));
            series.push(&span, secs(*at), &Value::Number(*number));
            series.advance(&span, secs(*at));
            let end = at - i64::try_from(offset).expect("small");
            let start = end - i64::try_from(width).expect("small");
            let inside: Readings = readings[..=n]
                .iter()
                .copied()
                .filter(|(at, _)| (start + 1..=end).contains(at))
                .collect();
            for stat in STATS {
                // What was before the newest of an earlier time is another question.
                if stat == Stat::Zscore && offset > 0 {
                    continue;
                }
                let before = &inside[..inside.len().saturating_sub(1)];
                let (found, expected) = (series.stat(stat), slowly(&inside, before, stat));
                prop_assert!(is_near(found, expected), "{stat:?} at {at}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn many_readings_leave_a_window_in_steps(readings in history(0..2), width in 60_u64..120) {
        let span = span(width, 0);
        let mut series = Series::new(&span);
        for (n, (at, number)) in readings.iter().enumerate() {
            series.advance(&span, secs(*at));
            series.push(&span, secs(*at), &Value::Number(*number));
            let width = i64::try_from(width).expect("small");
            let n_younger = |width: i64| {
                readings[..=n].iter().filter(|(other, _)| *other > at - width).count() as f64
            };
            let count = series.stat(Stat::Count);
            prop_assert!(count >= n_younger(width) && count <= n_younger(width + width / PARTS + 1));
            prop_assert!(series.parts.len() <= 2 * EXACT, "{} parts", series.parts.len());
        }
    }
}

#[test]
fn a_window_has_bounded_memory_however_much_comes() {
    let span = span(3_600, 3_600);
    let mut series = Series::new(&span);
    for n in 0..400_000 {
        let at = Timestamp::from_millis(n * 50);
        series.advance(&span, at);
        series.push(&span, at, &Value::Number((n % 97) as f64));
    }
    let n_parts = series.parts.len() + series.waiting.len() + series.older.len();
    assert!(n_parts < 6 * EXACT, "{n_parts} parts");
    assert!((series.stat(Stat::Avg) - 48.0).abs() < 0.5, "{}", series.stat(Stat::Avg));
    let median = series.stat(Stat::Quantile(50_000));
    assert!((median - 48.0).abs() < 5.0, "{median}");
    assert!(series.sorted.is_some_and(|sorted| sorted.by_size.len() <= SORTED_MAX));
}

#[test]
fn texts_are_counted_and_told_apart() {
    let span = span(60, 0);
    let mut series = Series::new(&span);
    for (second, text) in (1..).zip(["on", "on", "off", "on"]) {
        series.push(&span, secs(second), &Value::Text(text.into()));
    }
    assert_eq!(series.stat(Stat::Count), 4.0);
    assert_eq!(series.stat(Stat::Changes), 2.0);
    assert!(series.stat(Stat::Avg).is_nan());
    assert_eq!(series.leaves_at(&span), Some(secs(61)));
}

#[test]
fn equal_numbers_have_no_deviation_to_count_in() {
    let span = span(60, 0);
    // The mean of three of them is not quite -3.2.
    for equal in [-3.2, 0.1, 1e15 + 0.3] {
        let mut series = Series::new(&span);
        for (second, number) in (1..).zip([equal, equal, equal, 0.0]) {
            series.push(&span, secs(second), &Value::Number(number));
        }
        assert!(series.stat(Stat::Zscore).is_nan(), "{equal}");
    }
}
