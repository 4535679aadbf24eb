//! Query parameters: known ones only, each once, and errors that say what would be right.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use bellwire_model::Timestamp;

use crate::problem::Problem;
use crate::rfc3339;

/// The most rows one answer has.
pub(crate) const LIMIT_MAX: usize = 10_000;
/// How many it has when the client does not say.
const LIMIT_DEFAULT: usize = 1_000;

/// The parameters of one request.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query of `uri`.
    ///
    /// # Errors
    /// A problem if a parameter is not among `known` or stands twice.
    pub(crate) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
            Problem::bad_request("invalid_parameter", "The query cannot be read as parameters.")
        })?;
        for (n_before, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(Problem::bad_request("unknown_parameter", unknown(name, known)));
            }
            if pairs[..n_before].iter().any(|(earlier, _)| earlier == name) {
                let detail = format!("`{name}` stands twice.");
                return Err(Problem::bad_request("duplicate_parameter", detail));
            }
        }
        Ok(Self(pairs))
    }

    /// The text of a parameter; an empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let (_, text) = self.0.iter().find(|(known, _)| known == name)?;
        (!text.is_empty()).then_some(text.as_str())
    }

    /// A parameter that `parse` understands.
    ///
    /// # Errors
    /// A problem that says `expected` if it does not.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| invalid(name, expected))
    }

    /// A time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.parsed(name, "an RFC 3339 time such as 2024-05-01T12:00:00Z", rfc3339::parse)
    }

    /// How many rows are wanted.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.parsed("limit", "a whole number from 1 to 10000", |text| {
            text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        Ok(limit.unwrap_or(LIMIT_DEFAULT))
    }

    /// How many rows are wanted of a file, which has no other end: all if absent.
    pub(crate) fn limit_of_file(&self) -> Result<Option<u64>, Problem> {
        self.parsed("limit", "a whole number from 1", |text| {
            text.parse().ok().filter(|limit| *limit >= 1)
        })
    }

    /// Where the page before ended.
    pub(crate) fn page(&self) -> Result<Option<String>, Problem> {
        self.parsed("cursor", "what the list gave as `next`", |text| {
            (text.len() <= 512).then(|| text.to_owned())
        })
    }
}

/// A parameter that is not what was expected.
pub(crate) fn invalid(name: &str, expected: &str) -> Problem {
    Problem::bad_request("invalid_parameter", format!("`{name}` must be {expected}."))
}

/// A length of time such as `30s`, `1m`, `6h`, `1d`: whole, at least a second, at most a year.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_secs = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let secs = digits.parse::<u64>().ok()?.checked_mul(unit_secs)?;
    (1..=366 * 86_400).contains(&secs).then(|| Duration::from_secs(secs))
}

/// What to say about a parameter that is not known.
fn unknown(name: &str, known: &[&str]) -> String {
    let name: String = name.chars().take(64).collect();
    let nearest = known
        .iter()
        .map(|known| (distance(&name, known), *known))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 3))
        .min();
    match nearest {
        Some((_, nearest)) => format!("`{name}` is not known here; did you mean `{nearest}`?"),
        None if known.is_empty() => format!("`{name}` is not known here: it takes none."),
        None => format!("`{name}` is not known here; it takes `{}`.", known.join("`, `")),
    }
}

/// How many letters to add, drop, change, or swap with the next (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let above = &rows[i - 1];
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Params, Problem> {
        let uri: Uri = format!("/x?{query}").parse().expect("a valid URI");
        Params::read(&uri, &["metric", "from", "limit", "cursor"])
    }

    #[test]
    fn a_misspelt_parameter_is_answered_with_the_nearest() {
        assert_eq!(read("metrik=1").expect_err("unknown").code(), "unknown_parameter");
        assert_eq!(
            unknown("metrik", &["metric", "from"]),
            "`metrik` is not known here; did you mean `metric`?"
        );
        assert_eq!(
            unknown("colour", &["metric", "from"]),
            "`colour` is not known here; it takes `metric`, `from`."
        );
    }

    #[test]
    fn a_swap_counts_as_one_mistake() {
        for (typed, meant, expected) in [
            ("form", "from", 1),
            ("form", "format", 2),
            ("", "to", 2),
            ("ot", "to", 1),
            ("a", "a", 0),
        ] {
            assert_eq!(distance(typed, meant), expected, "{typed} for {meant}");
        }
    }

    #[test]
    fn a_parameter_stands_once_and_means_what_it_says() {
        assert_eq!(read("from=1&from=2").expect_err("twice").code(), "duplicate_parameter");
        let params = read("metric=a%20b&limit=7&from=").expect("known ones");
        assert_eq!(params.text("metric"), Some("a b"));
        assert_eq!(params.limit().expect("in range"), 7);
        assert_eq!(params.time("from").expect("absent"), None);
        for wrong in ["limit=0", "limit=10001", "limit=x", "limit=-1"] {
            let problem = read(wrong).expect("known").limit().expect_err(wrong);
            assert_eq!(problem.code(), "invalid_parameter");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, secs) in [("30s", 30), ("1m", 60), ("6h", 21_600), ("366d", 31_622_400)] {
            assert_eq!(duration(text), Some(Duration::from_secs(secs)), "{text}");
        }
        for wrong in ["", "1", "m", "0s", "367d", "1.5m", "-1m", "1ms", "99999999999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
