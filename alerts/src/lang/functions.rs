//! The table of functions: what the checker knows, what errors list, and what the reference page
//! is made of.

use std::fmt::Write as _;

/// What a function takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// The metric's last value; the same as its bare name.
    Last,
    /// The number without its sign.
    Abs,
    /// A number made of the metric's readings within a window.
    Window(Stat),
    /// The same, with the share of readings that lie below it.
    Quantile,
    /// Whether no reading of the metric has come for this long.
    Absent,
    /// How long ago the metric was last read.
    Age,
    /// How far the device is from a point on earth.
    Distance,
    /// Whether the device is within a polygon on earth.
    Inside,
}

/// What is asked of a window of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stat {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Stddev,
    First,
    /// The newest reading: what `offset` asks for without a function.
    Last,
    Delta,
    Rate,
    Changes,
    Zscore,
    /// Below which a share of the readings lies, in thousandths of a percent.
    Quantile(u32),
}

impl Stat {
    /// Whether it changes as readings leave the window, and not only as others come.
    pub(crate) const fn ebbs(self) -> bool {
        matches!(self, Self::Count | Self::Changes)
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) function: Function,
    /// How it is called.
    pub(crate) usage: &'static str,
    /// What it gives.
    pub(crate) gives: &'static str,
}

const fn entry(
    name: &'static str,
    function: Function,
    usage: &'static str,
    gives: &'static str,
) -> Entry {
    Entry { name, function, usage, gives }
}

/// All of them, by name.
pub(crate) const FUNCTIONS: [Entry; 18] = [
    entry("abs", Function::Abs, "abs(number)", "the number without its sign"),
    entry(
        "absent",
        Function::Absent,
        "absent(metric, duration)",
        "true if the device is known and no reading of the metric has come for that long",
    ),
    entry(
        "age",
        Function::Age,
        "age(metric)",
        "how long ago the metric was last read, in seconds; to compare with a duration",
    ),
    entry(
        "avg",
        Function::Window(Stat::Avg),
        "avg(metric, window)",
        "the mean of the readings in the window",
    ),
    entry(
        "changes",
        Function::Window(Stat::Changes),
        "changes(metric, window)",
        "how often the value changed in the window; numbers or texts",
    ),
    entry(
        "count",
        Function::Window(Stat::Count),
        "count(metric, window)",
        "how many readings are in the window, 0 if none; numbers or texts",
    ),
    entry(
        "delta",
        Function::Window(Stat::Delta),
        "delta(metric, window)",
        "the newest reading in the window less the oldest",
    ),
    entry(
        "distance",
        Function::Distance,
        "distance(latitude, longitude)",
        "how far the device is from the point, in metres, by its metrics `lat` and `lon`",
    ),
    entry(
        "first",
        Function::Window(Stat::First),
        "first(metric, window)",
        "the oldest reading in the window",
    ),
    entry(
        "inside",
        Function::Inside,
        "inside(lat1, lon1, lat2, lon2, lat3, lon3, ...)",
        "true if the device is within the polygon, by its metrics `lat` and `lon`",
    ),
    entry("last", Function::Last, "last(metric)", "the metric's last value, like its bare name"),
    entry(
        "max",
        Function::Window(Stat::Max),
        "max(metric, window)",
        "the greatest reading in the window",
    ),
    entry(
        "min",
        Function::Window(Stat::Min),
        "min(metric, window)",
        "the least reading in the window",
    ),
    entry(
        "quantile",
        Function::Quantile,
        "quantile(metric, window, share)",
        "what that share of the readings in the window is not above; 0.5 is the median",
    ),
    entry(
        "rate",
        Function::Window(Stat::Rate),
        "rate(metric, window)",
        "how fast a counter grows per second in the window; a fall is a restart from 0",
    ),
    entry(
        "stddev",
        Function::Window(Stat::Stddev),
        "stddev(metric, window)",
        "the standard deviation of the readings in the window (of the population)",
    ),
    entry(
        "sum",
        Function::Window(Stat::Sum),
        "sum(metric, window)",
        "the sum of the readings in the window",
    ),
    entry(
        "zscore",
        Function::Window(Stat::Zscore),
        "zscore(metric, window)",
        "how many standard deviations the last reading is from the mean of those before it",
    ),
];

impl Function {
    pub(crate) fn named(name: &str) -> Option<&'static Entry> {
        FUNCTIONS.iter().find(|entry| entry.name == name)
    }
}

/// The functions of rules as a table in Markdown: what `docs/reference/rules.md` shows.
#[must_use]
pub fn function_reference() -> String {
    let mut page = String::from("| function | gives |\n|---|---|\n");
    for Entry { usage, gives, .. } in &FUNCTIONS {
        let _ = writeln!(page, "| `{usage}` | {gives} |");
    }
    page
}
