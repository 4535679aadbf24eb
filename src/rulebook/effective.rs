//! The rules in force: the rules file's, and behind them those made by API, by name; one text.
//!
//! The file wins: a rule made by API whose name is in the file is set aside until it is not. So is one
//! that this version does not understand. Without rules made by API the text is the file's, byte for byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwire_alerts::{FILE_BYTES_MAX, RULES_MAX, Rule, RuleError, RuleSet, read_one};
use bellwire_model::RuleName;

use super::history::History;

/// A rules file, read and checked; empty if there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileRules {
    pub(crate) text: Arc<str>,
    pub(crate) set: Arc<RuleSet>,
}

impl From<(String, RuleSet)> for FileRules {
    fn from((text, set): (String, RuleSet)) -> Self {
        Self { text: text.into(), set: Arc::new(set) }
    }
}

impl FileRules {
    pub(crate) fn has(&self, rule: &str) -> bool {
        self.set.rule(rule).is_some()
    }
}

/// What is in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effective {
    pub(crate) set: Arc<RuleSet>,
    /// Rules made by API that are enabled and not in force, and why.
    pub(crate) aside: BTreeMap<RuleName, Aside>,
}

/// Why an enabled rule is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// The rules file has one of that name.
    InFile,
    /// It is not understood: the first mistake.
    NotUnderstood(String),
}

/// Why the rules together are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    /// There are too many.
    #[error("there would be {n_rules} rules, and at most {RULES_MAX} may be in force")]
    TooMany { n_rules: usize },
    /// They are too long.
    #[error(
        "all rules together would have {n_bytes} bytes, and at most {FILE_BYTES_MAX} are allowed"
    )]
    TooLong { n_bytes: usize },
    /// Rules cannot follow what is in the file.
    #[error("rules made by API cannot follow the rules file: {0}")]
    Text(Box<RuleError>),
}

/// A rule that is to be as it is not yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) rule: &'a RuleName,
    /// `None`: not in force.
    pub(crate) toml: Option<&'a str>,
}

/// Puts together what is in force, if `draft` is as it says.
///
/// # Errors
/// [`Misfit`]; nothing is left out to make it fit but what is aside.
pub(crate) fn compose(
    file: &FileRules,
    history: &History,
    draft: Option<Draft<'_>>,
) -> Result<Effective, Misfit> {
    let mut rules: BTreeMap<&RuleName, &str> = history
        .rules()
        .filter(|(_, version, _)| version.standing.is_enabled())
        .map(|(name, _, toml)| (name, toml))
        .collect();
    if let Some(draft) = draft {
        match draft.toml {
            Some(toml) => rules.insert(draft.rule, toml),
            None => rules.remove(draft.rule),
        };
    }
    let mut aside = BTreeMap::new();
    rules.retain(|name, _| {
        let is_free = !file.has(name.as_str());
        if !is_free {
            aside.insert((*name).clone(), Aside::InFile);
        }
        is_free
    });
    match parse(file, &rules) {
        Ok(set) => Ok(Effective { set, aside }),
        Err(misfit) => {
            let n_before = aside.len();
            rules.retain(|name, toml| match read_one(toml) {
                Ok(_) => true,
                Err(errors) => {
                    aside.insert((*name).clone(), Aside::NotUnderstood(errors[0].to_string()));
                    false
                }
            });
            if aside.len() == n_before {
                return Err(misfit);
            }
            Ok(Effective { set: parse(file, &rules)?, aside })
        }
    }
}

fn parse(file: &FileRules, rules: &BTreeMap<&RuleName, &str>) -> Result<Arc<RuleSet>, Misfit> {
    if rules.is_empty() {
        return Ok(Arc::clone(&file.set));
    }
    let n_rules = file.set.rules().len() + rules.len();
    if n_rules > RULES_MAX {
        return Err(Misfit::TooMany { n_rules });
    }
    let text = together(&file.text, rules.values().copied());
    if text.len() > FILE_BYTES_MAX {
        return Err(Misfit::TooLong { n_bytes: text.len() });
    }
    let set = RuleSet::parse(&text)
        .map_err(|mut errors| Misfit::Text(Box::new(errors.swap_remove(0))))?;
    Ok(Arc::new(set))
}

/// The file's text and the rules behind it.
pub(crate) fn together<'a>(file: &str, rules: impl Iterator<Item = &'a str>) -> String {
    let mut text = file.to_owned();
    for rule in rules {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(rule);
    }
    text
}

/// The rules that are there and not in force, compiled, for those who show them.
pub(crate) fn others(history: &History, effective: &Effective) -> BTreeMap<RuleName, Rule> {
    let is_other = |name: &RuleName, enabled: bool| !enabled || effective.aside.contains_key(name);
    history
        .rules()
        .filter(|(name, version, _)| is_other(name, version.standing.is_enabled()))
        .filter_map(|(name, _, toml)| Some((name.clone(), read_one(toml).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;
    use crate::rulebook::{Deed, Standing, Version};

    fn rule(name: &str, when: &str) -> String {
        format!("[[rule]]\nname = '{name}'\nwhen = '{when}'")
    }

    fn file(text: &str) -> FileRules {
        FileRules::from((text.to_owned(), RuleSet::parse(text).unwrap()))
    }

    fn history(rules: &[(&str, &str, Standing)]) -> History {
        let mut history = History::default();
        for (name, toml, standing) in rules {
            let (seq, number) = history.next(name);
            let version = Version {
                seq,
                number,
                at: Timestamp::from_secs(1),
                author: "a".into(),
                comment: None,
                deed: Deed::Create,
                toml: Some((*toml).into()),
                standing: *standing,
            };
            history.push(&RuleName::new(name).unwrap(), version);
        }
        history
    }

    fn names(effective: &Effective) -> Vec<&str> {
        effective.set.rules().iter().map(|rule| rule.name().as_str()).collect()
    }

    #[test]
    fn rules_stand_behind_the_file_by_name() {
        let text = format!("lateness = '5s'\n{} # end", rule("z", "t > 1"));
        let file = file(&text);
        let alone = compose(&file, &History::default(), None).unwrap();
        assert_eq!(alone.set.text(), text, "byte for byte");
        let (b, a, c) = (rule("b", "t > 2"), rule("a", "t > 3"), rule("c", "t > 4"));
        let history = history(&[
            ("b", &b, Standing::Enabled),
            ("a", &a, Standing::Enabled),
            ("c", &c, Standing::Disabled),
        ]);
        let both = compose(&file, &history, None).unwrap();
        assert_eq!(names(&both), ["z", "a", "b"]);
        assert_eq!(both.set.text(), format!("{text}\n\n{a}\n\n{b}"));
        let name = RuleName::new("b").unwrap();
        let without = compose(&file, &history, Some(Draft { rule: &name, toml: None })).unwrap();
        assert_eq!(names(&without), ["z", "a"]);
        let changed = rule("b", "t > 9");
        let draft = Draft { rule: &name, toml: Some(&changed) };
        let changed = compose(&file, &history, Some(draft)).unwrap();
        assert_eq!(changed.set.rule("b").unwrap().when(), "t > 9");
        assert_eq!(
            others(&history, &both).into_keys().collect::<Vec<_>>(),
            [RuleName::new("c").unwrap()]
        );
    }

    #[test]
    fn the_file_wins_and_one_bad_rule_stops_no_other() {
        let file = file(&rule("a", "t > 1"));
        let (a, b) = (rule("a", "t > 2"), rule("b", "t > 3"));
        let history = history(&[
            ("a", &a, Standing::Enabled),
            ("b", &b, Standing::Enabled),
            ("c", "[[rule]]\nname = 'c'\nwhen = 'later(t) > 1'", Standing::Enabled),
        ]);
        let effective = compose(&file, &history, None).unwrap();
        assert_eq!(names(&effective), ["a", "b"]);
        assert_eq!(effective.set.rule("a").unwrap().when(), "t > 1");
        let aside: Vec<_> = effective.aside.values().collect();
        assert_eq!(aside[0], &Aside::InFile);
        assert!(matches!(aside[1], Aside::NotUnderstood(why) if why.contains("later")));
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let one = rule("b", "t > 3");
        let history = history(&[("b", &one, Standing::Enabled)]);
        let inline = file("rule = [{ name = 'a', when = 't > 1' }]");
        assert!(matches!(compose(&inline, &history, None), Err(Misfit::Text(_))));
        let long = file(&format!("#{}", "x".repeat(FILE_BYTES_MAX - 20)));
        assert!(matches!(compose(&long, &history, None), Err(Misfit::TooLong { .. })));
        let many: Vec<_> = (0..RULES_MAX).map(|n| rule(&n.to_string(), "t > 1")).collect();
        let many = file(&many.join("\n"));
        let misfit = compose(&many, &history, None).unwrap_err();
        assert_eq!(misfit, Misfit::TooMany { n_rules: RULES_MAX + 1 });
    }
}
