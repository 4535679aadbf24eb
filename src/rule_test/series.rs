//! Values of one metric at equal steps, in short: `-18x5 -18+0.5x10 _x3 'open'`.
//!
//! | written | values |
//! |---|---|
//! | `-18` | one |
//! | `-18x5` | five times −18 |
//! | `-18+0.5x10` | ten: −18, −17.5, …, −13.5; `-18-0.5x10` goes down |
//! | `_`, `_x3` | none at one step, at three |
//! | `true`, `falsex4` | 1, four times 0 |
//! | `'open'`, `'open'x2` | texts |

use std::sync::Arc;

use bellwire_model::Value;

/// The most values of one series.
const VALUES_MAX: usize = 1_000_000;

/// Reads a series of at most `values_max` values: one for each step, or none.
///
/// # Errors
/// Which part is none, and why.
pub(super) fn parse(text: &str, values_max: usize) -> Result<Vec<Option<Value>>, String> {
    let values_max = values_max.min(VALUES_MAX);
    let mut values = Vec::new();
    for part in parts(text) {
        let (first, step, n) = read(&part)?;
        if n > values_max - values.len() {
            let all = if values_max < VALUES_MAX { ", which is what is left of all" } else { "" };
            return Err(format!("it has more than {values_max} values{all}"));
        }
        values.extend((0..n).map(|n| match (&first, step) {
            (Some(Value::Number(first)), step) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "at most a million")]
                Some(Value::Number(step.mul_add(n as f64, *first)))
            }
            (other, _) => other.clone(),
        }));
    }
    if values.is_empty() { Err("it has no value".to_owned()) } else { Ok(values) }
}

/// The parts between spaces that are not in quotes.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for c in text.chars() {
        is_quoted ^= c == '\'';
        if c.is_whitespace() && !is_quoted {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("there is always one").push(c);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The first value of a part, how much is added at each step, and how many there are.
fn read(part: &str) -> Result<(Option<Value>, f64, usize), String> {
    let wrong =
        || format!("`{part}` is none of `1.5`, `1.5x3`, `1+0.5x3`, `_x3`, `true`, `'text'`");
    if let Some(quoted) = part.strip_prefix('\'') {
        let (text, after) = quoted.split_once('\'').ok_or_else(wrong)?;
        let value = Value::Text(Arc::from(text));
        return Ok((Some(value), 0.0, times(after).ok_or_else(wrong)?));
    }
    // The last `x`: there is no other in a number.
    let (value, n) = match part.rfind('x') {
        Some(at) => (&part[..at], times(&part[at..]).ok_or_else(wrong)?),
        None => (part, 1),
    };
    match value {
        "_" => return Ok((None, 0.0, n)),
        "true" => return Ok((Some(Value::Number(1.0)), 0.0, n)),
        "false" => return Ok((Some(Value::Number(0.0)), 0.0, n)),
        _ => {}
    }
    let (first, step) = ramp(value).ok_or_else(wrong)?;
    Ok((Some(Value::Number(first)), step, n))
}

/// `x5`, or nothing for once.
fn times(text: &str) -> Option<usize> {
    if text.is_empty() {
        return Some(1);
    }
    text.strip_prefix('x')?.parse().ok().filter(|n| *n > 0)
}

/// A number, or two with the sign of the second between them.
fn ramp(text: &str) -> Option<(f64, f64)> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(first) = number(text) {
        return Some((first, 0.0));
    }
    let cuts = text.char_indices().skip(1).filter(|(_, c)| matches!(c, '+' | '-'));
    cuts.filter_map(|(at, _)| Some((number(&text[..at])?, number(&text[at..])?))).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let shown = |value: &Option<Value>| match value {
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Text(text)) => format!("'{text}'"),
            None => "_".to_owned(),
        };
        let found: Vec<_> = parse(text, VALUES_MAX).unwrap().iter().map(shown).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_series_is_written_short() {
        check("-18x3 -10", &["-18", "-18", "-18", "-10"]);
        check("1+0.5x3", &["1", "1.5", "2"]);
        check("1-0.5x3  _x2", &["1", "0.5", "0", "_", "_"]);
        check("-1e2-1x2", &["-100", "-101"]);
        check("1e-2", &["0.01"]);
        check("true falsex2", &["1", "0", "0"]);
        check("'half open'x2 'x'", &["'half open'", "'half open'", "'x'"]);
    }

    #[test]
    fn what_is_no_value_is_named() {
        for wrong in ["", "x3", "1x", "1x0", "abc", "1x2000000", "'open", "'a'b", "nan", "1+x2"] {
            assert!(parse(wrong, VALUES_MAX).is_err(), "{wrong}");
        }
        assert!(parse("1 tru", VALUES_MAX).unwrap_err().contains("`tru`"));
    }
}
