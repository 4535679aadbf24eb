//! Any text as a rule: it is a rule, or an error that points into the file. Never a panic.

use bellwire_alerts::{RuleError, RuleSet};
use proptest::prelude::*;

/// What is said of a text must point into it and be printable.
fn check(text: &str) {
    let Err(errors) = RuleSet::parse(text) else { return };
    assert!(!errors.is_empty());
    for error in &errors {
        let RuleError { line, column, length, .. } = error;
        let n_lines = text.split('\n').count();
        assert!((1..=n_lines).contains(line), "{error:?} in {text:?}");
        let shown = text.split('\n').nth(line - 1).expect("a line");
        assert!((1..=shown.chars().count() + 1).contains(column), "{error:?} in {text:?}");
        assert!(*length >= 1);
        let rendered = error.render("rules.toml", text);
        assert!(rendered.starts_with("error: ") && rendered.contains("rules.toml"));
        assert!(rendered.lines().count() >= 5, "{rendered}");
    }
}

/// Words of the language in any order.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a", "b", "limit", "last", "abs", "avg", "(", ")", "(", ")", ",", "and", "or", "not", "+",
        "-", "*", "/", "%", ">", ">=", "<", "=", "!=", "=~", "1", "0", "2.5", "5m", "''x''",
        "true", "`m`", "{", "}", "{value}", "\\n", "ü", "°",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![words(), "\\PC{0,40}"]
}

proptest! {
    #[test]
    fn any_text_in_any_place_is_a_rule_or_an_error(
        name in value(), when in value(), clear in value(), select in value(), summary in value(),
    ) {
        for quote in ["\"", "'", "\"\"\"", "'''", "\"\"\"\n"] {
            let close = quote.trim_end();
            check(&format!(
                "[[rule]]\nname = {quote}{name}{close}\nwhen = {quote}{when}{close}\n\
                 clear = {quote}{clear}{close}\nselect = {quote}{select}{close}\n\
                 summary = {quote}{summary}{close}\nparams = {{ limit = 3 }}\n"
            ));
        }
    }

    #[test]
    fn any_text_is_a_file_or_an_error(text in "(\\PC|\n|\"|'|=|\\[|\\]){0,80}") {
        check(&text);
    }
}
