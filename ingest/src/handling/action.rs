//! Actions as bytes: the body of a record.

use std::borrow::Cow;
use std::sync::Arc;

use bellwire_model::{
    Action, ActionId, AlertDeed, AlertId, Deed, LogPosition, Matchers, SilenceDraft, SilenceId,
    Timestamp,
};
use serde::{Deserialize, Serialize};

type Text<'a> = Cow<'a, str>;

fn arc(text: Text<'_>) -> Arc<str> {
    text.into_owned().into()
}

#[derive(Debug, Serialize, Deserialize)]
struct WireAction<'a> {
    id: u128,
    request: u64,
    author: Text<'a>,
    #[serde(borrow)]
    deed: WireDeed<'a>,
}

/// The order of the variants is on disk: new ones go to the end.
#[derive(Debug, Serialize, Deserialize)]
enum WireDeed<'a> {
    #[serde(borrow)]
    Alerts(WireAlerts<'a>),
    #[serde(borrow)]
    Silence(WireDraft<'a>),
    Expire(u128, Option<u32>),
}

#[derive(Debug, Serialize, Deserialize)]
struct WireAlerts<'a> {
    ids: Vec<u64>,
    #[serde(borrow)]
    what: WireAlertDeed<'a>,
    seen: Option<(u64, u32)>,
    comment: Option<Text<'a>>,
}

/// The order of the variants is on disk: new ones go to the end.
#[derive(Debug, Serialize, Deserialize)]
enum WireAlertDeed<'a> {
    Acknowledge,
    Unacknowledge,
    #[serde(borrow)]
    Assign(Option<Text<'a>>),
    Comment,
    Snooze(i64),
    Unsnooze,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireDraft<'a> {
    id: u128,
    version: Option<u32>,
    matchers: Text<'a>,
    starts_at: Option<i64>,
    ends_at: i64,
    schedule: Option<(Text<'a>, Text<'a>)>,
    reason: Text<'a>,
}

impl<'a> From<&'a Action> for WireAction<'a> {
    fn from(action: &'a Action) -> Self {
        let deed = match &action.deed {
            Deed::Alerts { ids, what, seen, comment } => WireDeed::Alerts(WireAlerts {
                ids: ids.iter().map(|id| id.0).collect(),
                what: what.into(),
                seen: seen.map(|(position, ordinal)| (position.0, ordinal)),
                comment: comment.as_deref().map(Into::into),
            }),
            Deed::Silence(draft) => WireDeed::Silence((&**draft).into()),
            Deed::Expire { id, version } => WireDeed::Expire(id.0, *version),
        };
        let author = (&*action.author).into();
        Self { id: action.id.0, request: action.request, author, deed }
    }
}

impl<'a> From<&'a AlertDeed> for WireAlertDeed<'a> {
    fn from(deed: &'a AlertDeed) -> Self {
        match deed {
            AlertDeed::Acknowledge => Self::Acknowledge,
            AlertDeed::Unacknowledge => Self::Unacknowledge,
            AlertDeed::Assign(to) => Self::Assign(to.as_deref().map(Into::into)),
            AlertDeed::Comment => Self::Comment,
            AlertDeed::Snooze(until) => Self::Snooze(until.as_micros()),
            AlertDeed::Unsnooze => Self::Unsnooze,
        }
    }
}

impl<'a> From<&'a SilenceDraft> for WireDraft<'a> {
    fn from(draft: &'a SilenceDraft) -> Self {
        let schedule = draft.schedule.as_ref();
        Self {
            id: draft.id.0,
            version: draft.version,
            matchers: draft.matchers.to_string().into(),
            starts_at: draft.starts_at.map(Timestamp::as_micros),
            ends_at: draft.ends_at.as_micros(),
            schedule: schedule.map(|(hours, zone)| ((&**hours).into(), (&**zone).into())),
            reason: (&*draft.reason).into(),
        }
    }
}

impl WireAction<'_> {
    fn action(self) -> Option<Action> {
        let deed = match self.deed {
            WireDeed::Alerts(WireAlerts { ids, what, seen, comment }) => Deed::Alerts {
                ids: ids.into_iter().map(AlertId).collect(),
                what: what.deed(),
                seen: seen.map(|(position, ordinal)| (LogPosition(position), ordinal)),
                comment: comment.map(arc),
            },
            WireDeed::Silence(draft) => Deed::Silence(Box::new(draft.draft()?)),
            WireDeed::Expire(id, version) => Deed::Expire { id: SilenceId(id), version },
        };
        let (id, author) = (ActionId(self.id), arc(self.author));
        Some(Action { id, request: self.request, author, deed })
    }
}

impl WireAlertDeed<'_> {
    fn deed(self) -> AlertDeed {
        match self {
            Self::Acknowledge => AlertDeed::Acknowledge,
            Self::Unacknowledge => AlertDeed::Unacknowledge,
            Self::Assign(to) => AlertDeed::Assign(to.map(arc)),
            Self::Comment => AlertDeed::Comment,
            Self::Snooze(until) => AlertDeed::Snooze(Timestamp::from_micros(until)),
            Self::Unsnooze => AlertDeed::Unsnooze,
        }
    }
}

impl WireDraft<'_> {
    fn draft(self) -> Option<SilenceDraft> {
        Some(SilenceDraft {
            id: SilenceId(self.id),
            version: self.version,
            matchers: Matchers::parse(&self.matchers).ok()?,
            starts_at: self.starts_at.map(Timestamp::from_micros),
            ends_at: Timestamp::from_micros(self.ends_at),
            schedule: self.schedule.map(|(hours, zone)| (arc(hours), arc(zone))),
            reason: arc(self.reason),
        })
    }
}

/// The body of a record.
pub(crate) fn write(action: &Action) -> Vec<u8> {
    postcard::to_stdvec(&WireAction::from(action)).expect("a buffer in memory takes everything")
}

/// The action of a record's body; `None` if it is none.
pub(crate) fn read(body: &[u8]) -> Option<Action> {
    let (wire, rest): (WireAction<'_>, _) = postcard::take_from_bytes(body).ok()?;
    if rest.is_empty() { wire.action() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_read_back() {
        let alerts = |what| Deed::Alerts {
            ids: vec![AlertId(7), AlertId(u64::MAX)],
            what,
            seen: Some((LogPosition(9), 2)),
            comment: Some("it is ü".into()),
        };
        let draft = SilenceDraft {
            id: SilenceId(u128::MAX),
            version: Some(3),
            matchers: Matchers::parse(r#"a="b\"", c!~"d.*""#).expect("right"),
            starts_at: Some(Timestamp::from_micros(-1)),
            ends_at: Timestamp::MAX,
            schedule: Some(("mon".into(), "Europe/Berlin".into())),
            reason: "works".into(),
        };
        for deed in [
            alerts(AlertDeed::Acknowledge),
            alerts(AlertDeed::Unacknowledge),
            alerts(AlertDeed::Assign(Some("bo".into()))),
            alerts(AlertDeed::Assign(None)),
            alerts(AlertDeed::Comment),
            alerts(AlertDeed::Snooze(Timestamp::from_secs(5))),
            alerts(AlertDeed::Unsnooze),
            Deed::Silence(Box::new(draft)),
            Deed::Expire { id: SilenceId(1), version: None },
        ] {
            let (id, author) = (ActionId(u128::MAX - 7), "ada".into());
            let action = Action { id, request: 5, author, deed };
            let bytes = write(&action);
            assert_eq!(read(&bytes), Some(action));
            assert_eq!(read(&bytes[..bytes.len() - 1]), None);
            assert_eq!(read(&[&bytes[..], b"x"].concat()), None);
        }
    }
}
