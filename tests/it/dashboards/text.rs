//! What Grafana makes of a query before it asks: variables first, in the browser, then macros, in its server.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use regex::{Captures, Regex};

/// `$name`, `[[name:format]]`, `${name.path:format}`, as the browser finds them.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")
        .unwrap()
});

/// `$name(arguments)`, as the server finds it: arguments end at the first `)`.
static MACRO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)").unwrap());

/// A variable's place in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mention<'a> {
    pub(super) name: &'a str,
    pub(super) format: Option<&'a str>,
    /// The byte behind it.
    pub(super) end: usize,
}

/// Every variable and macro that `text` mentions.
pub(super) fn mentions(text: &str) -> impl Iterator<Item = Mention<'_>> {
    VARIABLE.captures_iter(text).map(|found| {
        let part = |n| found.get(n).map(|it| it.as_str());
        let name = part(1).or_else(|| part(2)).or_else(|| part(4)).unwrap_or_default();
        let end = found.get(0).map_or(0, |it| it.end());
        Mention { name, format: part(3).or_else(|| part(6)), end }
    })
}

/// A variable as somebody has set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// More than one where several may be chosen; of `All`, each.
    pub(super) values: Vec<String>,
    /// Whether it takes several, or `All`.
    pub(super) many: bool,
    /// What `All` stands for as it is, without any format.
    pub(super) raw: Option<String>,
}

impl Chosen {
    pub(super) fn one(value: impl Into<String>) -> Self {
        Self { values: vec![value.into()], many: false, raw: None }
    }
}

/// What Grafana knows when it asks.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) interval: Duration,
    /// Whether the data source says that the database has TimescaleDB.
    pub(super) timescale: bool,
    pub(super) variables: BTreeMap<String, Chosen>,
}

impl Moment {
    /// A query in SQL as the database gets it.
    pub(super) fn sql(&self, text: &str) -> Result<String, String> {
        let text = self.variables(text, Self::sql_literal)?;
        let interval_ms = self.interval.as_millis().to_string();
        let text = text.replace("$__interval_ms", &interval_ms);
        let text = text.replace("$__interval", &words(self.interval));
        self.macros(&text)
    }

    /// A query in PromQL as Prometheus gets it.
    pub(super) fn promql(&self, text: &str) -> Result<String, String> {
        self.variables(text, |chosen, _| match (&chosen.raw, &chosen.values[..]) {
            (Some(raw), _) => Ok(raw.clone()),
            (None, [one]) => Ok(regex::escape(one)),
            (None, many) => {
                let all: Vec<_> = many.iter().map(|it| regex::escape(it)).collect();
                Ok(format!("({})", all.join("|")))
            }
        })
    }

    /// A title as it is shown.
    pub(super) fn title(&self, text: &str) -> Result<String, String> {
        self.variables(text, |chosen, _| Ok(chosen.values.join(" + ")))
    }

    fn variables(
        &self,
        text: &str,
        written: impl Fn(&Chosen, Option<&str>) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut fault = None;
        let replaced = VARIABLE.replace_all(text, |found: &Captures<'_>| {
            let whole = &found[0];
            let mention = mentions(whole).next().expect("it was just found");
            let value = match mention.name {
                "__interval" => Ok(words(self.interval)),
                "__interval_ms" => Ok(self.interval.as_millis().to_string()),
                "__rate_interval" => Ok("1m".to_owned()),
                "__from" => Ok(self.from.timestamp_millis().to_string()),
                "__to" => Ok(self.to.timestamp_millis().to_string()),
                name => match self.variables.get(name) {
                    Some(chosen) => written(chosen, mention.format),
                    // As Grafana does: a macro's turn comes later.
                    None => Ok(whole.to_owned()),
                },
            };
            value.unwrap_or_else(|what| {
                fault = Some(what);
                String::new()
            })
        });
        let replaced = replaced.into_owned();
        fault.map_or(Ok(replaced), Err)
    }

    fn sql_literal(chosen: &Chosen, format: Option<&str>) -> Result<String, String> {
        let doubled = |value: &String| value.replace('\'', "''");
        let quoted = |value: &String| format!("'{}'", doubled(value));
        let joined = |each: &dyn Fn(&String) -> String| {
            chosen.values.iter().map(each).collect::<Vec<_>>().join(",")
        };
        if let Some(raw) = &chosen.raw {
            return Ok(raw.clone());
        }
        match format {
            Some("sqlstring") => Ok(joined(&quoted)),
            Some("singlequote") => Ok(joined(&|value| format!("'{}'", value.replace('\'', "\\'")))),
            Some("raw" | "csv") => Ok(chosen.values.join(",")),
            Some(other) => Err(format!("no format `{other}` is known here")),
            None if chosen.many => Ok(joined(&quoted)),
            None => Ok(joined(&doubled)),
        }
    }

    fn macros(&self, text: &str) -> Result<String, String> {
        let mut done = String::new();
        let mut rest = 0;
        for found in MACRO.captures_iter(text) {
            let place = found.get(0).expect("all of it");
            let arguments: Vec<&str> = found[2].split(',').map(|it| it.trim_matches(' ')).collect();
            // An old habit that Grafana keeps for old dashboards.
            let old = &found[1] == "__timeGroup" && text[place.end()..].starts_with(',');
            let name = if old { "__timeGroupAlias" } else { &found[1] };
            done += &text[rest..place.start()];
            done += &self.evaluate(name, &arguments)?;
            rest = place.end();
        }
        Ok(done + &text[rest..])
    }

    fn evaluate(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let stamp =
            |at: DateTime<Utc>| format!("'{}'", at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        let column = arguments.first().copied().unwrap_or_default();
        Ok(match name {
            "__time" => format!("{column} AS \"time\""),
            "__timeEpoch" => format!("extract(epoch from {column}) as \"time\""),
            "__timeFilter" => {
                format!("{column} BETWEEN {} AND {}", stamp(self.from), stamp(self.to))
            }
            "__timeFrom" => stamp(self.from),
            "__timeTo" => stamp(self.to),
            "__timeGroup" => self.group(column, arguments.get(1).copied())?,
            "__timeGroupAlias" => self.group(column, arguments.get(1).copied())? + " AS \"time\"",
            "__unixEpochFilter" => {
                let (from, to) = (self.from.timestamp(), self.to.timestamp());
                format!("{column} >= {from} AND {column} <= {to}")
            }
            _ => return Err(format!("unknown macro `{name}`")),
        })
    }

    fn group(&self, column: &str, interval: Option<&str>) -> Result<String, String> {
        let text = interval.ok_or("a group needs a column and an interval")?.trim_matches('\'');
        let interval = parse(text).ok_or_else(|| format!("`{text}` is no interval"))?;
        let secs = interval.as_secs_f64();
        Ok(if self.timescale {
            format!("time_bucket('{secs:.3}s',{column})")
        } else {
            format!("floor(extract(epoch from {column})/{secs})*{secs}")
        })
    }
}

const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
];

/// An interval as Grafana writes it: in the greatest unit that has no remainder.
fn words(interval: Duration) -> String {
    let ms = u64::try_from(interval.as_millis()).unwrap();
    let fits = UNITS[..5].iter().rev().find(|(_, length)| ms.is_multiple_of(*length));
    let (unit, length) = fits.expect("1 ms fits");
    format!("{}{unit}", ms / length)
}

/// An interval as Grafana reads it.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let (_, length) = UNITS.iter().find(|(unit, _)| *unit == &text[digits..])?;
    Some(Duration::from_millis(number * length))
}
