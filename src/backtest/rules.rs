//! Some of a file's rules, as if the others were not there.

use bellwire_alerts::{RuleSet, nearest};
use bellwire_model::RuleName;

/// Why there is no such part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    /// None of the rules has this name.
    #[error("no rule is named `{name}`{}", hint(.nearest.as_deref()))]
    NoSuchRule {
        /// The name.
        name: RuleName,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// What is left of the text is not understood any more.
    #[error("the rules cannot be taken apart: {0}")]
    Text(String),
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default()
}

/// The rules named `names` of `rules`, with all that they share; all if none is named. A run costs what
/// these cost, however many there are beside.
///
/// # Errors
/// [`PartError`].
pub(crate) fn only(rules: RuleSet, names: &[RuleName]) -> Result<RuleSet, PartError> {
    if names.is_empty()
        || rules.rules().len() == names.len() && names.iter().all(|it| has(&rules, it))
    {
        return Ok(rules);
    }
    for name in names {
        if !has(&rules, name) {
            let known = rules.rules().iter().map(|rule| rule.name().as_str());
            let nearest = nearest(name.as_str(), known).map(str::to_owned);
            return Err(PartError::NoSuchRule { name: name.clone(), nearest });
        }
    }
    existing(&rules, names)
}

/// Those of `names` that are there; maybe none.
///
/// # Errors
/// [`PartError::Text`].
pub(crate) fn existing(rules: &RuleSet, names: &[RuleName]) -> Result<RuleSet, PartError> {
    changed(rules, |table| {
        if let Some(toml::Value::Array(all)) = table.get_mut("rule") {
            all.retain(|rule| {
                let name = rule.get("name").and_then(toml::Value::as_str);
                names.iter().any(|wanted| Some(wanted.as_str()) == name)
            });
        }
    })
}

/// What rules share, such as labels: the text without the rules.
///
/// # Errors
/// [`PartError::Text`].
pub(crate) fn shared(rules: &RuleSet) -> Result<RuleSet, PartError> {
    changed(rules, |table| drop(table.remove("rule")))
}

/// The same rules for readings that are in order: they wait for none that is late, which is most of what a
/// reading costs, and gives the same history.
///
/// # Errors
/// [`PartError::Text`].
pub(crate) fn in_order(rules: &RuleSet) -> Result<RuleSet, PartError> {
    changed(rules, |table| drop(table.insert("lateness".to_owned(), "0s".into())))
}

/// The rules of the text as `change` leaves it.
fn changed(rules: &RuleSet, change: impl FnOnce(&mut toml::Table)) -> Result<RuleSet, PartError> {
    let text = |error: &dyn std::fmt::Display| PartError::Text(error.to_string());
    let mut table: toml::Table =
        rules.text().parse().map_err(|error: toml::de::Error| text(&error))?;
    change(&mut table);
    let part = toml::to_string(&table).map_err(|error| text(&error))?;
    RuleSet::parse(&part).map_err(|errors| text(&errors[0]))
}

fn has(rules: &RuleSet, name: &RuleName) -> bool {
    rules.rule(name.as_str()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[rule]]\nname = 'a'\nwhen = 't > limit'\nparams = { limit = 1.5 }\n\
        [[labels]]\ndevice = 'd*'\nset = { kind = 'x' }\n[[rule]]\nname = 'b'\nwhen = 't < 0'\n";

    fn names(names: &[&str]) -> Vec<RuleName> {
        names.iter().map(|name| RuleName::new(name).unwrap()).collect()
    }

    #[test]
    fn what_is_named_is_left_with_all_that_it_needs() {
        let rules = RuleSet::parse(TEXT).unwrap();
        let part = only(rules, &names(&["a"])).unwrap();
        assert_eq!(part.rules().len(), 1);
        assert_eq!(part.rule("a").unwrap().when(), "t > limit");
        let device = bellwire_model::DeviceId::new("d1").unwrap();
        assert_eq!(part.said_of(&device).get("kind"), Some("x"));
        let rules = RuleSet::parse(TEXT).unwrap();
        let version = rules.version();
        assert_eq!(only(rules, &[]).unwrap().version(), version);
    }

    #[test]
    fn a_name_that_is_not_there_is_answered_with_the_nearest() {
        let text = TEXT.replace("'a'", "'freezer-warm'");
        let wrong = only(RuleSet::parse(&text).unwrap(), &names(&["freezer-worm"])).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "no rule is named `freezer-worm`: did you mean `freezer-warm`?"
        );
        let none = existing(&RuleSet::parse(&text).unwrap(), &names(&["other"])).unwrap();
        assert_eq!(none.rules().len(), 0);
    }
}
