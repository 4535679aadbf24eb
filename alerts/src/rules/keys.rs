//! The keys of a rule: what the reader takes, and what editors offer.

use crate::lang::words::Word;

/// All of them.
pub(crate) const KEYS: [Word; 20] = [
    Word::new("name", r#"name = "freezer-warm""#, "alerts are known by it"),
    Word::new("when", r#"when = "temperature > -15""#, "the condition"),
    Word::new(
        "levels",
        r#"levels = { warning = "temperature > 80", critical = "temperature > 90" }"#,
        "a condition for each severity, in place of `when` and `severity`",
    ),
    Word::new("clear", r#"clear = "temperature < -17""#, "what ends a firing alert"),
    Word::new("for", r#"for = "2m""#, "how long the condition must hold before the alert fires"),
    Word::new("repeat", "repeat = 3", "in how many readings in a row the condition must hold"),
    Word::new(
        "keep_firing_for",
        r#"keep_firing_for = "1m""#,
        "how long the alert stays after it has cleared",
    ),
    Word::new("max_gap", r#"max_gap = "5m""#, "the longest silence that does not break `for`"),
    Word::new("severity", r#"severity = "critical""#, "`info`, `warning` or `critical`"),
    Word::new("select", r#"select = "kind = 'freezer'""#, "which devices, by label"),
    Word::new("params", "params = { limit = -15 }", "names for numbers, texts and booleans"),
    Word::new("override", "[[rule.override]]", "other parameters for some devices"),
    Word::new(
        "no_data",
        r#"no_data = "alert""#,
        "when no reading comes that the rule needs: `keep`, `alert` or `resolve`",
    ),
    Word::new("no_data_after", r#"no_data_after = "5m""#, "after how long without a reading"),
    Word::new(
        "on_error",
        r#"on_error = "alert""#,
        "when a metric is of the wrong kind: `alert` or `keep`",
    ),
    Word::new("flapping", "flapping = true", "holds an alert whose verdict changes all the time"),
    Word::new("active", r#"active = "mon-fri 06:00-22:00""#, "when the rule is in force"),
    Word::new("time_zone", r#"time_zone = "Europe/Berlin""#, "the zone of `active`"),
    Word::new("latch", "latch = true", "an alert that is over stays until it is acknowledged"),
    Word::new("summary", r#"summary = "{device} is at {value}""#, "what operators read"),
];

/// Their names.
pub(super) const NAMES: [&str; KEYS.len()] = {
    let mut names = [""; KEYS.len()];
    let mut i = 0;
    while i < KEYS.len() {
        names[i] = KEYS[i].name;
        i += 1;
    }
    names
};
