//! How readings and buckets look: as JSON, and as a line of a file.

use bellwire_model::Value;
use serde::Serialize;

use crate::csv;
use crate::fill::Bucket;
use crate::ports::ReadingRow;
use crate::rfc3339::Rfc3339;
use crate::views::ReadingView;

/// What stands in a list or on a line.
pub(super) trait Row {
    /// The list's name in JSON.
    const LIST: &'static str;
    /// The first line of a file of comma-separated values.
    const HEADER: &'static str;
    /// The row as JSON shows it.
    type View<'a>: Serialize
    where
        Self: 'a;

    /// The row as JSON shows it.
    fn view(&self) -> Self::View<'_>;

    /// Writes the cells that `HEADER` names.
    fn cells(&self, out: &mut Vec<u8>);
}

impl Row for ReadingRow {
    const LIST: &'static str = "readings";
    const HEADER: &'static str = "at,metric,value,text";
    type View<'a> = ReadingView<'a>;

    fn view(&self) -> ReadingView<'_> {
        ReadingView { metric: self.metric.as_str(), at: self.at, value: &self.value, unit: None }
    }

    fn cells(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(Rfc3339(self.at).to_string().as_bytes());
        out.push(b',');
        csv::text(self.metric.as_str(), out);
        out.push(b',');
        match &self.value {
            Value::Number(number) => {
                csv::number(*number, out);
                out.push(b',');
            }
            Value::Text(text) => {
                out.push(b',');
                csv::text(text, out);
            }
        }
    }
}

/// A bucket as JSON shows it.
#[derive(Serialize)]
pub(super) struct BucketView<'a> {
    at: Rfc3339,
    /// Only there where devices are grouped; null: of those without the label.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Option<&'a str>>,
    metric: &'a str,
    avg: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    count: u64,
    first: Option<f64>,
    last: Option<f64>,
}

impl Row for Bucket {
    const LIST: &'static str = "buckets";
    const HEADER: &'static str = "at,metric,avg,min,max,count,first,last";
    type View<'a> = BucketView<'a>;

    fn view(&self) -> BucketView<'_> {
        let numbers = self.numbers;
        BucketView {
            at: Rfc3339(self.at),
            group: None,
            metric: self.metric.as_str(),
            avg: numbers.map(|it| it.avg),
            min: numbers.map(|it| it.min),
            max: numbers.map(|it| it.max),
            count: self.count,
            first: numbers.map(|it| it.first),
            last: numbers.map(|it| it.last),
        }
    }

    fn cells(&self, out: &mut Vec<u8>) {
        self.view().cells(out);
    }
}

/// A bucket of a group of devices.
#[derive(Debug)]
pub(super) struct Grouped(pub(super) Bucket);

impl Row for Grouped {
    const LIST: &'static str = "buckets";
    const HEADER: &'static str = "at,group,metric,avg,min,max,count,first,last";
    type View<'a> = BucketView<'a>;

    fn view(&self) -> BucketView<'_> {
        BucketView { group: Some(self.0.group.as_deref()), ..self.0.view() }
    }

    fn cells(&self, out: &mut Vec<u8>) {
        self.view().cells(out);
    }
}

impl BucketView<'_> {
    fn cells(&self, out: &mut Vec<u8>) {
        let view = self;
        out.extend_from_slice(view.at.to_string().as_bytes());
        out.push(b',');
        if let Some(group) = view.group {
            group.into_iter().for_each(|group| csv::text(group, out));
            out.push(b',');
        }
        csv::text(view.metric, out);
        let cell = |number: Option<f64>, out: &mut Vec<u8>| {
            out.push(b',');
            number.into_iter().for_each(|number| csv::number(number, out));
        };
        [view.avg, view.min, view.max].into_iter().for_each(|it| cell(it, out));
        out.push(b',');
        out.extend_from_slice(view.count.to_string().as_bytes());
        [view.first, view.last].into_iter().for_each(|it| cell(it, out));
    }
}
