//! Rules that are made by API: every version of each, on disk and in memory, and how they stand beside
//! the rules file. What may be asked of it is in [`app::rulebook`](crate::app).

pub(crate) mod effective;
pub(crate) mod file;
pub(crate) mod history;
pub(crate) mod line;

use std::sync::Arc;

use bellwire_model::Timestamp;

/// One version of a rule: what was done, by whom, and how the rule has been since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Its place among the changes of all rules, from 1.
    pub(crate) seq: u64,
    /// Its place among the changes of this rule, from 1.
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    /// Who did it, as they say.
    pub(crate) author: Arc<str>,
    /// Why, as they say.
    pub(crate) comment: Option<Arc<str>>,
    pub(crate) deed: Deed,
    /// The rule's text; `None` once it is deleted.
    pub(crate) toml: Option<Arc<str>>,
    pub(crate) standing: Standing,
}

/// What was done to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Create,
    Change,
    Enable,
    Disable,
    Delete,
    Restore,
}

impl Deed {
    const ALL: [Self; 6] =
        [Self::Create, Self::Change, Self::Enable, Self::Disable, Self::Delete, Self::Restore];

    /// Its word, on disk and in the API; it never changes.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Delete => "delete",
            Self::Restore => "restore",
        }
    }

    fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.label() == label)
    }
}

/// Whether a rule is to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Enabled,
    Disabled,
}

impl Standing {
    pub(crate) fn is_enabled(self) -> bool {
        self == Self::Enabled
    }
}
