//! `[[acl]]` in the configuration: rules as an operator writes them.

use serde::{Deserialize, Serialize};

use super::acl::{Action, Effect, Rule, Who};
use super::pattern::TopicPattern;

/// A rule as an operator writes it. All keys must be there: a rule with a guess in it is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclEntry {
    /// Whom it is about: `*` (everyone), `device` (devices and gateways) or `user:NAME` (the device
    /// or service account of this name).
    pub who: String,
    /// `publish` or `subscribe`.
    pub action: AclAction,
    /// The topics: a filter with `+` and `#`, in which `{device}` as a level stands for the client's
    /// own device, and for those that a gateway speaks for.
    pub topic: String,
    /// Whether it is allowed.
    pub allow: bool,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclAction {
    /// To publish.
    Publish,
    /// To subscribe.
    Subscribe,
}

impl AclEntry {
    /// The rule.
    ///
    /// # Errors
    /// What is wrong with it, beginning with the key.
    pub fn rule(&self) -> Result<Rule, String> {
        let who = match (self.who.as_str(), self.who.strip_prefix("user:")) {
            ("*", _) => Who::Everyone,
            ("device", _) => Who::Devices,
            (_, Some(name)) if !name.is_empty() => Who::User(name.into()),
            (other, _) => {
                return Err(format!("who: `{other}` is neither `*`, `device` nor `user:NAME`"));
            }
        };
        let topic = TopicPattern::new(&self.topic)
            .map_err(|error| format!("topic: `{}`: {error}", self.topic))?;
        let action = match self.action {
            AclAction::Publish => Action::Publish,
            AclAction::Subscribe => Action::Subscribe,
        };
        let effect = if self.allow { Effect::Allow } else { Effect::Deny };
        Ok(Rule { who, action, topic, effect })
    }
}

/// All rules, in their order.
///
/// # Errors
/// What is wrong with the first that is wrong, as `acl[2].topic: …`, counted from 0.
pub fn rules(entries: &[AclEntry]) -> Result<Vec<Rule>, String> {
    let rule =
        |(n, entry): (usize, &AclEntry)| entry.rule().map_err(|error| format!("acl[{n}].{error}"));
    entries.iter().enumerate().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(who: &str, topic: &str) -> AclEntry {
        let action = AclAction::Publish;
        AclEntry { who: who.to_owned(), action, topic: topic.to_owned(), allow: true }
    }

    #[test]
    fn a_wrong_rule_is_named() {
        let wrong = |who: &str, topic: &str| {
            rules(&[entry("*", "a"), entry(who, topic)]).expect_err("wrong")
        };
        assert_eq!(
            wrong("anne", "a"),
            "acl[1].who: `anne` is neither `*`, `device` nor `user:NAME`"
        );
        assert!(wrong("user:", "a").starts_with("acl[1].who: "));
        assert_eq!(
            wrong("*", "a/#/b"),
            "acl[1].topic: `a/#/b`: `#` must be alone in the last level"
        );
        assert!(wrong("*", "x{device}").contains("`{device}` must be alone"));
    }

    #[test]
    fn a_rule_is_read() {
        let rule = entry("user:grafana", "devices/{device}/x").rule().expect("a rule");
        assert_eq!(rule.who, Who::User("grafana".into()));
        assert_eq!((rule.action, rule.effect), (Action::Publish, Effect::Allow));
    }
}
