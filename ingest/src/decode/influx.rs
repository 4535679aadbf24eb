//! Lines of InfluxDB's line protocol: `measurement,tag=value field=1.5,other="text" 1700000000000000000`.
//!
//! <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>

use std::ops::Range;

use bellwire_model::{DeviceKey, RejectReason, Timestamp};

use super::Output;
use super::draft::{Draft, TimeSource};
use super::names::NameCache;
use crate::mapping::{InfluxOptions, Naming, Precision};

/// Reads the payload line by line; a line that cannot be read is noted, the others are kept.
pub(super) fn decode(
    payload: &[u8],
    options: &InfluxOptions,
    draft: &mut Draft,
    names: &mut NameCache,
    out: &mut Output,
) {
    let Ok(text) = std::str::from_utf8(payload) else {
        return draft.fault(RejectReason::BadUtf8, |_| "the payload is not UTF-8".to_owned());
    };
    let mut cursor = Cursor { text, at: 0, line: 1 };
    let mut line = Line::default();
    while cursor.skip_blank() {
        let number = cursor.line;
        match line.read(&mut cursor, options) {
            Ok(()) => line.emit(options, draft, names, out),
            Err(problem) => {
                draft.fault(RejectReason::BadLine, |_| format!("line {number}: {problem}"));
                cursor.skip_line();
            }
        }
    }
    draft.end_instants(out);
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Number(f64),
    Text(Range<usize>),
}

/// One line; its buffers serve all lines of a payload.
#[derive(Debug, Default)]
struct Line {
    measurement: String,
    key: String,
    token: String,
    device: Option<String>,
    /// The values of the tags that belong to the name, in the order of the options.
    tags: Vec<Option<String>>,
    /// The names of fields and their texts, one behind the other.
    arena: String,
    fields: Vec<(Range<usize>, Field)>,
    at: Option<i64>,
}

impl Line {
    fn read(
        &mut self,
        cursor: &mut Cursor<'_>,
        options: &InfluxOptions,
    ) -> Result<(), &'static str> {
        self.device = None;
        self.tags.clear();
        self.tags.resize(options.name_tags.len(), None);
        self.arena.clear();
        self.fields.clear();
        self.at = None;
        self.measurement.clear();
        let mut stop = cursor.token(b", ", &mut self.measurement);
        if self.measurement.is_empty() {
            return Err("the measurement has no name");
        }
        while stop == Some(b',') {
            stop = self.read_tag(cursor, options)?;
        }
        if stop != Some(b' ') {
            return Err("there is no field");
        }
        cursor.skip_spaces();
        loop {
            match self.read_field(cursor)? {
                Some(b',') => {}
                Some(b' ') => {
                    cursor.skip_spaces();
                    return self.read_time(cursor);
                }
                _ => return Ok(()),
            }
        }
    }

    fn read_tag(
        &mut self,
        cursor: &mut Cursor<'_>,
        options: &InfluxOptions,
    ) -> Result<Option<u8>, &'static str> {
        self.key.clear();
        if cursor.token(b"=, ", &mut self.key) != Some(b'=') || self.key.is_empty() {
            return Err("a tag is no `key=value`");
        }
        self.token.clear();
        let stop = cursor.token(b", ", &mut self.token);
        if self.token.is_empty() {
            return Err("a tag has no value");
        }
        if options.device_tag.as_deref() == Some(self.key.as_str()) {
            self.device = Some(self.token.clone());
        }
        if let Some(index) = options.name_tags.iter().position(|tag| **tag == *self.key) {
            self.tags[index] = Some(self.token.clone());
        }
        Ok(stop)
    }

    fn read_field(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<u8>, &'static str> {
        let start = self.arena.len();
        if cursor.token(b"=, ", &mut self.arena) != Some(b'=') || self.arena.len() == start {
            return Err("a field is no `key=value`");
        }
        let name = start..self.arena.len();
        if cursor.peek() == Some(b'"') {
            cursor.at += 1;
            let start = self.arena.len();
            cursor.quoted(&mut self.arena)?;
            self.fields.push((name, Field::Text(start..self.arena.len())));
            return match cursor.peek() {
                Some(stop @ (b',' | b' ')) => {
                    cursor.at += 1;
                    Ok(Some(stop))
                }
                Some(b'\n' | b'\r') | None => Ok(None),
                Some(_) => Err("something follows a text"),
            };
        }
        self.token.clear();
        let stop = cursor.token(b", ", &mut self.token);
        self.fields.push((name, Field::Number(number(&self.token)?)));
        Ok(stop)
    }

    fn read_time(&mut self, cursor: &mut Cursor<'_>) -> Result<(), &'static str> {
        self.token.clear();
        let stop = cursor.token(b" ", &mut self.token);
        if stop.is_some() {
            cursor.skip_spaces();
            if !matches!(cursor.peek(), None | Some(b'\n' | b'\r')) {
                return Err("something follows the time");
            }
        }
        if !self.token.is_empty() {
            self.at = Some(self.token.parse().map_err(|_| "the time is no whole number")?);
        }
        Ok(())
    }

    /// Puts the fields out as readings.
    fn emit(
        &self,
        options: &InfluxOptions,
        draft: &mut Draft,
        names: &mut NameCache,
        out: &mut Output,
    ) {
        draft.path.clear();
        let Some(device) = self.device_of(options, draft, names) else { return };
        let at = match self.at.map(|at| (at, time(at, options.precision))) {
            None => None,
            Some((_, Some(at))) => Some((at, TimeSource::Own)),
            Some((found, None)) => {
                return draft.fault(RejectReason::BadTimestamp, |_| {
                    format!("{found} is no time from 1970 on")
                });
            }
        };
        draft.path.push_str("time");
        draft.instant(Some(device), at, out);
        for (name, value) in &self.fields {
            self.name_into(&self.arena[name.clone()], options.naming, &mut draft.path);
            match value {
                Field::Number(number) => draft.number(*number, names, out),
                Field::Text(text) => draft.text(&self.arena[text.clone()], names, out),
            }
        }
    }

    fn device_of(
        &self,
        options: &InfluxOptions,
        draft: &mut Draft,
        names: &mut NameCache,
    ) -> Option<DeviceKey> {
        if let Some(device) = draft.topic_device() {
            return Some(device);
        }
        let tag = options.device_tag.as_deref().unwrap_or_default();
        draft.path.push_str(tag);
        let found = match &self.device {
            Some(device) => names.device(device),
            None => {
                draft.fault(RejectReason::NoDevice, |tag| format!("a line has no tag {tag:?}"));
                return None;
            }
        };
        let device = found.map_err(|reason| draft.no_device(reason)).ok();
        draft.path.clear();
        device
    }

    /// `measurement.tag.field`
    fn name_into(&self, field: &str, naming: Naming, path: &mut String) {
        path.clear();
        let tags = || self.tags.iter().flatten().map(String::as_str);
        let mut parts: Vec<&str> = Vec::with_capacity(2 + self.tags.len());
        match naming {
            Naming::MeasurementAndField => {
                parts.push(&self.measurement);
                parts.extend(tags());
                parts.extend((field != "value").then_some(field));
            }
            Naming::Field => {
                parts.extend(tags());
                parts.push(field);
            }
        }
        for part in parts {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        }
    }
}

/// A number as fields have it: `1.5`, `3i`, `3u`, and booleans.
#[expect(clippy::cast_precision_loss, reason = "readings are float8")]
fn number(token: &str) -> Result<f64, &'static str> {
    match token {
        "t" | "T" | "true" | "True" | "TRUE" => return Ok(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => return Ok(0.0),
        _ => {}
    }
    let wrong = "a field is neither a number nor a boolean nor a text in quotes";
    if let Some(integer) = token.strip_suffix('i') {
        integer.parse::<i64>().map(|it| it as f64).map_err(|_| wrong)
    } else if let Some(integer) = token.strip_suffix('u') {
        integer.parse::<u64>().map(|it| it as f64).map_err(|_| wrong)
    } else if token.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        token.parse().map_err(|_| wrong)
    } else {
        // Not what Rust takes for a number too: `inf`, `nan`.
        Err(wrong)
    }
}

/// A line's time; `None` before 1970.
fn time(at: i64, precision: Precision) -> Option<Timestamp> {
    let micros = match precision {
        Precision::Nanos => Some(at.div_euclid(1_000)),
        Precision::Micros => Some(at),
        Precision::Millis => at.checked_mul(1_000),
        Precision::Seconds => at.checked_mul(1_000_000),
    };
    micros.filter(|micros| *micros >= 0).map(Timestamp::from_micros)
}

/// A place in the text.
#[derive(Debug)]
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes over empty lines and comments; says whether there is a line.
    fn skip_blank(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some(b'\n') => {
                    self.at += 1;
                    self.line += 1;
                }
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'#') => self.skip_line(),
                Some(_) => return true,
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.find('\n').unwrap_or(rest.len());
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Appends what comes before one of `stops`, or before the end of the line, and passes over the
    /// stop. A backslash before a comma, a space, an equals sign or itself takes its meaning away.
    fn token(&mut self, stops: &[u8], token: &mut String) -> Option<u8> {
        let bytes = self.text.as_bytes();
        let mut from = self.at;
        loop {
            match self.peek() {
                Some(b'\\')
                    if matches!(bytes.get(self.at + 1), Some(b',' | b' ' | b'=' | b'\\')) =>
                {
                    token.push_str(&self.text[from..self.at]);
                    from = self.at + 1;
                    self.at += 2;
                }
                Some(stop) if stops.contains(&stop) => {
                    token.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    return Some(stop);
                }
                Some(b'\n') | None => {
                    token.push_str(self.text[from..self.at].trim_end_matches('\r'));
                    return None;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Appends a text up to the quote that ends it; it may have line breaks.
    fn quoted(&mut self, text: &mut String) -> Result<(), &'static str> {
        let bytes = self.text.as_bytes();
        let mut from = self.at;
        loop {
            match self.peek() {
                Some(b'\\') if matches!(bytes.get(self.at + 1), Some(b'"' | b'\\')) => {
                    text.push_str(&self.text[from..self.at]);
                    from = self.at + 1;
                    self.at += 2;
                }
                Some(b'"') => {
                    text.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\n') => {
                    self.line += 1;
                    self.at += 1;
                }
                Some(_) => self.at += 1,
                None => return Err("a text has no closing quote"),
            }
        }
    }
}
