//! Reads a text of `[[mapping]]` tables.

use std::ops::Range;

use chrono::FixedOffset;
use toml::de::DeTable;

use super::object::{Arrays, KeyPath, ObjectOptions, TextTime};
use super::pattern::{PatternError, TopicPattern};
use super::reader::{Entry, Reader};
use super::{
    Format, InfluxOptions, MAPPINGS_MAX, Mapping, MappingError, Naming, Precision, TEXT_BYTES_MAX,
    labels, preset,
};

/// What a mapping may say, in the order in which it is taken apart.
const KEYS: [&str; 20] = [
    "topic",
    "format",
    "preset",
    "base",
    "metric",
    "missing",
    "time_key",
    "utc_offset",
    "seq_key",
    "device_key",
    "root",
    "each",
    "base_time_key",
    "omit",
    "arrays",
    "labels",
    "precision",
    "device_tag",
    "name_tags",
    "names",
];

/// The formats by name, with the group that their options belong to.
const FORMATS: [(&str, Kind); 9] = [
    ("json", Kind::Json),
    ("cbor", Kind::Cbor),
    ("influx", Kind::Influx),
    ("senml", Kind::Senml),
    ("senml_cbor", Kind::SenmlCbor),
    ("sparkplug", Kind::Sparkplug),
    ("scalar", Kind::Scalar),
    ("status", Kind::Status),
    ("ignore", Kind::Ignore),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Cbor,
    Influx,
    Senml,
    SenmlCbor,
    Sparkplug,
    Scalar,
    Status,
    Ignore,
}

impl Kind {
    fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    const fn is_object(self) -> bool {
        matches!(self, Self::Json | Self::Cbor)
    }
}

/// The fields of one mapping by key.
struct Fields<'t, 'd> {
    entries: [Option<Entry<'t, 'd>>; KEYS.len()],
    /// Where the mapping begins.
    at: Range<usize>,
    /// How many mistakes there were before it.
    n_errors: usize,
}

impl<'t, 'd> Fields<'t, 'd> {
    fn get(&self, key: &str) -> Option<&Entry<'t, 'd>> {
        let index = KEYS.iter().position(|known| *known == key)?;
        self.entries[index].as_ref()
    }
}

/// Reads all mappings, or says everything that is wrong.
pub(super) fn read(text: &str) -> Result<Vec<Mapping>, Vec<MappingError>> {
    let mut reader = Reader::new(text);
    let mut mappings = Vec::new();
    if text.len() > TEXT_BYTES_MAX {
        reader.error(0..0, format!("the text is longer than {TEXT_BYTES_MAX} bytes"), None);
        return Err(reader.errors);
    }
    match DeTable::parse(text) {
        Err(error) => reader.error(error.span().unwrap_or(0..0), error.message(), None),
        Ok(table) => {
            let [tables] = reader.fields(table.get_ref(), ["mapping"]);
            if let Some(tables) = tables {
                for (table, at) in reader.tables_in("mapping", tables.value) {
                    let n_errors = reader.errors.len();
                    let entries = reader.fields(table, KEYS);
                    read_one(&mut reader, &Fields { entries, at, n_errors }, &mut mappings);
                }
            }
        }
    }
    if mappings.len() > MAPPINGS_MAX {
        let found = format!("{} mappings are more than {MAPPINGS_MAX}", mappings.len());
        reader.error(0..0, found, None);
    }
    if reader.errors.is_empty() {
        return Ok(mappings);
    }
    reader.errors.sort_by_key(|error| (error.line, error.column));
    Err(reader.errors)
}

fn read_one(reader: &mut Reader<'_>, fields: &Fields<'_, '_>, mappings: &mut Vec<Mapping>) {
    if fields.get("preset").is_some() {
        return read_preset(reader, fields, mappings);
    }
    if let Some(base) = fields.get("base") {
        reader.error(base.key.clone(), "`base` means nothing without `preset`", None);
    }
    for key in ["topic", "format"] {
        if fields.get(key).is_none() && reader.errors.len() == fields.n_errors {
            reader.error(fields.at.clone(), format!("`{key}` is missing"), None);
        }
    }
    let topic = fields.get("topic").and_then(|topic| read_topic(reader, topic));
    let kind = fields.get("format").and_then(|it| reader.word_in("format", it.value, &FORMATS));
    let (Some(topic), Some(kind)) = (topic, kind) else { return };
    report_strangers(reader, fields, kind);
    let metric = text_of(reader, fields, "metric").map(Into::into);
    let missing = texts_of(reader, fields, "missing").into_iter().map(Into::into).collect();
    let format = read_format(reader, fields, kind);
    if reader.errors.len() > fields.n_errors {
        return;
    }
    let mapping = Mapping { topic, format, metric, missing };
    if let Some((message, help)) = gap_of(&mapping) {
        return reader.error(fields.at.clone(), message, Some(help.into()));
    }
    mappings.push(mapping);
}

/// What a mapping does not say and must.
fn gap_of(mapping: &Mapping) -> Option<(&'static str, &'static str)> {
    let no_device = "nothing says which device it is";
    let has_device = mapping.topic.has_device();
    match &mapping.format {
        Format::Json(options) | Format::Cbor(options)
            if !has_device && options.device.is_none() =>
        {
            Some((no_device, "put `{device}` into `topic`, or name its key as `device_key`"))
        }
        Format::Influx(options) if !has_device && options.device_tag.is_none() => {
            Some((no_device, "put `{device}` into `topic`, or name its tag as `device_tag`"))
        }
        Format::Sparkplug(_)
            if !mapping.topic.is_open() || has_device || mapping.topic.has_metric() =>
        {
            Some((
                "nothing says which message it is",
                "end `topic` with `/#`, which stands for group, kind of message, edge node and device",
            ))
        }
        Format::Scalar | Format::Status if !has_device => {
            Some((no_device, "put `{device}` into `topic`"))
        }
        Format::Scalar if mapping.metric.is_none() && !mapping.topic.has_metric() => Some((
            "nothing says which metric it is",
            "put `{metric}` into `topic`, or name it as `metric`",
        )),
        _ => None,
    }
}

/// Options that the format does not have.
fn report_strangers(reader: &mut Reader<'_>, fields: &Fields<'_, '_>, kind: Kind) {
    for (key, entry) in KEYS.iter().zip(&fields.entries) {
        let Some(entry) = entry else { continue };
        let (belongs, to) = match *key {
            "time_key" | "utc_offset" | "seq_key" | "device_key" | "root" | "each"
            | "base_time_key" | "omit" | "arrays" => (kind.is_object(), "`json` and `cbor`"),
            "labels" => {
                (kind.is_object() || kind == Kind::Sparkplug, "`json`, `cbor` and `sparkplug`")
            }
            "precision" | "device_tag" | "name_tags" | "names" => {
                (kind == Kind::Influx, "`influx`")
            }
            "metric" | "missing" => (kind == Kind::Scalar, "`scalar`"),
            _ => continue,
        };
        if !belongs {
            let found = format!("`{key}` means nothing with format `{}`", kind.name());
            reader.error(entry.key.clone(), found, Some(format!("it belongs to {to}")));
        }
    }
}

fn read_topic(reader: &mut Reader<'_>, topic: &Entry<'_, '_>) -> Option<TopicPattern> {
    let text = reader.text_in("topic", topic.value)?;
    match TopicPattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let help = matches!(error, PatternError::Level(_)).then(|| {
                "`{device}`, `{metric}` and `+` stand alone between slashes, `#` at the end".into()
            });
            reader.error(topic.value.span(), error.to_string(), help);
            None
        }
    }
}

fn read_format(reader: &mut Reader<'_>, fields: &Fields<'_, '_>, kind: Kind) -> Format {
    match kind {
        Kind::Json => Format::Json(read_object(reader, fields)),
        Kind::Cbor => Format::Cbor(read_object(reader, fields)),
        Kind::Influx => Format::Influx(read_influx(reader, fields)),
        Kind::Senml => Format::Senml,
        Kind::SenmlCbor => Format::SenmlCbor,
        Kind::Sparkplug => Format::Sparkplug(labels::read(reader, fields.get("labels")).into()),
        Kind::Scalar => Format::Scalar,
        Kind::Status => Format::Status,
        Kind::Ignore => Format::Ignore,
    }
}

fn text_of<'t>(reader: &mut Reader<'_>, fields: &Fields<'t, '_>, key: &str) -> Option<&'t str> {
    fields.get(key).and_then(|entry| reader.text_in(key, entry.value))
}

fn texts_of<'t>(reader: &mut Reader<'_>, fields: &Fields<'t, '_>, key: &str) -> Vec<&'t str> {
    fields.get(key).map(|entry| reader.texts_in(key, entry.value)).unwrap_or_default()
}

fn read_object(reader: &mut Reader<'_>, fields: &Fields<'_, '_>) -> ObjectOptions {
    let mut path = |key| text_of(reader, fields, key).map(KeyPath::new);
    let (time, seq) = (path("time_key"), path("seq_key"));
    let (device, root) = (path("device_key"), path("root"));
    let (each, base_time) = (path("each"), path("base_time_key"));
    for (key, excludes) in [("root", each.is_some()), ("base_time_key", each.is_none())] {
        if let Some(entry) = fields.get(key).filter(|_| excludes) {
            let (found, help) = match each {
                Some(_) => ("`root` means nothing beside `each`", "`each` names readings itself"),
                None => ("`base_time_key` means nothing without `each`", "`each` names the array"),
            };
            reader.error(entry.key.clone(), found, Some(help.into()));
        }
    }
    let omit = texts_of(reader, fields, "omit").into_iter().map(KeyPath::new).collect();
    let arrays = fields.get("arrays").and_then(|entry| {
        let known = [("refuse", Arrays::Refuse), ("index", Arrays::Index)];
        reader.word_in("arrays", entry.value, &known)
    });
    let text_time = read_offset(reader, fields).unwrap_or_default();
    let arrays = arrays.unwrap_or_default();
    let labels = labels::read(reader, fields.get("labels")).into();
    ObjectOptions { time, text_time, seq, device, root, each, base_time, omit, arrays, labels }
}

fn read_offset(reader: &mut Reader<'_>, fields: &Fields<'_, '_>) -> Option<TextTime> {
    let text = text_of(reader, fields, "utc_offset")?;
    if text == "unknown" {
        return Some(TextTime::Unknown);
    }
    let offset = text.parse::<FixedOffset>();
    if offset.is_err() {
        let at = fields.get("utc_offset").map_or(0..0, |entry| entry.value.span());
        let help = "write `+01:00`, or `unknown` if the receive time must do".to_owned();
        reader.error(at, format!("`{text}` is no offset from UTC"), Some(help));
    }
    offset.ok().map(TextTime::Offset)
}

fn read_influx(reader: &mut Reader<'_>, fields: &Fields<'_, '_>) -> InfluxOptions {
    let precision = fields.get("precision").and_then(|entry| {
        let known = [
            ("ns", Precision::Nanos),
            ("us", Precision::Micros),
            ("ms", Precision::Millis),
            ("s", Precision::Seconds),
        ];
        reader.word_in("precision", entry.value, &known)
    });
    let naming = fields.get("names").and_then(|entry| {
        let known = [("measurement.field", Naming::MeasurementAndField), ("field", Naming::Field)];
        reader.word_in("names", entry.value, &known)
    });
    InfluxOptions {
        precision: precision.unwrap_or_default(),
        device_tag: text_of(reader, fields, "device_tag").map(Into::into),
        name_tags: texts_of(reader, fields, "name_tags").into_iter().map(Into::into).collect(),
        naming: naming.unwrap_or_default(),
    }
}

/// A preset is a text of mappings; `base`, `utc_offset`, `omit` and `labels` beside it change those.
fn read_preset(reader: &mut Reader<'_>, fields: &Fields<'_, '_>, mappings: &mut Vec<Mapping>) {
    for (key, entry) in KEYS.iter().zip(&fields.entries) {
        if let Some(entry) = entry
            && !["preset", "base", "utc_offset", "omit", "labels"].contains(key)
        {
            let help =
                "beside `preset` there may be `base`, `utc_offset`, `omit` and `labels`".to_owned();
            reader.error(entry.key.clone(), format!("`{key}` is in the preset"), Some(help));
        }
    }
    let Some(name) = text_of(reader, fields, "preset") else { return };
    let at = fields.get("preset").map_or(0..0, |entry| entry.value.span());
    let Some(preset) = preset::find(name) else {
        return reader.unknown("preset", name, &preset::NAMES, at);
    };
    let base = text_of(reader, fields, "base").or(preset.base);
    if fields.get("base").is_some() && preset.base.is_none() {
        return reader.error(at, format!("preset `{name}` has no `base`"), None);
    }
    let offset = read_offset(reader, fields);
    let omit: Vec<_> = texts_of(reader, fields, "omit").into_iter().map(KeyPath::new).collect();
    let labels = labels::read(reader, fields.get("labels"));
    let text = preset.text.replace("{base}", base.unwrap_or_default());
    let made = match read(&text) {
        Ok(made) => made,
        // Only what was put in can be wrong.
        Err(errors) => {
            let message = errors.first().map(|error| error.message.clone()).unwrap_or_default();
            return reader.error(at, message, None);
        }
    };
    mappings.extend(made.into_iter().map(|mut mapping| {
        match &mut mapping.format {
            Format::Json(options) => {
                options.text_time = offset.unwrap_or(options.text_time);
                options.omit = options.omit.iter().chain(&omit).cloned().collect();
                options.labels = labels.clone().into();
            }
            Format::Sparkplug(known) => *known = labels.clone().into(),
            _ => {}
        }
        mapping
    }));
}
