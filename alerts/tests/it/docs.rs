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
