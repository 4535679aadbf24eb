//! A recording as a CSV file: a time, and one column for each metric.
//!
//! The file's order counts as the order of arrival, so that a recording whose clock steps back is judged
//! as it would have been live. The file is read twice, once to find what is wrong with it: so nothing is
//! said about a part of it, and it may be larger than memory.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use bellwire_model::{
    DeviceId, DeviceKey, MetricKey, MetricName, Names, Reading, Timestamp, Value,
};

use super::words;

/// How many bad lines are named; the rest are counted.
const BAD_LINES_SHOWN: usize = 10;

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CsvError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its columns have no meaning.
    #[error("{path}:1: {problem}")]
    Columns {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Some lines are no readings.
    #[error("{report}")]
    Lines {
        /// Each with its number.
        report: String,
    },
}

/// A recording that can be read from beginning to end.
#[derive(Debug)]
pub(crate) struct Recording {
    path: PathBuf,
    names: Names,
    device: DeviceKey,
    /// The metric of each column after the time; `None` where it is left out.
    columns: Vec<Option<MetricKey>>,
    head: Head,
    n_lines: u64,
}

/// Whether the first line names the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Names,
    None,
}

impl Recording {
    /// Opens a recording of `device` and checks every line. With `metric`, one column is that metric:
    /// the one of that name, or the only one.
    ///
    /// # Errors
    /// [`CsvError`].
    pub(crate) fn open(
        path: &Path,
        device: &DeviceId,
        metric: Option<&MetricName>,
    ) -> Result<Self, CsvError> {
        let mut lines = Lines::open(path)?;
        let first = lines.next_line()?.unwrap_or_default().to_owned();
        let cells = cells(&first);
        let head = match words::time(&cells[0]) {
            Some(_) => Head::None,
            None => Head::Names,
        };
        let columns = |problem| CsvError::Columns { path: path.to_owned(), problem };
        let metrics = metrics(&cells[1..], head, metric).map_err(columns)?;
        let mut names = Names::default();
        let room = "a file has fewer columns than there are names";
        let columns = metrics
            .into_iter()
            .map(|name| name.map(|name| names.add_metric(&name).expect(room)))
            .collect();
        let device = names.add_device(device).expect("the first device");
        let mut recording =
            Self { path: path.to_owned(), names, device, columns, head, n_lines: 0 };
        recording.check()?;
        Ok(recording)
    }

    /// The names that the readings' keys mean.
    pub(crate) const fn names(&self) -> &Names {
        &self.names
    }

    /// How many lines of readings it has.
    pub(crate) const fn n_lines(&self) -> u64 {
        self.n_lines
    }

    /// Gives the readings of each line, in the file's order, which are never none.
    ///
    /// # Errors
    /// If the file cannot be read any more, or has changed; what `take` gives.
    pub(crate) fn read<E: From<CsvError>>(
        &self,
        mut take: impl FnMut(&[Reading]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut lines = Lines::open(&self.path)?;
        let mut readings = Vec::new();
        self.skip_head(&mut lines)?;
        while let Some(line) = lines.next_line()? {
            if line.is_empty() {
                continue;
            }
            match self.parse(line, &mut readings) {
                Ok(()) if readings.is_empty() => {}
                Ok(()) => take(&readings)?,
                Err(problem) => {
                    let report = self.bad_line(lines.number, &problem);
                    return Err(CsvError::Lines { report }.into());
                }
            }
        }
        Ok(())
    }

    fn skip_head(&self, lines: &mut Lines) -> Result<(), CsvError> {
        if self.head == Head::Names {
            lines.next_line()?;
        }
        Ok(())
    }

    fn bad_line(&self, number: u64, problem: &str) -> String {
        format!("{}:{number}: {problem}", self.path.display())
    }

    /// Reads every line, and names the bad ones.
    fn check(&mut self) -> Result<(), CsvError> {
        let mut lines = Lines::open(&self.path)?;
        let (mut bad, mut n_bad, mut readings) = (Vec::new(), 0, Vec::new());
        self.skip_head(&mut lines)?;
        while let Some(line) = lines.next_line()? {
            if line.is_empty() {
                continue;
            }
            self.n_lines += 1;
            if let Err(problem) = self.parse(line, &mut readings) {
                n_bad += 1;
                if bad.len() < BAD_LINES_SHOWN {
                    bad.push(self.bad_line(lines.number, &problem));
                }
            }
        }
        if n_bad > bad.len() {
            bad.push(format!("and {} more bad lines", n_bad - bad.len()));
        }
        if bad.is_empty() { Ok(()) } else { Err(CsvError::Lines { report: bad.join("\n") }) }
    }

    /// The readings of a line into `readings`; empty cells give none.
    fn parse(&self, line: &str, readings: &mut Vec<Reading>) -> Result<(), String> {
        readings.clear();
        let cells = cells(line);
        let at = words::time(&cells[0]).ok_or_else(|| no_time(&cells[0]))?;
        if cells.len() - 1 != self.columns.len() {
            let (n, wanted) = (cells.len(), self.columns.len() + 1);
            return Err(format!("has {n} columns, the first line has {wanted}"));
        }
        for (cell, metric) in cells[1..].iter().zip(&self.columns) {
            let Some(metric) = *metric else { continue };
            if let Some(value) = value(cell)? {
                readings.push(self.reading(metric, at, value));
            }
        }
        Ok(())
    }

    const fn reading(&self, metric: MetricKey, at: Timestamp, value: Value) -> Reading {
        Reading { device: self.device, metric, at, value }
    }
}

fn no_time(cell: &str) -> String {
    let cell: String = cell.chars().take(40).collect();
    format!("`{cell}` is no time such as 2013-12-02 21:15:00, RFC 3339 or seconds since 1970")
}

/// What each column after the time is.
fn metrics(
    cells: &[String],
    head: Head,
    metric: Option<&MetricName>,
) -> Result<Vec<Option<MetricName>>, String> {
    if cells.is_empty() {
        return Err("there is no column after the time".to_owned());
    }
    match (head, metric) {
        (_, Some(metric)) if cells.len() == 1 => Ok(vec![Some(metric.clone())]),
        (Head::None, _) if cells.len() == 1 => {
            Err("no line names the column: say what it is with --metric".to_owned())
        }
        (Head::None, _) => {
            Err("no line names the columns: put one such as `timestamp,a,b` first".to_owned())
        }
        (Head::Names, Some(metric)) => {
            let is_it = |cell: &String| (cell == metric.as_str()).then(|| metric.clone());
            let columns: Vec<_> = cells.iter().map(is_it).collect();
            if columns.iter().any(Option::is_some) {
                return Ok(columns);
            }
            Err(format!("no column is named `{metric}`: there are `{}`", cells.join("`, `")))
        }
        (Head::Names, None) => {
            let mut names: Vec<Option<MetricName>> = Vec::new();
            for cell in cells {
                let name = MetricName::new(cell).map_err(|error| format!("`{cell}`: {error}"))?;
                if names.contains(&Some(name.clone())) {
                    return Err(format!("two columns are named `{name}`"));
                }
                names.push(Some(name));
            }
            Ok(names)
        }
    }
}

/// A cell's value: a number, `true` or `false`, or a text in quotes; none if it is empty.
fn value(cell: &str) -> Result<Option<Value>, String> {
    if let Some(text) = cell.strip_prefix('"') {
        let text = text.strip_suffix('"').unwrap_or(text);
        if text.len() > Value::TEXT_BYTES_MAX {
            return Err(format!("a text is longer than {} bytes", Value::TEXT_BYTES_MAX));
        }
        return Ok(Some(Value::Text(text.replace("\"\"", "\"").into())));
    }
    match cell {
        "" => Ok(None),
        "true" => Ok(Some(Value::Number(1.0))),
        "false" => Ok(Some(Value::Number(0.0))),
        _ => match cell.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(Value::Number(number))),
            _ => {
                let cell: String = cell.chars().take(40).collect();
                Err(format!("`{cell}` is no number (a text stands in quotes)"))
            }
        },
    }
}

/// A line's cells without the space around them; the time's quotes go, a value's say that it is a text.
/// There is always one.
pub(crate) fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            ',' if !is_quoted => cells.push(String::new()),
            _ => {
                is_quoted ^= c == '"';
                cells.last_mut().expect("there is always one").push(c);
            }
        }
    }
    let trimmed = |cell: String| cell.trim().to_owned();
    let mut cells: Vec<_> = cells.into_iter().map(trimmed).collect();
    cells[0] = cells[0].trim_matches('"').to_owned();
    cells
}

/// The lines of a file, and where we are.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: String,
    /// The number of the line that was read last, from 1.
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, CsvError> {
        let failed = |source| CsvError::Read { path: path.to_owned(), source };
        let reader = BufReader::with_capacity(256 * 1024, File::open(path).map_err(failed)?);
        Ok(Self { path: path.to_owned(), reader, line: String::new(), number: 0 })
    }

    /// The next line without the space around it; `None` at the end.
    fn next_line(&mut self) -> Result<Option<&str>, CsvError> {
        self.line.clear();
        let failed = |source| CsvError::Read { path: self.path.clone(), source };
        if self.reader.read_line(&mut self.line).map_err(failed)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        // Spreadsheets begin a file with a byte order mark.
        let line = self.line.strip_prefix('\u{feff}').unwrap_or(&self.line);
        Ok(Some(line.trim()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn open(text: &str, metric: Option<&str>) -> Result<Recording, CsvError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let metric = metric.map(|metric| MetricName::new(metric).unwrap());
        let path = file.into_temp_path().keep().unwrap();
        let opened = Recording::open(&path, &DeviceId::new("d").unwrap(), metric.as_ref());
        opened.inspect_err(|_| std::fs::remove_file(&path).unwrap())
    }

    /// The readings as `second metric=value …`, a line for each line.
    fn check(text: &str, metric: Option<&str>, expected: &[&str]) {
        let recording = open(text, metric).unwrap();
        let mut lines = Vec::new();
        let read = recording.read(|readings| {
            let secs = readings[0].at.as_micros() / 1_000_000;
            let values = readings.iter().map(|reading| {
                let name = recording.names().metric(reading.metric);
                match &reading.value {
                    Value::Number(number) => format!(" {name}={number}"),
                    Value::Text(text) => format!(" {name}={text:?}"),
                }
            });
            lines.push(format!("{secs}{}", values.collect::<String>()));
            Ok::<_, CsvError>(())
        });
        read.unwrap();
        std::fs::remove_file(&recording.path).unwrap();
        assert_eq!(lines, expected, "{text}");
    }

    fn fault(text: &str, metric: Option<&str>, expected: &str) {
        let error = open(text, metric).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn one_column_is_the_metric_that_was_said() {
        check("timestamp,value\n1970-01-01 00:00:10,1.5\n", Some("t"), &["10 t=1.5"]);
        check("10,1\r\n20,2\r\n", Some("t"), &["10 t=1", "20 t=2"]);
        check("\u{feff}time,t\n10,1\n\n20,2", None, &["10 t=1", "20 t=2"]);
    }

    #[test]
    fn columns_have_the_names_of_the_first_line() {
        let text = "ts, a ,b\n10,1,\n20,,true\n30,,\n\"40\",\"of, \"\"course\"\"\",-2e1\n";
        check(text, None, &["10 a=1", "20 b=1", "40 a=\"of, \\\"course\\\"\" b=-20"]);
        check(text, Some("b"), &["20 b=1", "40 b=-20"]);
    }

    #[test]
    fn the_order_of_the_file_stays() {
        check("20,1\n10,2\n20,3\n", Some("t"), &["20 t=1", "10 t=2", "20 t=3"]);
    }

    #[test]
    fn bad_lines_are_named_with_their_number() {
        fault("t,a\n10,1\nx,2\n30,much\n40\n", None, ":3: `x` is no time");
        fault("t,a\n10,1\nx,2\n30,much\n40\n", None, ":4: `much` is no number");
        fault("t,a\n10,1\nx,2\n30,much\n40\n", None, ":5: has 1 columns, the first line has 2");
        fault("t,a\n10,inf\n", None, ":2: `inf` is no number");
        let many = "x,1\n".repeat(30);
        fault(&format!("t,a\n{many}"), None, "and 20 more bad lines");
    }

    #[test]
    fn columns_without_a_name_are_an_error() {
        fault("10,1\n", None, "--metric");
        fault("10,1,2\n", Some("t"), "timestamp,a,b");
        fault("t,a,b\n10,1,2\n", Some("c"), "no column is named `c`: there are `a`, `b`");
        fault("t,a,a\n", None, "two columns are named `a`");
        fault("", None, "no column after the time");
    }
}
