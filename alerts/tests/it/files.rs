//! Rules files: what they mean, and what is said of those that mean nothing.

use std::fmt::Write as _;
use std::time::Duration;

use bellwire_alerts::{RuleError, RuleSet};
use bellwire_model::Severity;

/// The errors of a file: `line:column message (help)`.
fn errors(text: &str) -> Vec<String> {
    let Err(errors) = RuleSet::parse(text) else { return Vec::new() };
    let short = |error: &RuleError| {
        let help = error.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}{help}", error.line, error.column, error.message)
    };
    errors.iter().map(short).collect()
}

#[test]
fn a_rule_says_what_was_written() {
    let text = r#"
[[rule]]
name = "freezer-too-warm"
when = "temperature > limit"
clear = "temperature < limit - 2"
for = "2m"
keep_firing_for = "1m"
severity = "critical"
select = "kind = 'freezer' and site =~ 'berlin-.*'"
params = { limit = -15.0 }
summary = "{device} is at {value} °C"
"#;
    let set = RuleSet::parse(text).expect("sound");
    let rule = set.rule("freezer-too-warm").expect("it is there");
    assert_eq!(rule.when(), "temperature > limit");
    assert_eq!(rule.clear(), Some("temperature < limit - 2"));
    assert_eq!(rule.hold(), Duration::from_mins(2));
    assert_eq!(rule.keep_firing(), Duration::from_mins(1));
    assert_eq!(rule.max_gap(), Duration::from_mins(5));
    assert_eq!(rule.severity(), Severity::Critical);
    assert_eq!(rule.select(), Some("kind = 'freezer' and site =~ 'berlin-.*'"));
    assert_eq!(rule.summary(), "{device} is at {value} °C");
    assert_eq!(rule.metrics().iter().map(|m| m.as_str()).collect::<Vec<_>>(), ["temperature"]);
    assert_eq!(set.rules().len(), 1);
}

#[test]
fn what_is_not_written_has_a_default() {
    let set = RuleSet::parse("[[rule]]\nname = 'r'\nwhen = 'v > 1'\nfor = '2h'").expect("sound");
    let rule = &set.rules()[0];
    assert_eq!(rule.severity(), Severity::Warning);
    assert_eq!(rule.keep_firing(), Duration::ZERO);
    assert_eq!(rule.max_gap(), Duration::from_hours(2), "at least `for`");
    assert_eq!((rule.clear(), rule.select()), (None, None));
}

#[test]
fn a_version_is_a_hash_of_the_text() {
    assert_eq!(RuleSet::parse("").expect("sound").version(), 0xcbf2_9ce4_8422_2325);
    assert_ne!(RuleSet::parse("# a").expect("sound").version(), 0xcbf2_9ce4_8422_2325);
    assert_eq!(RuleSet::default().version(), 0);
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = r#"
[[rule]]
name = "a"
wen = "v > 1"
severity = "fatal"
for = 5
keep_firing_for = "5"

[[rule]]
name = "b"
when = "avg(v, 5m) > limt and lst(w) > 1"
clear = "v >> 1"
select = "kind = freezer"
params = { limit = 1, and = 2, bad = [1] }
summary = "{devise}"

[[rule]]
name = "b"
when = "v"
severity = "warn"

[[labels]]
device = "f-*"
set = { device = "x", "a-b" = "y", site = 5 }

[[labels]]
set = {}

[rules]
"#;
    let duration =
        "a duration is a number and a unit of `ms`, `s`, `m`, `h`, `d`, `w`: `30s`, `5m`, `1h30m`";
    let name = "letters, digits and `_`, and begins with no digit";
    assert_eq!(
        errors(text),
        [
            "2:1 the rule lacks `when`".to_owned(),
            "4:1 unknown key `wen` (did you mean `when`?)".to_owned(),
            "5:12 unknown severity `fatal` (the severities are `info`, `warning` and `critical`)"
                .to_owned(),
            format!("6:7 `for` must be a duration in quotes, not a number ({duration})"),
            format!("7:19 the duration `5` lacks a unit ({duration})"),
            "11:31 unknown function `lst` (did you mean `last`?)".to_owned(),
            "12:13 unexpected `>` (a metric, a number or `(` should be here)".to_owned(),
            "13:18 unexpected `freezer` (a text in single quotes should be here, as in `kind = \
             'freezer'`)"
                .to_owned(),
            "14:23 `and` cannot be a parameter (the language has another use for this word)"
                .to_owned(),
            "14:38 `params` must be finite numbers, booleans or texts, not an array".to_owned(),
            "15:13 unknown place `{devise}` (did you mean `device`?)".to_owned(),
            "20:12 unknown severity `warn` (did you mean `warning`?)".to_owned(),
            "24:9 `device` cannot be a label (every device has it already: it is its name)"
                .to_owned(),
            format!("24:23 `a-b` cannot be a label (a label's name has {name})"),
            "24:43 `set` must be a text, not a number".to_owned(),
            "26:1 the entry lacks `device`".to_owned(),
            "29:2 unknown key `rules` (did you mean `rule`?)".to_owned(),
        ]
    );
}

#[test]
fn an_unused_parameter_is_a_slip() {
    assert_eq!(
        errors("[[rule]]\nname = 'r'\nwhen = 'v > limt'\nparams = { limit = 1, x = 2 }"),
        [
            "4:12 the parameter `limit` is not used (the rule uses `limt`, which is taken for a \
             metric)",
            "4:23 the parameter `x` is not used (use it or drop it)",
        ]
    );
}

#[test]
fn a_gap_of_nothing_is_refused() {
    assert_eq!(
        errors("[[rule]]\nname = 'r'\nwhen = 'v'\nmax_gap = '0s'"),
        ["4:11 `max_gap` is zero (name the longest silence that may pass between two readings)"]
    );
}

#[test]
fn names_are_unique() {
    let text = "[[rule]]\nname = 'r'\nwhen = 'v'\n[[rule]]\nname = 'r'\nwhen = 'v'\n";
    assert_eq!(
        errors(text),
        ["5:8 there is another rule `r` above (alerts are known by their rule's name: give each \
          its own)"]
    );
}

#[test]
fn what_is_no_toml_says_where() {
    let errors = errors("[[rule]]\nname = \n");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("2:7 ") || errors[0].starts_with("2:8 "), "{errors:?}");
    assert_eq!(
        self::errors("rule = 5"),
        ["1:8 `rule` must be an array of tables, not a number (write each as `[[rule]]`)"]
    );
    assert_eq!(
        self::errors("[rule]\nname = 'r'"),
        ["1:1 `rule` must be an array of tables, not a table (write each as `[[rule]]`)"]
    );
}

#[test]
fn a_place_in_a_text_of_several_lines_is_found() {
    let text = "[[rule]]\nname = 'r'\nwhen = \"\"\"\nv > 1\n  and w >\"\"\"\n";
    let errors = RuleSet::parse(text).expect_err("it ends too early");
    let error = &errors[0];
    assert_eq!((error.line, error.column), (5, 10));
    assert_eq!(error.in_expression, Some((2, 10)));
    assert_eq!((error.rule.as_deref(), error.key), (Some("r"), Some("when")));
    assert_eq!(
        error.to_string(),
        "line 5, column 10: `when` of rule `r`: the expression ends where a metric, a number or \
         `(` should be"
    );
}

#[test]
fn hostile_files_are_refused_in_bounded_time() {
    let deep = format!("[[rule]]\nname = 'r'\nwhen = '{}v'", "(".repeat(60_000));
    assert_eq!(errors(&deep), ["3:73 nested deeper than 64 levels"]);
    let bomb = "[[rule]]\nname = 'r'\nwhen = 'v'\nselect = \"a =~ '(x{900}){900}'\"";
    assert_eq!(errors(bomb).len(), 1);
    let nested = format!("x = {}", "[".repeat(100_000));
    assert!(!errors(&nested).is_empty());
    let many = "[[rule]]\n".repeat(10_001);
    assert_eq!(errors(&many), ["1:1 10001 rules are more than the limit of 10000"]);
    let long = " ".repeat(16 * 1024 * 1024 + 1);
    assert_eq!(errors(&long), ["1:1 the file is longer than 16777216 bytes"]);
}

#[test]
fn ten_thousand_rules_are_fine() {
    let mut text = String::new();
    for n in 0..10_000 {
        let _ = writeln!(
            text,
            "[[rule]]\nname = 'r{n}'\nwhen = 'metric{n} > {n}'\nselect = \"device = 'd{n}'\""
        );
    }
    let set = RuleSet::parse(&text).expect("sound");
    assert_eq!(set.rules().len(), 10_000);
    let mut world = crate::world::World::new(&text);
    world.read("d77", 0, &[("metric77", 78.0), ("metric78", 99.0)]);
    assert_eq!(world.open(), ["d77 r77 firing"]);
}

#[test]
fn an_error_is_shown_as_a_compiler_would() {
    let text = "[[rule]]\nname = \"r\"\nwhen = \"\tavgg(temperature, 5m) > limit\"\n";
    let errors = RuleSet::parse(text).expect_err("unknown function");
    assert_eq!(
        errors[0].render("rules.toml", text),
        "\
error: unknown function `avgg`
 --> rules.toml:3:10
  |
3 | when = \" avgg(temperature, 5m) > limit\"
  |          ^^^^
  = help: did you mean `avg`?
  = note: in `when` of rule `r`
"
    );
}
