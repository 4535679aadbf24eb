//! Mappings: which other topics are telemetry, and how their payloads are read.
//!
//! A text in TOML becomes [`Mappings`]; of those the first that matches a topic says what its
//! payload means. The built-in topics ([`crate::topics`]) come before all of them.

mod error;
mod labels;
mod object;
mod pattern;
mod preset;
mod reader;
mod text;

use std::sync::Arc;

pub use error::MappingError;
pub use object::{Arrays, KeyPath, LabelKey, ObjectOptions, TextTime};
pub use pattern::{PatternError, TopicPattern};

/// The most mappings, those of presets included: each is tried against each topic.
pub const MAPPINGS_MAX: usize = 256;
/// The most bytes of a text of mappings: 256 KiB.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// How the payloads of a mapping are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Objects in JSON.
    Json(ObjectOptions),
    /// Objects in CBOR, RFC 8949.
    Cbor(ObjectOptions),
    /// Lines of InfluxDB's line protocol.
    Influx(InfluxOptions),
    /// Sensor measurement lists in JSON, RFC 8428.
    Senml,
    /// Sensor measurement lists in CBOR, RFC 8428.
    SenmlCbor,
    /// One value.
    Scalar,
    /// Messages of Sparkplug B: the levels behind the pattern say which, and of which device. These
    /// metrics are labels.
    Sparkplug(Box<[LabelKey]>),
    /// Whether the device is there.
    Status,
    /// Not telemetry at all: later mappings are not asked.
    Ignore,
}

/// What the time of a line counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds, as the protocol has it.
    #[default]
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

/// How metrics of lines are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// `measurement.field`; only `measurement` if the field is `value`.
    #[default]
    MeasurementAndField,
    /// `field`.
    Field,
}

/// How lines are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfluxOptions {
    /// What times count.
    pub precision: Precision,
    /// The tag that names the device, if the topic does not.
    pub device_tag: Option<Box<str>>,
    /// Tags whose values become part of the metric's name, in this order.
    pub name_tags: Box<[Box<str>]>,
    /// How metrics are named.
    pub naming: Naming,
}

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Which topics.
    pub topic: TopicPattern,
    /// How their payloads are read.
    pub format: Format,
    /// The metric where the topic names none.
    pub metric: Option<Box<str>>,
    /// Words that stand for a value that is not there, whatever their case.
    pub missing: Box<[Box<str>]>,
}

impl Mapping {
    /// Whether the payload says that there is no value, and no more.
    #[must_use]
    pub fn is_missing(&self, payload: &[u8]) -> bool {
        let payload = payload.trim_ascii();
        self.missing.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(payload))
    }
}

/// The mappings in force, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    text: Arc<str>,
    mappings: Box<[Mapping]>,
}

/// A mapping that matches a topic, and the device that the topic names.
#[derive(Clone, Copy, Debug)]
pub struct Found<'m, 't> {
    /// The mapping.
    pub mapping: &'m Mapping,
    /// The device, not yet checked to be a valid name.
    pub device: Option<&'t str>,
}

impl Mappings {
    /// Reads a text of mappings.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<MappingError>> {
        let mappings = text::read(text)?.into();
        Ok(Self { text: text.into(), mappings })
    }

    /// The text that they were made of.
    #[must_use]
    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// All of them, in order; a preset counts as those it stands for.
    #[must_use]
    pub const fn all(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The first mapping that matches `topic`; `None` if it is not telemetry.
    #[must_use]
    pub fn find<'t>(&self, topic: &'t str) -> Option<Found<'_, 't>> {
        let mut found = self.mappings.iter().filter_map(|mapping| {
            let device = mapping.topic.matches(topic)?;
            Some(Found { mapping, device })
        });
        found.next().filter(|found| found.mapping.format != Format::Ignore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let errors = Mappings::parse(text).expect_err(text);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_that_matches_wins() {
        let mappings = Mappings::parse(
            "[[mapping]]\ntopic = 'x/{device}/raw'\nformat = 'ignore'\n\
             [[mapping]]\ntopic = 'x/{device}/{metric}'\nformat = 'scalar'\n\
             [[mapping]]\ntopic = 'x/#'\nformat = 'json'\ndevice_key = 'id'\n",
        )
        .expect("right");
        let found = mappings.find("x/a/t").expect("the second");
        assert_eq!((found.device, &found.mapping.format), (Some("a"), &Format::Scalar));
        assert!(mappings.find("x/a/raw").is_none(), "that is not telemetry");
        assert_eq!(mappings.find("x/a/b/c").expect("the third").device, None);
        assert!(mappings.find("y/a").is_none());
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_what_would_be_right() {
        for (text, expected) in [
            (
                "[[mapping]]\ntopic = 'a/{device}'\nformat = 'jsn'",
                "line 3, column 10: unknown format `jsn`; did you mean `json`?",
            ),
            (
                "[[mapping]]\ntopic = 'a/{device}'\nfromat = 'json'",
                "line 3, column 1: unknown key `fromat`; did you mean `format`?",
            ),
            (
                "[[mapping]]\ntopic = 'a/x{device}'\nformat = 'json'",
                "line 2, column 9: `x{device}` is not a level of a pattern; \
                 `{device}`, `{metric}` and `+` stand alone between slashes, `#` at the end",
            ),
            (
                "[[mapping]]\ntopic = 'a/+'\nformat = 'json'",
                "line 1, column 1: nothing says which device it is; \
                 put `{device}` into `topic`, or name its key as `device_key`",
            ),
            (
                "[[mapping]]\ntopic = 'a/{device}'\nformat = 'scalar'",
                "line 1, column 1: nothing says which metric it is; \
                 put `{metric}` into `topic`, or name it as `metric`",
            ),
            (
                "[[mapping]]\ntopic = 'a/{device}'\nformat = 'json'\nprecision = 's'",
                "line 4, column 1: `precision` means nothing with format `json`; it belongs to `influx`",
            ),
            (
                "[[mapping]]\ntopic = 5\nformat = 'json'",
                "line 2, column 9: `topic` must be a text, not a number",
            ),
            (
                "[[mapping]]\ntopic = 'spBv1.0/+'\nformat = 'sparkplug'",
                "line 1, column 1: nothing says which message it is; \
                 end `topic` with `/#`, which stands for group, kind of message, edge node and device",
            ),
            ("[[mapping]]\nformat = 'json'", "line 1, column 1: `topic` is missing"),
            (
                "mapping = 1",
                "line 1, column 11: `mapping` must be an array of tables, not a number; write each as `[[mapping]]`",
            ),
            (
                "[[mapping]]\npreset = 'tasmata'",
                "line 2, column 10: unknown preset `tasmata`; did you mean `tasmota`?",
            ),
        ] {
            assert_eq!(errors(text), [expected], "{text}");
        }
        assert!(errors("[[mapping]\n")[0].starts_with("line 1, column "));
    }

    #[test]
    fn presets_stand_for_mappings() {
        for name in preset::NAMES {
            let mappings = Mappings::parse(&format!("[[mapping]]\npreset = '{name}'"));
            assert!(mappings.is_ok_and(|it| it.all().len() > 1), "{name}");
        }
        let text = "[[mapping]]\npreset = 'zigbee2mqtt'\nbase = 'home/zigbee'";
        let mappings = Mappings::parse(text).expect("right");
        assert!(mappings.find("home/zigbee/lamp").is_some());
        assert!(mappings.find("zigbee2mqtt/lamp").is_none());
    }

    #[test]
    fn there_is_a_bound_of_mappings() {
        let one = "[[mapping]]\ntopic = 'a/{device}'\nformat = 'json'\n";
        assert!(Mappings::parse(&one.repeat(MAPPINGS_MAX)).is_ok());
        let errors = errors(&one.repeat(MAPPINGS_MAX + 1));
        assert!(errors[0].contains("257 mappings"), "{errors:?}");
    }
}
