//! The port for the rules: those of the file, which are only shown, and those made by API.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use bellwire_model::{Alert, RuleName, Severity, Timestamp};

use super::PortError;

/// Where a rule is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// In the rules file: the API shows it and does not change it.
    File,
    /// Made by API.
    Api,
}

impl RuleSource {
    /// Its word in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }
}

/// A rule, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its name.
    pub name: RuleName,
    /// How bad its alerts are.
    pub severity: Severity,
    /// The condition.
    pub when: String,
    /// The condition that ends it, where it is not simply `when` being false.
    pub clear: Option<String>,
    /// How long `when` must hold, as written: `2m`. The file's `for`.
    pub hold: Option<String>,
    /// How long the alert goes on after clearing, as written.
    pub keep_firing_for: Option<String>,
    /// Which devices it watches; all if absent.
    pub select: Option<String>,
    /// What its alerts say.
    pub summary: Option<String>,
    /// A hash of the text of all rules in force; transitions carry it.
    pub version: u64,
    /// Where it is kept.
    pub source: RuleSource,
    /// Whether it is to be judged. Those of the file are.
    pub enabled: bool,
    /// Why it is not judged although it is enabled, or which other rule is not because of it.
    pub problem: Option<String>,
    /// The last change of it; only of rules made by API.
    pub changed: Option<LastChange>,
}

/// The last change of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// How many changes there have been, this one included.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// By whom, as they say.
    pub author: String,
}

/// A rule and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDetail {
    /// The rule.
    pub info: RuleInfo,
    /// Its text, as it was written.
    pub toml: String,
}

/// One change of a rule, and how the rule was from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVersion {
    /// From 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// By whom, as they say.
    pub author: String,
    /// Why, as they say.
    pub comment: Option<String>,
    /// `create`, `change`, `enable`, `disable`, `delete` or `restore`.
    pub deed: &'static str,
    /// Whether it was to be judged from then on.
    pub enabled: bool,
    /// The text before; `None` if there was no such rule, or it is not known any more.
    pub before: Option<Arc<str>>,
    /// The text from then on; `None` if it was deleted.
    pub after: Option<Arc<str>>,
}

/// What is to be done to a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleDeed {
    /// Another text.
    Change {
        /// It.
        toml: String,
    },
    /// It is to be judged.
    Enable,
    /// It is kept and not judged.
    Disable,
    /// It is not kept; its versions are.
    Delete,
    /// The text of an earlier version, also of a rule that is deleted.
    Restore {
        /// Which.
        version: u64,
    },
}

/// Which last change of the rule the client knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It does not matter.
    Any,
    /// One of these.
    Revisions(Vec<u64>),
}

/// Who changes something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedBy {
    /// Who, as they say.
    pub author: String,
    /// Why, as they say.
    pub comment: Option<String>,
}

/// A rule before and after a change; `None` where it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedRule {
    /// As it was.
    pub before: Option<RuleDetail>,
    /// As it is now.
    pub after: Option<RuleDetail>,
}

/// A rule that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// Its text: one `[[rule]]`.
    pub toml: String,
    /// Whether it is to be judged at once.
    pub enabled: bool,
}

/// What a trial is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleTrial {
    /// The rule that the text names, new or changed.
    Put {
        /// The text.
        toml: String,
    },
    /// As if this rule were deleted or disabled.
    Remove(RuleName),
}

/// What would come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleCheck {
    /// Which rule.
    pub name: RuleName,
    /// Its text now, if it is there.
    pub before: Option<String>,
    /// Its text then, if it is there.
    pub after: Option<String>,
    /// Whether it is to be judged as it is now.
    pub enabled: bool,
    /// Of the devices that are known, those that it would be for.
    pub n_devices: usize,
    /// Its open alerts, and what would become of each.
    pub alerts: Vec<(Arc<Alert>, AlertFate)>,
}

/// What becomes of an open alert when its rule changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertFate {
    /// It goes on.
    Carried,
    /// It goes on if the new condition holds by the last values, and is closed otherwise.
    JudgedAnew,
    /// It is closed.
    Closed,
}

impl AlertFate {
    /// Its word in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::JudgedAnew => "judged_anew",
            Self::Closed => "closed",
        }
    }
}

/// One thing that is wrong in the text of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMistake {
    /// The key whose value is wrong.
    pub key: Option<&'static str>,
    /// Where in the text, from 1.
    pub line: usize,
    /// Where in the line, in characters, from 1.
    pub column: usize,
    /// How many characters are meant.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right, where that can be said.
    pub help: Option<String>,
    /// What stands there.
    pub found: String,
}

/// A rule and its users' tests of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTests {
    /// The rule's text.
    pub toml: String,
    /// The tests' text.
    pub tests: String,
}

/// What came of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleTestsOutcome {
    /// They were run, in their order.
    Ran(Vec<RuleTestOutcome>),
    /// The rule's text has mistakes.
    WrongRule(Vec<RuleMistake>),
    /// The tests' text has mistakes.
    WrongTests(Vec<RuleMistake>),
}

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTestOutcome {
    /// What it is called.
    pub name: String,
    /// Where it begins, from 1.
    pub line: usize,
    /// What is not as expected, or why it cannot be run.
    pub found: Result<Vec<RuleTestMismatch>, String>,
}

/// Something that is not as a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTestMismatch {
    /// Where that is expected, from 1.
    pub line: usize,
    /// What was expected, and what was found.
    pub text: String,
}

/// Why rules are not changed.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// There is no such rule.
    #[error("no rule is named {0}")]
    NoSuchRule(RuleName),
    /// There is one already.
    #[error("there is a rule {0} already")]
    Exists(RuleName),
    /// The rules file has it.
    #[error("the rule {0} is in the rules file")]
    InFile(RuleName),
    /// It has been changed since.
    #[error("the rule is at revision {revision}")]
    Stale {
        /// Its last change.
        revision: u64,
    },
    /// The text has mistakes.
    #[error("the rule has {} mistakes", .0.len())]
    Wrong(Vec<RuleMistake>),
    /// The text is of another rule.
    #[error("the text is of the rule {found}")]
    OtherName {
        /// Which.
        found: RuleName,
    },
    /// All rules together would be too many, too long, or no rules file; the text says which.
    #[error("{0}")]
    NoFit(String),
    /// There is no such version, or it is not kept any more.
    #[error("there is no version {0}")]
    NoSuchVersion(u64),
    /// That version is a deletion: it has no text.
    #[error("version {0} is a deletion")]
    IsDeletion(u64),
    /// Others change rules, one after the other, for so long that it was not begun.
    #[error("other changes take too long")]
    Busy,
    /// It is kept, and comes into force when the log has room again.
    #[error("the log takes no rules now")]
    Waiting,
    /// The service stops: it is kept, and in force from the next start on.
    #[error("the service stops")]
    Stopping,
    /// It could not be done.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A word of the rules' language, with what an editor says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleWord {
    /// It.
    pub name: &'static str,
    /// How it is written.
    pub usage: &'static str,
    /// What it gives or means.
    pub gives: &'static str,
}

/// The words of the rules' language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleWords {
    /// Functions of a device's metrics.
    pub functions: Vec<RuleWord>,
    /// Functions of the members of a group.
    pub aggregates: Vec<RuleWord>,
    /// The keys of a rule.
    pub keys: Vec<RuleWord>,
    /// Words with a meaning of their own within a condition.
    pub keywords: Vec<&'static str>,
}

/// An answer of this port that may have to wait. What was begun goes on when it is dropped.
pub type RulesFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, RulesError>> + Send + 'a>>;

/// The rules. What only looks answers at once; what changes something answers when it is durable.
pub trait Rules: Send + Sync + Debug {
    /// All of them: those of the file in its order, then those made by API, by name.
    fn list(&self) -> Vec<RuleInfo>;
    /// One of them.
    fn rule(&self, name: &RuleName) -> Option<RuleDetail>;
    /// The changes of a rule made by API that are kept, oldest first; also of a deleted one.
    fn versions(&self, name: &RuleName) -> Option<Vec<RuleVersion>>;
    /// Makes a rule.
    fn create(&self, new: NewRule, by: ChangedBy) -> RulesFuture<'_, RuleDetail>;
    /// Changes a rule.
    fn change(
        &self,
        name: RuleName,
        deed: RuleDeed,
        known: Known,
        by: ChangedBy,
    ) -> RulesFuture<'_, ChangedRule>;
    /// What rules are written in.
    fn words(&self) -> RuleWords;
    /// Says what would come of a change, and changes nothing.
    fn check(&self, trial: RuleTrial) -> RulesFuture<'_, RuleCheck>;
    /// Runs tests of a rule, which is alone there; changes nothing.
    fn test(&self, tests: RuleTests) -> RulesFuture<'_, RuleTestsOutcome>;
}
