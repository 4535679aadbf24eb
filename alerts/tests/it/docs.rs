//! The reference page says what the parser knows.

const PAGE: &str = include_str!("../../../docs/reference/rules.md");

#[test]
fn the_reference_has_the_table_of_functions() {
    for table in [bellwire_alerts::function_reference(), bellwire_alerts::aggregate_reference()] {
        assert!(
            PAGE.contains(&table),
            "put what `cargo run -p bellwire-alerts --example function_reference` prints into \
             docs/reference/rules.md:\n{table}"
        );
    }
}

#[test]
fn the_example_of_the_reference_is_right() {
    let example = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let rules = bellwire_alerts::RuleSet::parse(example.expect("an example"));
    assert_eq!(rules.map(|rules| rules.rules().len()).map_err(|errors| errors.len()), Ok(1));
}

#[test]
fn the_words_of_rules_are_understood_and_explained() {
    let words = bellwire_alerts::words();
    for key in &words.keys {
        let (name, usage) = (key.name, key.usage);
        assert!(
            PAGE.contains(&format!("| `{name}` | ")),
            "docs/reference/rules.md has no `{name}`"
        );
        let before: &[&str] = match name {
            "name" => &["when"],
            "when" | "levels" => &["name"],
            "time_zone" => &["name", "when", "active"],
            "no_data_after" => &["name", "when", "no_data"],
            _ => &["name", "when"],
        };
        let line =
            |name: &&str| words.keys.iter().find(|it| it.name == *name).expect("a key").usage;
        let lines: Vec<_> = before.iter().map(line).chain([usage]).collect();
        let mut text = format!("[[rule]]\n{}\n", lines.join("\n"));
        match name {
            "params" => text = text.replace("> -15", "> limit"),
            "override" => {
                text = text
                    .replace("> -15", "> limit")
                    .replace("[[rule.o", "params.limit = 1\n[[rule.o");
                text.push_str("select = \"device = 'x'\"\nparams = { limit = 2 }\n");
            }
            _ => {}
        }
        let read = bellwire_alerts::RuleSet::parse(&text);
        assert!(read.is_ok(), "{text}\n{:?}", read.err());
    }
    for word in words.functions.iter().chain(&words.aggregates) {
        assert!(word.usage.starts_with(word.name), "{word:?}");
        assert!(PAGE.contains(&format!("| `{}` | {} |", word.usage, word.gives)), "{word:?}");
    }
    for keyword in words.keywords {
        assert!(PAGE.contains(keyword), "docs/reference/rules.md has no `{keyword}`");
    }
}
