//! Puts what a parser says of a wrong key or value into words that tell a user what to do.

use bellwire_alerts::nearest;
use toml::Value;

/// The parser's message in one line; a misspelt key with the one that was meant.
pub(super) fn sentence(message: &str) -> String {
    let line = message.lines().map(str::trim).collect::<Vec<_>>().join(", ");
    unknown_key(&line).unwrap_or(line)
}

/// What is wrong with `text`, the value of a variable or flag.
pub(super) fn value(text: &str, message: &str) -> String {
    match message.trim() {
        "invalid socket address syntax" => {
            format!("`{text}` is no address with a port, as in 127.0.0.1:1883")
        }
        other => format!("`{text}`: {}", sentence(other)),
    }
}

/// A flag's value as it was typed.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// `: did you mean …?` with the known word nearest to `word`; just a full stop if none is near.
pub(super) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(|| ".".to_owned(), |it| format!(": did you mean `{it}`?"))
}

/// Rewrites serde's "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(line: &str) -> Option<String> {
    let (key, rest) = line.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known = rest.split('`').skip(1).step_by(2);
    Some(match nearest(key, known) {
        Some(known) => format!("unknown key `{key}`: did you mean `{known}`?"),
        None => format!("unknown key `{key}`, expected {rest}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_comes_with_the_one_that_was_meant() {
        let said = |known: &str| sentence(&format!("unknown field `lisen`, expected {known}"));
        assert_eq!(said("`listen` or `live`"), "unknown key `lisen`: did you mean `listen`?");
        let several = "one of `url`, `bin_dir`, `pool_size`";
        assert_eq!(said(several), format!("unknown key `lisen`, expected {several}"));
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(
            sentence("invalid string\nexpected a quote\n"),
            "invalid string, expected a quote"
        );
    }
}
