//! How a version of a rule stands in the file: a line of JSON behind its checksum.
//!
//! ```text
//! 0f3a…16 hex digits… {"seq":7,"rule":"hot","version":2,"at_us":1,"author":"api","deed":"change",…}
//! ```

use std::sync::Arc;

use bellwire_model::{RuleName, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Deed, Standing, Version};

/// Hexadecimal digits of the checksum.
const SUM_DIGITS: usize = 16;

/// The fields of a line. Keys are only ever added.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    seq: u64,
    rule: String,
    version: u64,
    /// Microseconds since 1970.
    at_us: i64,
    author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    deed: String,
    enabled: bool,
    /// Absent: as in the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    toml: Option<String>,
}

/// Whether a line repeats the rule's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Written,
    /// It is that of the version before.
    AsBefore,
}

/// The first 64 bits of SHA-256, in hexadecimal.
fn sum(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(SUM_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// The line, with its end.
pub(crate) fn encode(rule: &RuleName, version: &Version, text: Text) -> String {
    let toml = match text {
        Text::Written => version.toml.as_deref().map(str::to_owned),
        Text::AsBefore => None,
    };
    let fields = Fields {
        seq: version.seq,
        rule: rule.as_str().to_owned(),
        version: version.number,
        at_us: version.at.as_micros(),
        author: version.author.to_string(),
        comment: version.comment.as_deref().map(str::to_owned),
        deed: version.deed.label().to_owned(),
        enabled: version.standing.is_enabled(),
        toml,
    };
    let body = serde_json::to_string(&fields).expect("texts and numbers always serialize");
    format!("{} {body}\n", sum(body.as_bytes()))
}

/// Reads a line without its end. The text of a rule that the line does not repeat is missing still.
/// `None` if it is not as it was written.
pub(crate) fn decode(line: &[u8]) -> Option<(RuleName, Version)> {
    let (written, body) = line.split_at_checked(SUM_DIGITS)?;
    let body = body.strip_prefix(b" ")?;
    if sum(body).as_bytes() != written {
        return None;
    }
    let fields: Fields = serde_json::from_slice(body).ok()?;
    let version = Version {
        seq: fields.seq,
        number: fields.version,
        at: Timestamp::from_micros(fields.at_us),
        author: fields.author.into(),
        comment: fields.comment.map(Arc::from),
        deed: Deed::from_label(&fields.deed)?,
        toml: fields.toml.map(Arc::from),
        standing: if fields.enabled { Standing::Enabled } else { Standing::Disabled },
    };
    Some((RuleName::new(&fields.rule).ok()?, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_never_otherwise() {
        let rule = RuleName::new("zu \"heiß\"").unwrap();
        let version = Version {
            seq: 9,
            number: 2,
            at: Timestamp::from_micros(5),
            author: "Ada".into(),
            comment: Some("a\nb".into()),
            deed: Deed::Change,
            toml: Some("[[rule]]\nname = 'x'\n".into()),
            standing: Standing::Disabled,
        };
        let line = encode(&rule, &version, Text::Written);
        let line = line.strip_suffix('\n').unwrap().as_bytes();
        assert!(!line.contains(&b'\n'));
        assert_eq!(decode(line), Some((rule.clone(), version.clone())));
        for n in 0..line.len() {
            let mut damaged = line.to_vec();
            damaged[n] ^= 1;
            assert_eq!(decode(&damaged), None, "byte {n}");
            assert_eq!(decode(&line[..n]), None, "cut at {n}");
        }
        let short = encode(&rule, &version, Text::AsBefore);
        let (_, read) = decode(short.trim_end().as_bytes()).unwrap();
        assert_eq!(read, Version { toml: None, ..version });
    }
}
