//! In which form a client wants its rows: JSON, or a file with a row on each line.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bellwire_model::{DeviceId, MetricName};

use super::rows::Row;
use crate::csv;
use crate::params::Params;
use crate::problem::Problem;

/// In which form a client wants its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object with a list.
    Json,
    /// A file.
    File(File),
}

/// A file with a row on each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// Comma-separated values with a header, RFC 4180.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

impl Format {
    /// What `format` says; if it says nothing, what `Accept` likes best; if it likes nothing we have,
    /// JSON.
    ///
    /// # Errors
    /// A problem if `format` is not known.
    pub(super) fn read(params: &Params, headers: &HeaderMap) -> Result<Self, Problem> {
        let format = params.parsed("format", "`json`, `csv` or `ndjson`", |text| match text {
            "json" => Some(Self::Json),
            "csv" => Some(Self::File(File::Csv)),
            "ndjson" => Some(Self::File(File::Ndjson)),
            _ => None,
        })?;
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
        Ok(format.unwrap_or_else(|| Self::liked_best(accepted)))
    }

    /// RFC 9110, section 12.5.1: the one with the greatest `q`, of equal ones the first.
    fn liked_best<'a>(accepted: impl Iterator<Item = &'a str>) -> Self {
        let mut best = (Self::Json, 0.0);
        for range in accepted.flat_map(|list| list.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/json" | "application/*" | "*/*" => Self::Json,
                "text/csv" => Self::File(File::Csv),
                "application/x-ndjson" => Self::File(File::Ndjson),
                _ => continue,
            };
            let quality = parts.find_map(|it| it.strip_prefix("q=").or(it.strip_prefix("Q=")));
            let quality = quality.map_or(1.0, |it| it.parse::<f32>().unwrap_or(0.0));
            if quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }
}

impl File {
    /// Writes what stands before the first row.
    pub(super) fn begin<R: Row>(self, out: &mut Vec<u8>) {
        if self == Self::Csv {
            out.extend_from_slice(R::HEADER.as_bytes());
            out.extend_from_slice(csv::LINE_END);
        }
    }

    /// Writes a row with the end of its line.
    pub(super) fn row<R: Row>(self, row: &R, out: &mut Vec<u8>) {
        match self {
            Self::Csv => {
                row.cells(out);
                out.extend_from_slice(csv::LINE_END);
            }
            Self::Ndjson => {
                serde_json::to_writer(&mut *out, &row.view()).expect("a row into memory");
                out.push(b'\n');
            }
        }
    }

    /// The headers of a file about `device`, or about all: what it is, and what to call it when it
    /// is saved.
    pub(super) fn headers(
        self,
        device: Option<&DeviceId>,
        metric: Option<&MetricName>,
    ) -> [(HeaderName, HeaderValue); 2] {
        let (kind, extension) = match self {
            Self::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
            Self::Ndjson => ("application/x-ndjson", "ndjson"),
        };
        let whose = device.map_or("all", DeviceId::as_str);
        let what = metric.map_or("readings", MetricName::as_str);
        let named = disposition(&format!("{whose}-{what}.{extension}"));
        let named = HeaderValue::try_from(named).expect("nothing but visible ASCII");
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CONTENT_DISPOSITION, named),
        ]
    }
}

/// `Content-Disposition` (RFC 6266): a name that every client can read, and the true one if it has
/// other characters.
fn disposition(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut named = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        named.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if is_plain(char::from(byte)) {
                named.push(char::from(byte));
            } else {
                write!(named, "%{byte:02X}").expect("into memory");
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Format) {
        assert_eq!(Format::liked_best([accept].into_iter()), expected, "{accept:?}");
    }

    #[test]
    fn what_is_liked_best_is_given_and_json_otherwise() {
        let (csv, ndjson) = (Format::File(File::Csv), Format::File(File::Ndjson));
        check("text/csv", csv);
        check("TEXT/CSV; header=present", csv);
        check("application/x-ndjson", ndjson);
        check("text/csv;q=0.5, application/x-ndjson;q=0.9", ndjson);
        check("text/csv, */*;q=0.1", csv);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Format::Json);
        check("*/*", Format::Json);
        check("application/json, text/csv", Format::Json);
        check("text/csv;q=0", Format::Json);
        check("text/csv;q=nonsense", Format::Json);
        check("image/png", Format::Json);
        check("", Format::Json);
    }

    #[test]
    fn a_file_has_a_name_that_every_client_can_read() {
        assert_eq!(disposition("a-b_1.csv"), "attachment; filename=\"a-b_1.csv\"");
        assert_eq!(
            disposition("Kühl \"1\".csv"),
            "attachment; filename=\"K_hl__1_.csv\"; filename*=UTF-8''K%C3%BChl%20%221%22.csv"
        );
    }
}
