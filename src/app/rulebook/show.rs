//! How rules and their versions are shown.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_alerts::{Rule, text_of};
use bellwire_api::ports::{LastChange, RuleDetail, RuleInfo, RuleSource, RuleVersion};
use bellwire_model::{RuleName, Severity};

use crate::rulebook::Version;
use crate::rulebook::effective::{Aside, Effective, FileRules};
use crate::rulebook::history::History;

/// All that is known of the rules.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) file: FileRules,
    pub(super) history: History,
    pub(super) effective: Effective,
    /// Those made by API that are not in force, as far as they are understood.
    pub(super) others: BTreeMap<RuleName, Rule>,
}

impl Shown {
    /// Those of the file in its order, then those made by API, by name.
    pub(super) fn list(&self) -> Vec<RuleInfo> {
        let of_file = self.file.set.rules().iter().map(|rule| self.of_file(rule));
        let made = self.history.rules().filter(|(name, _, _)| !self.file.has(name.as_str()));
        of_file.chain(made.map(|(name, version, _)| self.made(name, version))).collect()
    }

    pub(super) fn rule(&self, name: &RuleName) -> Option<RuleDetail> {
        if let Some(rule) = self.file.set.rule(name.as_str()) {
            let toml = text_of(&self.file.text, name.as_str()).unwrap_or_default().to_owned();
            return Some(RuleDetail { info: self.of_file(rule), toml });
        }
        let version = self.history.current(name.as_str())?;
        let toml = version.toml.as_deref().unwrap_or_default().to_owned();
        Some(RuleDetail { info: self.made(name, version), toml })
    }

    /// Every change of a rule that is kept, oldest first.
    pub(super) fn versions(&self, name: &RuleName) -> Option<Vec<RuleVersion>> {
        let versions = self.history.versions(name.as_str())?;
        let before = std::iter::once(None).chain(versions.iter().map(|it| it.toml.clone()));
        let shown = versions.iter().zip(before).map(|(version, before)| RuleVersion {
            number: version.number,
            at: version.at,
            author: version.author.to_string(),
            comment: version.comment.as_deref().map(str::to_owned),
            deed: version.deed.label(),
            enabled: version.standing.is_enabled(),
            before,
            after: version.toml.clone(),
        });
        Some(shown.collect())
    }

    fn of_file(&self, rule: &Rule) -> RuleInfo {
        let mut info = info(rule, self.effective.set.version());
        if self.history.current(rule.name().as_str()).is_some() {
            let problem = "a rule of this name that was made by API is set aside";
            info.problem = Some(problem.to_owned());
        }
        info
    }

    fn made(&self, name: &RuleName, version: &Version) -> RuleInfo {
        let rule = self.effective.set.rule(name.as_str()).or_else(|| self.others.get(name));
        let hash = self.effective.set.version();
        let mut info = rule.map_or_else(|| not_understood(name, hash), |rule| info(rule, hash));
        info.source = RuleSource::Api;
        info.enabled = version.standing.is_enabled();
        info.problem = self.effective.aside.get(name).map(|aside| match aside {
            Aside::InFile => "the rules file has a rule of this name".to_owned(),
            Aside::NotUnderstood(why) => format!("it is not understood: {why}"),
        });
        info.changed = Some(LastChange {
            revision: version.number,
            at: version.at,
            author: version.author.to_string(),
        });
        info
    }
}

fn info(rule: &Rule, version: u64) -> RuleInfo {
    RuleInfo {
        name: rule.name().clone(),
        severity: rule.severity(),
        when: rule.when().to_owned(),
        clear: rule.clear().map(ToOwned::to_owned),
        hold: duration(rule.hold()),
        keep_firing_for: duration(rule.keep_firing()),
        select: rule.select().map(ToOwned::to_owned),
        summary: Some(rule.summary().to_owned()),
        version,
        source: RuleSource::File,
        enabled: true,
        problem: None,
        changed: None,
    }
}

/// A rule of which there is only the text.
fn not_understood(name: &RuleName, version: u64) -> RuleInfo {
    RuleInfo {
        name: name.clone(),
        severity: Severity::Warning,
        when: String::new(),
        clear: None,
        hold: None,
        keep_firing_for: None,
        select: None,
        summary: None,
        version,
        source: RuleSource::Api,
        enabled: false,
        problem: None,
        changed: None,
    }
}

/// A duration as rules write it; absent if it is zero.
fn duration(duration: Duration) -> Option<String> {
    let ms = duration.as_millis();
    match ms {
        0 => None,
        _ if ms.is_multiple_of(3_600_000) => Some(format!("{}h", ms / 3_600_000)),
        _ if ms.is_multiple_of(60_000) => Some(format!("{}m", ms / 60_000)),
        _ if ms.is_multiple_of(1_000) => Some(format!("{}s", ms / 1_000)),
        _ => Some(format!("{ms}ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_their_largest_whole_unit() {
        let shown = |ms| duration(Duration::from_millis(ms));
        assert_eq!(shown(0), None);
        assert_eq!(shown(120_000).as_deref(), Some("2m"));
        assert_eq!(shown(90_000).as_deref(), Some("90s"));
        assert_eq!(shown(7_200_000).as_deref(), Some("2h"));
        assert_eq!(shown(1_500).as_deref(), Some("1500ms"));
    }
}
