//! Reads what a rule may say beside its conditions: missing data, flapping, hours.

use std::time::Duration;

use super::body::read_duration;
use super::field::{Field, Reader, number_in};
use super::rule::NoData;
use super::schedule::Schedule;
use crate::engine::flap::Bounds;
use crate::engine::machine::Timing;
use crate::lang::duration;
use crate::suggest;

/// Kapacitor's usual bounds.
const FLAPPING: Bounds = Bounds { low: 0.25, high: 0.5 };

/// What a rule says about missing data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    word: Word,
    after: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Keep,
    Alert,
    Resolve,
}

impl Policy {
    /// Where it does not say after how long, it is after `max_gap`.
    pub(super) fn resolve(self, timing: &Timing) -> NoData {
        let after = self.after.unwrap_or(timing.max_gap);
        match self.word {
            Word::Keep => NoData::Keep,
            Word::Alert => NoData::Alert(after),
            Word::Resolve => NoData::Resolve(after),
        }
    }
}

pub(super) fn read_no_data(
    reader: &mut Reader<'_>,
    policy: Option<Field<'_, '_>>,
    after: Option<Field<'_, '_>>,
) -> Option<Policy> {
    const WORDS: [(&str, Word); 3] =
        [("keep", Word::Keep), ("alert", Word::Alert), ("resolve", Word::Resolve)];
    let duration = read_duration(reader, "no_data_after", after)?;
    let Some(field) = policy else {
        if let Some(after) = after {
            let help = "say `no_data = \"alert\"` or `no_data = \"resolve\"`".to_owned();
            let message = "`no_data_after` does nothing without `no_data`";
            reader.error(after.span(), Some("no_data_after"), message, Some(help));
        }
        return Some(Policy { word: Word::Keep, after: None });
    };
    let word = read_word(reader, "no_data", field, WORDS)?;
    if let Some(short) = duration.filter(|after| *after < Duration::from_secs(1)) {
        let message = format!("{} is too short to tell silence", duration::format(short));
        let place = after.map_or(0..0, |field| field.span());
        reader.error(place, Some("no_data_after"), message, None);
        return None;
    }
    Some(Policy { word, after: duration })
}

/// The most readings in a row that a rule may ask for.
const REPEAT_MAX: i64 = 10_000;

/// In how many readings in a row a condition must hold.
pub(super) fn read_repeat(reader: &mut Reader<'_>, field: Field<'_, '_>) -> Option<u32> {
    let number = field.get_ref().as_integer().and_then(|number| number.as_str().parse().ok());
    let repeat = number.filter(|number| (1..=REPEAT_MAX).contains(number));
    if repeat.is_none() {
        let message = format!("`repeat` must be a whole number from 1 to {REPEAT_MAX}");
        let help = "it says in how many readings in a row the condition must hold".to_owned();
        reader.error(field.span(), Some("repeat"), message, Some(help));
    }
    repeat.and_then(|number: i64| u32::try_from(number).ok())
}

/// What becomes of an alert when what is read cannot be judged: a text where a number is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnError {
    /// It says so, also where all was well.
    Alert,
    /// It stays as it is.
    Keep,
}

pub(super) fn read_on_error(
    reader: &mut Reader<'_>,
    field: Option<Field<'_, '_>>,
) -> Option<OnError> {
    const WORDS: [(&str, OnError); 2] = [("alert", OnError::Alert), ("keep", OnError::Keep)];
    let Some(field) = field else { return Some(OnError::Alert) };
    read_word(reader, "on_error", field, WORDS)
}

/// Which of these words a policy is.
fn read_word<T, const N: usize>(
    reader: &mut Reader<'_>,
    key: &'static str,
    field: Field<'_, '_>,
    words: [(&'static str, T); N],
) -> Option<T> {
    let text = reader.text_in(key, field)?;
    let known = words.each_ref().map(|(word, _)| *word);
    let found = words.into_iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let help = match suggest::nearest(text, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it may be {}", suggest::list(&known)),
        };
        reader.error(field.span(), Some(key), format!("unknown policy `{text}`"), Some(help));
    }
    found.map(|(_, policy)| policy)
}

/// `true`, or `{ low = 0.25, high = 0.5 }`.
pub(super) fn read_flapping(reader: &mut Reader<'_>, field: Field<'_, '_>) -> Option<Bounds> {
    if let Some(wanted) = field.get_ref().as_bool() {
        return wanted.then_some(FLAPPING);
    }
    let help = "write `flapping = true` or `flapping = { low = 0.25, high = 0.5 }`".to_owned();
    let Some(table) = field.get_ref().as_table() else {
        reader.wrong_type("flapping", field, "a boolean or a table", Some(help));
        return None;
    };
    let [low, high] = reader.fields(table, ["low", "high"]);
    let mut share = |field: Option<Field<'_, '_>>, default: f64| match field {
        None => Some(default),
        Some(field) => {
            let number = number_in(field).filter(|number| (0.0..=1.0).contains(number));
            if number.is_none() {
                let message = "a share must be a number from 0 to 1";
                reader.error(field.span(), Some("flapping"), message, None);
            }
            number
        }
    };
    let (low, high) = (share(low, FLAPPING.low)?, share(high, FLAPPING.high)?);
    if low > high {
        reader.error(field.span(), Some("flapping"), "`low` is above `high`", Some(help));
        return None;
    }
    Some(Bounds { low, high })
}

/// Whether alerts stay in sight when they are over.
pub(super) fn read_latch(reader: &mut Reader<'_>, field: Option<Field<'_, '_>>) -> Option<bool> {
    let field = field?;
    let latch = field.get_ref().as_bool();
    if latch.is_none() {
        reader.wrong_type("latch", field, "a boolean", None);
    }
    latch
}

pub(super) fn read_schedule(
    reader: &mut Reader<'_>,
    active: Option<Field<'_, '_>>,
    zone: Option<Field<'_, '_>>,
) -> Option<Option<Schedule>> {
    let Some(field) = active else {
        if let Some(zone) = zone {
            let message = "`time_zone` does nothing without `active`";
            reader.error(zone.span(), Some("time_zone"), message, None);
        }
        return Some(None);
    };
    let zone_text = match zone {
        None => "UTC",
        Some(zone) => reader.text_in("time_zone", zone)?,
    };
    let text = reader.text_in("active", field)?;
    let zone = match Schedule::zone(zone_text) {
        Ok(known) => known,
        Err(help) => {
            let place = zone.map_or(0..0, |field| field.span());
            let message = format!("unknown time zone `{zone_text}`");
            reader.error(place, Some("time_zone"), message, Some(help));
            return None;
        }
    };
    match Schedule::parse(text, zone) {
        Ok(schedule) => Some(Some(schedule)),
        Err(problem) => {
            reader.problem("active", field, problem);
            None
        }
    }
}
