//! One rule by itself: a text that has nothing else in it, and the text of one of a file's rules.

use toml::de::DeTable;

use super::field::Reader;
use super::file;
use super::rule::Rule;
use crate::error::RuleError;

/// The longest text of one rule, in bytes.
pub const RULE_BYTES_MAX: usize = 64 * 1024;

/// Reads a text that has one `[[rule]]` and nothing else, so that it can stand behind other rules.
///
/// # Errors
/// Everything that is wrong with it, by line; never empty.
pub fn read_one(text: &str) -> Result<Rule, Vec<RuleError>> {
    let mut reader = Reader::new(text);
    if text.len() > RULE_BYTES_MAX {
        let message = format!("the rule is longer than {RULE_BYTES_MAX} bytes");
        reader.error(0..0, None, message, None);
        return Err(reader.errors);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        report_others(&mut reader, table.get_ref());
        if !reader.errors.is_empty() {
            return Err(reader.errors);
        }
    }
    let set = file::read(text)?;
    // An array in one line cannot be continued by another rule's `[[rule]]`; a byte order mark stands at
    // a file's beginning only.
    let alone = |text: String| DeTable::parse(&text).is_err();
    if alone(format!("{text}\n[[rule]]")) || alone(format!("[[rule]]\n{text}")) {
        let help = "begin with a line `[[rule]]`, then a key on each line".to_owned();
        reader.error(0..0, None, "the rule is not written as `[[rule]]`", Some(help));
        return Err(reader.errors);
    }
    Ok(set.rules.into_iter().next().expect("counted above"))
}

/// Reports what is there beside the one rule.
fn report_others(reader: &mut Reader<'_>, table: &DeTable<'_>) {
    for (key, _) in table {
        let (message, help) = match key.get_ref().as_ref() {
            "rule" => continue,
            name @ ("labels" | "lateness" | "inhibit" | "escalation") => (
                format!("`{name}` does not belong to a rule"),
                "it is for all rules: it stands in the rules file".to_owned(),
            ),
            name => (
                format!("`{name}` stands outside of a rule"),
                "begin the rule with a line `[[rule]]`".to_owned(),
            ),
        };
        reader.error(key.span(), None, message, Some(help));
    }
    if !reader.errors.is_empty() {
        return;
    }
    let Some(rules) = table.get("rule") else {
        let help = "begin with a line `[[rule]]`".to_owned();
        reader.error(0..0, None, "there is no rule", Some(help));
        return;
    };
    // What is no array is reported as such where rules are read.
    let Some(rules) = rules.get_ref().as_array() else { return };
    if rules.is_empty() {
        reader.error(0..0, None, "there is no rule", None);
    } else if let Some(second) = rules.get(1) {
        let help = "each rule is made and changed by itself".to_owned();
        reader.error(second.span(), None, "there is a second rule", Some(help));
    }
}

/// The part of a rules file that is the rule `name`, as it is written there; `None` if there is none,
/// or the file is no TOML.
#[must_use]
pub fn text_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let table = DeTable::parse(text).ok()?;
    let table = table.get_ref();
    let starts = |key: &str| -> Vec<usize> {
        let array = table.get(key).and_then(|value| value.get_ref().as_array());
        array.into_iter().flat_map(|it| it.iter()).map(|entry| entry.span().start).collect()
    };
    let rules = table.get("rule")?.get_ref().as_array()?;
    let entry = rules.iter().find(|rule| {
        let found = rule.get_ref().as_table().and_then(|rule| rule.get("name"));
        found.and_then(|found| found.get_ref().as_str()) == Some(name)
    })?;
    let start = entry.span().start;
    if !text[start..].starts_with("[[") {
        return text.get(entry.span());
    }
    let others = ["rule", "labels", "inhibit", "escalation"].into_iter().flat_map(starts);
    let after = others.filter(|at| *at > start).min();
    Some(without_tail(&text[start..after.unwrap_or(text.len())]))
}

/// Without the comments and empty lines at its end: they are about what follows.
fn without_tail(mut text: &str) -> &str {
    loop {
        text = text.trim_end();
        let last = text.rfind('\n').map_or(0, |at| at + 1);
        if last == 0 || !text[last..].trim_start().starts_with('#') {
            return text;
        }
        text = &text[..last];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOT: &str = "[[rule]]\nname = 'hot'\nwhen = 't > limit' # degrees\n";

    fn check(text: &str, place: (usize, usize), message: &str) {
        let errors = read_one(text).expect_err(text);
        let found = (errors[0].line, errors[0].column);
        assert_eq!((found, errors[0].message.as_str()), (place, message), "{text}");
    }

    #[test]
    fn one_rule_is_read() {
        let text = format!("# Why.\n{HOT}[rule.params]\nlimit = 3\n");
        assert_eq!(read_one(&text).expect("right").name().as_str(), "hot");
    }

    #[test]
    fn what_is_beside_the_rule_is_reported_with_its_place() {
        check("", (1, 1), "there is no rule");
        check("rule = []", (1, 1), "there is no rule");
        check("name = 'a'\nwhen = 't > 1'", (1, 1), "`name` stands outside of a rule");
        check("lateness = '1s'\n", (1, 1), "`lateness` does not belong to a rule");
        let two = "[[rule]]\nname='a'\nwhen='t>1'\n[[rule]]\nname='b'\nwhen='t>1'\n";
        check(two, (4, 1), "there is a second rule");
        let labels = "[[rule]]\nname='a'\nwhen='t>1'\n[[labels]]\ndevice='*'\nset={a='b'}\n";
        check(labels, (4, 3), "`labels` does not belong to a rule");
        check(
            "rule = [{ name = 'a', when = 't > 1' }]",
            (1, 1),
            "the rule is not written as `[[rule]]`",
        );
        check("[[rule]]\nname='a'\nwhen='t >> 1'\n", (3, 10), "unexpected `>`");
        check("[[rule]\n", (1, 8), "unclosed array table, expected `]`");
        check(
            &format!("{}{HOT}", "#\n".repeat(40_000)),
            (1, 1),
            "the rule is longer than 65536 bytes",
        );
        check("rule = 5", (1, 8), "`rule` must be an array of tables, not a number");
    }

    #[test]
    fn a_rule_is_as_it_is_for_the_device() {
        let text = "[[rule]]\nname = 'hot'\nwhen = 't > limit'\nselect = \"kind = 'f'\"\n\
                    params = { limit = 3 }\n[[rule.override]]\nselect = \"device = 'f-1'\"\n\
                    params = { limit = 9 }\n[[labels]]\ndevice = 'f-*'\nset = { kind = 'f' }\n";
        let rules = crate::RuleSet::parse(text).expect("right");
        let device = |name: &str| bellwire_model::DeviceId::new(name).expect("valid");
        let none = bellwire_model::Registry::default();
        assert!(rules.rule_for("hot", &device("x"), &none).is_none());
        let (one, two) = (device("f-1"), device("f-2"));
        let of = |device| rules.rule_for("hot", device, &none).expect("chosen");
        assert!(!of(&one).decides_like(of(&two)));
        assert!(of(&two).decides_like(rules.rule("hot").expect("there")));
        assert!(rules.rule_for("cold", &one, &none).is_none());
    }

    #[test]
    fn a_rule_is_found_in_a_file() {
        let text = format!(
            "lateness = '2s'\n\n# Of hot ones.\n{HOT}[rule.params]\nlimit = 3\n\n# Of cold ones.\n\n\
             [[labels]]\ndevice = '*'\nset = {{ a = 'b' }}\n[[rule]]\nname = 'cold'\nwhen = 't < 0'\n\
             [[inhibit]]\nsource = 'a=b'\ntarget = 'a=c'\n"
        );
        let hot = "[[rule]]\nname = 'hot'\nwhen = 't > limit' # degrees\n[rule.params]\nlimit = 3";
        assert_eq!(text_of(&text, "hot"), Some(hot));
        assert_eq!(text_of(&text, "cold"), Some("[[rule]]\nname = 'cold'\nwhen = 't < 0'"));
        assert_eq!(text_of(&text, "none"), None);
        let inline = "rule = [{ name = 'a', when = 't > 1' }]";
        assert_eq!(text_of(inline, "a"), Some("{ name = 'a', when = 't > 1' }"));
        assert_eq!(text_of("[[", "a"), None);
    }
}
