//! What somebody did to the service, for the audit log.

use std::net::IpAddr;

use crate::words::words;
use crate::{LogPosition, Timestamp};

words! {
    /// What became of a deed.
    AuditOutcome {
        /// It was done.
        Done = "done",
        /// It was refused: whoever it was may not do it, or did not show who he is.
        Refused = "refused",
        /// It failed on the way: it may have been done all the same.
        Unknown = "unknown",
    }
}

/// What somebody did, or tried to do. The limits are those of the log's record: longer texts are cut
/// before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditDeed {
    /// Whose name they showed.
    pub who: Box<str>,
    /// How they showed it: `session`, `token`, `nothing`.
    pub via: Box<str>,
    /// Where they came from, if it is known.
    pub address: Option<IpAddr>,
    /// What the request is called in logs, if it is called anything.
    pub request: Option<Box<str>>,
    /// What was done: `rule.update`.
    pub action: Box<str>,
    /// To what: a rule's name.
    pub target: Box<str>,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// What was answered: HTTP's status.
    pub status: u16,
    /// JSON: as it was; `None` if it was not there, or nothing was done.
    pub before: Option<Box<str>>,
    /// JSON: as it is now; `None` if it is gone, or nothing was done.
    pub after: Option<Box<str>>,
}

impl AuditDeed {
    /// The longest name, in bytes.
    pub const WHO_BYTES_MAX: usize = 512;
    /// The longest target, in bytes.
    pub const TARGET_BYTES_MAX: usize = 1_024;
    /// The longest of the other words, in bytes.
    pub const WORD_BYTES_MAX: usize = 128;
    /// The longest `before` and the longest `after`, in bytes.
    pub const JSON_BYTES_MAX: usize = 64 * 1024;

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [&self.who, &self.via, &self.action, &self.target];
        let more = [&self.request, &self.before, &self.after];
        size_of::<Self>()
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + more.iter().filter_map(|text| text.as_ref()).map(|text| text.len()).sum::<usize>()
    }
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its record in the log.
    pub position: LogPosition,
    /// When the log received it.
    pub received_at: Timestamp,
    /// What was done.
    pub deed: AuditDeed,
}
