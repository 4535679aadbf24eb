//! What is said of devices, as their rows have it.

use std::sync::Arc;

use bellwire_model::{DeviceKey, Labels, Profile};
use serde_json::{Map, Value};

use crate::dictionary::Dictionary;
use crate::rows::{Parameters, column};

/// The most rows in one statement: each has at most 40 kB of labels.
const STATEMENT_ROWS_MAX: usize = 500;

pub(crate) const UPDATE: &str = "UPDATE bellwire.device d \
    SET labels = p.labels, registered = p.registered, born = p.born \
    FROM (SELECT id, labels::jsonb, registered::jsonb, born::jsonb \
          FROM unnest($1::int4[], $2::text[], $3::text[], $4::text[]) \
              AS t (id, labels, registered, born)) p \
    WHERE d.id = p.id AND (d.labels, d.registered, d.born) \
        IS DISTINCT FROM (p.labels, p.registered, p.born)";

/// Parameters of [`UPDATE`] for all of `rows`.
pub(crate) fn rows(dictionary: &Dictionary, rows: &[(DeviceKey, Arc<Profile>)]) -> Vec<Parameters> {
    let statement = |part: &[(DeviceKey, Arc<Profile>)]| {
        let registered = |profile: &Profile| profile.registered.as_ref().map(|it| text(&it.labels));
        vec![
            column(part, |(device, _)| dictionary.device(*device)),
            column(part, |(_, profile)| text(&profile.around(&Labels::default()))),
            column(part, |(_, profile)| registered(profile)),
            column(part, |(_, profile)| text(&profile.born)),
        ]
    };
    rows.chunks(STATEMENT_ROWS_MAX).map(statement).collect()
}

/// Labels as JSON.
pub(crate) fn text(labels: &Labels) -> String {
    let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.into()));
    Value::Object(labels.collect()).to_string()
}

/// What [`text`] wrote.
pub(crate) fn labels(text: &str) -> Option<Labels> {
    let map: Map<String, Value> = serde_json::from_str(text).ok()?;
    let label = |(name, value): (String, Value)| Some((name.into(), value.as_str()?.into()));
    map.into_iter().map(label).collect()
}
